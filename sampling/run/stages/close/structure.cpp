// Structure along one collective variable: what averages on narrower bins show of drift and diffusion that
// wider bins, or the few values at which bursts start, do not.
#include <cmath>

#include "sampling/run/stages/close/close.h"

namespace microlift {

namespace {

constexpr double kFallsBy = 4;  // per halving of the distance, of what a curve leaves out; else it is rough

// Values on narrow bins less a curve through those near `knots`; only between the first and the last knot.
std::vector<double> left_out(const std::vector<double>& x, const std::vector<double>& y,
                             const std::vector<double>& knots) {
    const SmoothingSpline all(x, y, std::vector<double>(x.size(), 0.0), 0);
    std::vector<double> at_knots;
    for (const double k : knots) at_knots.push_back(all(k));
    const SmoothingSpline curve(knots, at_knots, std::vector<double>(knots.size(), 0.0), 0);
    std::vector<double> rest;
    for (std::size_t j = 0; j < x.size(); ++j)
        rest.push_back(x[j] < knots.front() || x[j] > knots.back() ? 0.0 : y[j] - curve(x[j]));
    return rest;
}

double squares(const std::vector<double>& v) {
    double sum = 0;
    for (const double e : v) sum += e * e;
    return sum;
}

// What a curve through the knots leaves out, where that is more than noise and falls with the distance of
// knots as no smooth function's does; else zeros.
std::vector<double> rough_part(const std::vector<double>& x, const std::vector<double>& y,
                               const std::vector<double>& error, const std::vector<double>& knots) {
    std::vector<double> second;
    for (std::size_t i = 0; i < knots.size(); ++i)
        if (i % 2 == 0 || i + 1 == knots.size()) second.push_back(knots[i]);
    std::vector<double> rest = left_out(x, y, knots);
    const double size = squares(rest), wider = squares(left_out(x, y, second));
    if (size < 4 * squares(error) || kFallsBy * kFallsBy * size < wider)
        std::fill(rest.begin(), rest.end(), 0.0);
    return rest;
}

bool any(const std::vector<double>& v) { return squares(v) > 0; }

// Root mean square of v, less that of noise, over what lies within reach of each knot.
std::vector<double> around(const std::vector<double>& x, const std::vector<double>& v,
                           const std::vector<double>& noise, const std::vector<double>& knots) {
    const double reach =
        1.001 * (knots.back() - knots.front()) / static_cast<double>(knots.size() - 1);
    std::vector<double> out;
    for (const double k : knots) {
        double sum = 0, count = 0;
        for (std::size_t j = 0; j < x.size(); ++j)
            if (std::fabs(x[j] - k) <= reach) {
                sum += v[j] * v[j] - (v[j] != 0 ? noise[j] * noise[j] : 0.0);
                count += 1;
            }
        out.push_back(count > 0 ? std::sqrt(std::max(0.0, sum / count)) : 0.0);
    }
    return out;
}

}  // namespace

// --- averages ------------------------------------------------------------------------------------

void ClosureStage::take_narrow(const ConditionalMoments& m) {
    const index parts = m.grid.bins[0] / grid_.bins[0], half = parts / 2;
    const bool all_round = ring(0);
    if (all_round) narrow_.period = config_.cv.variables[0].period;
    for (index b = 0; b < m.grid.size(); ++b) {
        // Between the centres of the first and the last wide bin, so that walls stand where they do.
        if (!all_round && (b < half || b + half >= m.grid.size())) continue;
        narrow_.x.push_back(m.grid.centre(0, b));
        narrow_.drift.push_back(m.mean[m.place(0, b)]);
        narrow_.drift_error.push_back(m.mean_error[m.place(0, b)]);
        narrow_.diffusion.push_back(m.mean[m.place(1, b)]);
        narrow_.diffusion_error.push_back(m.mean_error[m.place(1, b)]);
    }
}

ClosureEstimate ClosureStage::with_narrow(ClosureEstimate e) const {
    for (std::size_t b = 0; b < e.size(); ++b) {
        const double* const begin = narrow_.x.data();
        const auto j = static_cast<std::size_t>(
            std::lower_bound(begin, begin + narrow_.size(), e.x[b] - 0.1 * grid_.width(0)) - begin);
        if (j >= narrow_.size() || !std::isfinite(narrow_.drift_error[j])) continue;
        e.drift_error[b] = with_difference(e.drift_error[b], e.drift[b] - narrow_.drift[j],
                                           narrow_.drift_error[j]);
        e.diffusion_error[b] = with_difference(
            e.diffusion_error[b], e.diffusion[b] - narrow_.diffusion[j], narrow_.diffusion_error[j]);
    }
    return e;
}

void ClosureStage::vary_bins(ClosureSource& source) const {
    try {
        if (source.name == "conditional") {
            source.variants.push_back({ReducedModel(narrow_), 1.0, true});
            return;
        }
        // Times have 1/D in them: its mean over each wide bin.
        ClosureEstimate e = source.estimate;
        for (std::size_t b = 0; b < e.size(); ++b) {
            double sum = 0, count = 0;
            for (std::size_t j = 0; j < narrow_.size(); ++j)
                if (std::fabs(narrow_.x[j] - e.x[b]) < 0.5 * grid_.width(0)) {
                    sum += 1 / narrow_.diffusion[j];
                    count += 1;
                }
            if (count > 0 && std::isfinite(sum) && sum > 0) e.diffusion[b] = count / sum;
        }
        source.variants.push_back({source.model.with(e, log_density(-1)), 1.0, true});
    } catch (const NumericError&) {  // too few samples in narrow bins
    }
}

// --- bursts --------------------------------------------------------------------------------------

void ClosureStage::count_structure(ClosureEstimate& e, ClosureSource& source) {
    if (e.size() < 8 || ring(0)) return;
    std::vector<double> x, drift, drift_error, log_d, log_error;
    for (std::size_t j = 0; j < narrow_.size(); ++j) {
        const double d = narrow_.diffusion[j], error = narrow_.drift_error[j];
        if (!(d > 0) || !std::isfinite(error) || !std::isfinite(narrow_.diffusion_error[j])) continue;
        x.push_back(narrow_.x[j]);
        drift.push_back(narrow_.drift[j]);
        drift_error.push_back(error);
        log_d.push_back(std::log(d));
        log_error.push_back(narrow_.diffusion_error[j] / d);
    }
    if (x.size() < 2 * e.size() || x.front() > e.x[1] || x.back() < e.x[e.size() - 2]) return;
    const std::vector<double> of_drift = rough_part(x, drift, drift_error, e.x),
                              of_d = rough_part(x, log_d, log_error, e.x);
    if (!any(of_drift) && !any(of_d)) return;
    const std::vector<double> b = around(x, of_drift, drift_error, e.x),
                              d = around(x, of_d, log_error, e.x);
    ClosureEstimate whole;
    for (std::size_t j = 0; j < x.size(); ++j) {
        if (x[j] < e.x.front() || x[j] > e.x.back()) continue;
        whole.x.push_back(x[j]);
        whole.drift.push_back(source.model.drift(x[j]) + of_drift[j]);
        whole.diffusion.push_back(source.model.diffusion(x[j]) * std::exp(of_d[j]));
        whole.drift_error.push_back(1);
        whole.diffusion_error.push_back(whole.diffusion.back());
    }
    source.variants.push_back({ReducedModel(whole, 0, 0)});
    source.series.clear();  // what is left out is known
    double most = 0;
    for (std::size_t i = 0; i < e.size(); ++i) {
        e.drift_error[i] = std::hypot(e.drift_error[i], b[i]);
        e.diffusion_error[i] = std::hypot(e.diffusion_error[i], d[i] * e.diffusion[i]);
        most = std::max(most, d[i]);
    }
    add_warning("closure: drift and diffusion have structure between the " +
                std::to_string(e.size()) + " values at which bursts start (diffusion up to " +
                number(100 * most) + " per cent), which bursts do not resolve; errors count it: "
                "raise closure.values, or take a smoother collective variable (learn.epsilon of a "
                "learned one)");
}

}  // namespace microlift
