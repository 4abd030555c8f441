// Structure along one collective variable: what averages on narrower bins show of drift and diffusion that
// wider bins, or the few values at which bursts start, do not.
#include <cmath>
#include <limits>
#include <vector>

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

// Whether what a curve through the knots leaves out is more than noise, and falls with the distance of
// knots as no smooth function's does.
bool rough(const std::vector<double>& x, const std::vector<double>& y,
           const std::vector<double>& error, const std::vector<double>& knots) {
    std::vector<double> second, noise;
    for (std::size_t j = 0; j < x.size(); ++j)  // of states in single precision
        noise.push_back(std::hypot(error[j], std::numeric_limits<float>::epsilon() * y[j]));
    for (std::size_t i = 0; i < knots.size(); ++i)
        if (i % 2 == 0 || i + 1 == knots.size()) second.push_back(knots[i]);
    const double size = squares(left_out(x, y, knots)), wider = squares(left_out(x, y, second));
    return size > 4 * squares(noise) && kFallsBy * kFallsBy * size > wider;
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

ClosureEstimate ClosureStage::narrow_within(double from, double to) const {
    ClosureEstimate e;
    e.period = narrow_.period;
    for (std::size_t j = 0; j < narrow_.size(); ++j) {
        const bool known = narrow_.diffusion[j] > 0 && std::isfinite(narrow_.drift_error[j]) &&
                           std::isfinite(narrow_.diffusion_error[j]);
        if (!known || narrow_.x[j] < from || narrow_.x[j] > to) continue;
        e.x.push_back(narrow_.x[j]);
        e.drift.push_back(narrow_.drift[j]);
        e.drift_error.push_back(narrow_.drift_error[j]);
        e.diffusion.push_back(narrow_.diffusion[j]);
        e.diffusion_error.push_back(narrow_.diffusion_error[j]);
    }
    return e;
}

bool ClosureStage::unresolved(const std::vector<double>& knots) const {
    if (knots.size() < 8 || ring(0)) return false;
    const ClosureEstimate e = narrow_within(knots.front(), knots.back());
    if (e.size() < 2 * knots.size() || e.x.front() > knots[1] ||
        e.x.back() < knots[knots.size() - 2])
        return false;
    return rough(e.x, e.drift, e.drift_error, knots) ||
           rough(e.x, e.diffusion, e.diffusion_error, knots);
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
            const double half = 0.5 * grid_.width(0);
            const ClosureEstimate parts = narrow_within(e.x[b] - half, e.x[b] + half);
            double sum = 0;
            for (const double d : parts.diffusion) sum += 1 / d;
            if (sum > 0) e.diffusion[b] = static_cast<double>(parts.size()) / sum;
        }
        source.variants.push_back({source.model.with(e, log_density(-1)), 1.0, true});
    } catch (const NumericError&) {  // too few samples in narrow bins
    }
}

// --- bursts --------------------------------------------------------------------------------------

void ClosureStage::count_structure(const BurstLag& lag, ClosureEstimate& e, ClosureSource& source) {
    // What the values of bursts leave out cannot be told from what averages lack: all of the
    // difference, and nothing of what curves and lags show, which is the same once more. A lag of
    // one step tells of the values themselves, whatever lies between.
    const ClosureEstimate whole = narrow_within(e.x.front(), e.x.back());
    const std::vector<double> exactly(whole.size(), 0.0);
    const SmoothingSpline drift(whole.x, whole.drift, exactly, 0),
        diffusion(whole.x, whole.diffusion, exactly, 0);
    double most = 0;
    for (std::size_t i = 0; i < e.size(); ++i) {
        const double apart = e.diffusion[i] - diffusion(e.x[i]);
        if (lag.steps > 1) {
            e.drift_error[i] = with_difference(e.drift_error[i], e.drift[i] - drift(e.x[i]), 0);
            e.diffusion_error[i] = with_difference(e.diffusion_error[i], apart, 0);
        }
        most = std::max(most, std::fabs(apart) / e.diffusion[i]);
    }
    add_walls_and_mesh(source);
    source.variants.push_back({ReducedModel(whole, 0, 0)});
    add_warning("closure: drift and diffusion have structure between the " +
                std::to_string(e.size()) + " values at which bursts start, which bursts do not "
                "resolve (their diffusion is up to " + number(100 * most) +
                " per cent from averages on narrow bins); errors count it: raise closure.values, or "
                "take a smoother collective variable (learn.epsilon of a learned one)");
}

}  // namespace microlift
