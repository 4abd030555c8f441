// The closure of two collective variables, where it differs from that of one.
#include <algorithm>
#include <cmath>
#include <optional>

#include "sampling/closure/bursts_of_two.h"
#include "sampling/run/stages/close/close.h"

namespace microlift {

namespace {

constexpr index kMargin = 12;      // cells beyond the walls of a simulated model
constexpr double kWall = 20;       // kT that its drift climbs over a quarter of the range
constexpr double kToGo = 2;  // of a doubling's change without a plateau, two thirds left for each next one
constexpr index kSurfaceStride = 2;  // cells between the points of reduced.csv

// Nothing where an estimate has no model.
std::optional<ReducedModelOfTwo> model_or_none(const EstimateOfTwo& estimate,
                                               const std::vector<double>& log_density = {}) {
    try {
        return ReducedModelOfTwo(estimate, log_density);
    } catch (const NumericError&) {
        return std::nullopt;
    }
}

}  // namespace

void ClosureStage::conditional_of_two(const ConditionalMoments& m) {
    for (index b = 0; b < grid_.size(); ++b)
        row(centre(b), [&](int o) { return m.mean[m.place(o, b)]; },
            [&](int o) { return m.mean_error[m.place(o, b)]; }, "conditional");
    ClosureSourceOfTwo source;
    source.name = "conditional";
    source.estimate.period = rings();
    for (index b = 0; b < grid_.size(); ++b)
        source.estimate.add(centre(b), [&](int o) { return m.mean[m.place(o, b)]; },
                            [&](int o) { return m.mean_error[m.place(o, b)]; });
    try {
        source.model = ReducedModelOfTwo(source.estimate);
        for (index r = 0; r < ClosureSourceOfTwo::kReplicates; ++r) {
            EstimateOfTwo other = source.estimate;
            const std::vector<double> shift = block_shifts(m, r);
            for (std::size_t b = 0; b < other.at.size(); ++b)
                for (std::size_t o = 0; o < 5; ++o) other.value[b][o] += shift[o * other.at.size() + b];
            source.replicates.push_back(source.model.with(other));
        }
    } catch (const NumericError& problem) {
        add_warning(std::string("closure, conditional: no reduced model: ") + problem.what());
        return;
    }
    reversible(source);
    add_source(std::move(source));
}

TwoLag ClosureStage::without_lag(const BurstMoments& m) const {
    const index values = std::ssize(m.values);
    const AveragedClosure a =
        average_closure(stream_, model_, starts_.span(), values, m.replicas);
    TwoLag none;
    none.value.resize(m.values.size());
    none.error.resize(m.values.size());
    for (std::size_t v = 0; v < m.values.size(); ++v)
        for (std::size_t o = 0; o < 5; ++o) {
            none.value[v][o] = a.mean[o * m.values.size() + v];
            none.error[v][o] = a.error[o * m.values.size() + v];
        }
    return none;
}

void ClosureStage::bursts_of_two(const BurstMoments& m) {
    const TwoClosure closure = burst_closure_of_two(m, c_.tolerance);
    TwoLag lag = closure.lags[closure.chosen];
    // Before the first lag comes none at all: averages over the states in which bursts start.
    const TwoLag none = lag.plateau && closure.chosen == 0 && !model_.molecule() ? without_lag(m) : TwoLag{};
    const TwoLag* other = none.value.empty() ? beside(closure) : &none;
    for (std::size_t v = 0; v < m.values.size() && other; ++v)
        for (std::size_t o = 0; o < 5; ++o)
            lag.error[v][o] = with_difference(
                lag.error[v][o], lag.value[v][o] - other->value[v][o], other->error[v][o]);
    metrics_["lag"] = lag.tau;
    metrics_["plateau"] = closure.plateau;
    metrics_["start"] = c_.start;
    Json list = Json::array();
    for (const TwoLag& l : closure.lags)
        list.push_back({{"lag", l.tau}, {"change", l.change}, {"change_error", l.change_error},
                        {"plateau", l.plateau}});
    metrics_["lags"] = list;
    if (!closure.plateau && closure.lags.size() > 1)
        add_warning("the bursts show no plateau: from the lag " +
                    number(closure.lags[closure.lags.size() - 2].tau) + " to " +
                    number(closure.lags.back().tau) + " their diffusion changes by " +
                    number(100 * closure.lags.back().change) +
                    " per cent, and no two others agree; do not trust it, and give other lags "
                    "(closure.burst_lags)");
    for (std::size_t v = 0; v < m.values.size(); ++v)
        row(m.values[v], [&](int o) { return lag.value[v][static_cast<std::size_t>(o)]; },
            [&](int o) { return lag.error[v][static_cast<std::size_t>(o)]; }, "burst");
    warn_indefinite(m, lag);
    ClosureSourceOfTwo source;
    source.name = "burst";
    source.lag = lag.tau;
    source.estimate = {m.values, lag.value, lag.error, rings()};
    // Without a plateau, what all values together owe the lag, which at each of them may be less than noise.
    std::optional<ReducedModelOfTwo> at_other_lag;
    if (other && !closure.plateau)
        at_other_lag = model_or_none({m.values, other->value, other->error, rings()});
    if (at_other_lag) source.variants.push_back({*at_other_lag, kToGo, true});
    add_source(std::move(source));
    if (find("burst")) {
        const ClosureSourceOfTwo made = sources_of_two_.back();
        if (model_.molecule()) free_energy_and_bursts(made, at_other_lag);
        relax(slow_motion(made.model), m.lags.back(), {});
    }
    CsvWriter csv(run_.dir / "bursts.csv",
                  {"cv_1", "cv_2", "lag", "drift_1", "drift_2", "diffusion_11", "diffusion_12",
                   "diffusion_22", "apparent_drift_1", "apparent_drift_2", "apparent_diffusion_11",
                   "apparent_diffusion_12", "apparent_diffusion_22"});
    for (std::size_t l = 0; l < closure.lags.size(); ++l)
        for (std::size_t v = 0; v < m.values.size(); ++v) {
            std::vector<CsvWriter::Cell> cells{m.values[v][0], m.values[v][1], closure.lags[l].tau};
            for (const double value : closure.lags[l].value[v]) cells.emplace_back(value);
            for (const double value : closure.lags[l].apparent[v]) cells.emplace_back(value);
            csv.row(cells);
        }
    csv.finish();
}

// Where no D is positive definite that the estimate says.
void ClosureStage::warn_indefinite(const BurstMoments& m, const TwoLag& lag) {
    std::size_t count = 0, first = 0;
    for (std::size_t v = m.values.size(); v-- > 0;) {
        const auto& d = lag.value[v];
        if (d[2] > 0 && d[2] * d[4] > d[3] * d[3]) continue;
        ++count;
        first = v;
    }
    if (count == 0) return;
    const auto& d = lag.value[first];
    const auto& e = lag.error[first];
    const auto said = [&](std::size_t o) { return number(d[o]) + " +- " + number(e[o]); };
    add_warning("closure: at " + std::to_string(count) + " of " + std::to_string(m.values.size()) +
                " values the diffusion that bursts show is not positive, as at " + text_of(m.values[first]) +
                " (" + said(2) + ", " + said(3) + ", " + said(4) +
                "); within these errors the model has that of the values around, further off no value "
                "there: give more closure.replicas, or shorter bursts (closure.burst_lags)");
}

// The diffusion of the bursts' surfaces at every bin, with the error of the nearest of their values; noise is that
// of whole surfaces, because bins are more than values.
void ClosureStage::free_energy_and_bursts(const ClosureSourceOfTwo& bursts,
                                          const std::optional<ReducedModelOfTwo>& at_other_lag) {
    const EstimateOfTwo& e = bursts.estimate;
    std::vector<DriftAndDiffusion> error;
    for (index b = 0; b < grid_.size(); ++b) {
        const CvValue x = centre(b);
        const auto apart = [&](std::size_t v) {
            double square = 0;
            for (std::size_t k = 0; k < 2; ++k)
                square += std::pow(nearest_image(e.at[v][k] - x[k], e.period[k]) / spacing_[k], 2);
            return square;
        };
        std::size_t nearest = 0;
        for (std::size_t v = 1; v < e.size(); ++v)
            if (apart(v) < apart(nearest)) nearest = v;
        error.push_back(e.error[nearest]);
        if (!std::isfinite(free_energy_.profile[static_cast<std::size_t>(b)]) || !(apart(nearest) < 1))
            error.back().fill(kUnknown);
    }
    const auto at_bins = [&](const ReducedModelOfTwo& m) {
        const std::vector<index> inside = m.nearest_inside();
        EstimateOfTwo bins{{}, {}, error, e.period};
        for (index b = 0; b < grid_.size(); ++b) {
            bins.at.push_back(centre(b));
            bins.value.push_back(m.coefficients(inside[static_cast<std::size_t>(m.cell_at(centre(b)))]));
        }
        return bins;
    };
    ClosureSourceOfTwo source;
    source.estimate = at_bins(bursts.model);
    if (at_other_lag) {
        const auto other = model_or_none(at_bins(*at_other_lag), log_density(-1));
        if (other) source.variants.push_back({*other, kToGo, true});
    }
    std::vector<EstimateOfTwo> noisy;
    for (const ReducedModelOfTwo& m : bursts.replicates) noisy.push_back(at_bins(m));
    reversible(source, noisy);
}

EllipseSet ClosureStage::near(const CvValue& place) const {
    return {place, {c_.passage_radius[0], c_.passage_radius[1]}, rings()};
}

void ClosureStage::follow(ClosureSourceOfTwo& s) {
    s.rates = s.figures([](const ReducedModelOfTwo& m) { return m.rates(2); });
    s.times = s.figures([&](const ReducedModelOfTwo& m) {
        std::vector<double> times;
        for (std::size_t i = 0; i < targets(); ++i)
            times.push_back(covers(s.model, near(passage_to(i)))
                                ? m.at(m.mean_times(near(passage_to(i))), passage_from())
                                : kUnknown);
        return times;
    });
}

std::vector<Figure> ClosureStage::committor_at(const ClosureSourceOfTwo& s,
                                               const std::vector<CvValue>& x) const {
    const bool known = covers(s.model, near(passage_from())) &&
                       covers(s.model, near(passage_to(targets() - 1)));
    return s.figures([&](const ReducedModelOfTwo& m) {
        if (!known)
            return std::vector<double>(x.size(), kUnknown);
        const std::vector<double> field =
            m.committor(near(passage_from()), near(passage_to(targets() - 1)));
        std::vector<double> q;
        for (const CvValue& v : x) q.push_back(m.at(field, v));
        return q;
    });
}

void ClosureStage::simulate(ClosureSourceOfTwo& s) {
    constexpr index side = ReducedModelOfTwo::kSide, wide = side + 2 * kMargin;
    const ReducedModelOfTwo& m = s.model;
    const CvValue first = m.centre(0), last = m.centre(side * side - 1);
    CvValue h{}, low{}, high{};
    for (std::size_t k = 0; k < 2; ++k) {
        h[k] = (last[k] - first[k]) / static_cast<double>(side - 1);
        low[k] = first[k] - static_cast<double>(kMargin) * h[k];
        high[k] = last[k] + static_cast<double>(kMargin) * h[k];
    }
    CvPeriods periods;
    for (std::size_t k = 0; k < 2; ++k) {
        periods.period[k] = static_cast<float>(m.ring(k));
        periods.middle[k] = static_cast<float>(0.5 * (first[k] + last[k]));
    }
    const std::vector<index> nearest = m.nearest_inside();
    const auto size = static_cast<std::size_t>(wide * wide);
    std::vector<float> table(5 * size);
    for (index p = 0; p < wide * wide; ++p) {
        const index i = p / wide - kMargin, j = p % wide - kMargin;
        const auto within = [&](std::size_t k, index at) {
            return m.ring(k) > 0 ? (at + side) % side : std::clamp<index>(at, 0, side - 1);
        };
        const index cell = within(0, i) * side + within(1, j);
        const index from = nearest[static_cast<std::size_t>(cell)];
        DriftAndDiffusion v = m.coefficients(from);
        // A drift that would lead out beyond the walls is turned back.
        const auto beyond = [&](std::size_t k, index cells) {
            return m.ring(k) > 0 ? (cells + 5 * side / 2) % side - side / 2 : cells;
        };
        const double away[2] = {h[0] * static_cast<double>(beyond(0, i - from / side)),
                                h[1] * static_cast<double>(beyond(1, j - from % side))};
        for (std::size_t k = 0; k < 2; ++k) {
            const double push = kWall * v[2 + 2 * k] / (0.25 * static_cast<double>(side) * h[k]);
            if (away[k] > 0) v[k] = std::min(v[k], -push);
            if (away[k] < 0) v[k] = std::max(v[k], push);
        }
        // σσᵀ = 2 D.
        const double s11 = std::sqrt(2 * v[2]), s21 = 2 * v[3] / s11;
        const double values[5] = {v[0], v[1], s11, s21, std::sqrt(2 * v[4] - s21 * s21)};
        for (std::size_t q = 0; q < 5; ++q)
            table[q * size + static_cast<std::size_t>(p)] = static_cast<float>(values[q]);
    }
    Buffer<float> device_table(stream_.device(), static_cast<index>(table.size()));
    copy_to_device(stream_, device_table.span(), table.data());
    simulate(s, *plane_passage_kernel(low, high, {wide, wide}, device_table.span(),
                                      config_.integrator.portable_math, periods));
}

void ClosureStage::write_surfaces() {
    std::vector<std::string> columns{"cv_1", "cv_2"};
    for (const char* name :
         {"drift_1", "drift_2", "diffusion_11", "diffusion_12", "diffusion_22", "density"}) {
        columns.emplace_back(name);
        columns.emplace_back(std::string(name) + "_se");
    }
    columns.emplace_back("source");
    CsvWriter csv(run_.dir / "reduced.csv", columns);
    constexpr index side = ReducedModelOfTwo::kSide;
    for (const ClosureSourceOfTwo& s : sources_of_two_) {
        std::vector<index> cells;
        for (index c = 0; c < side * side; ++c)
            if (c / side % kSurfaceStride == 0 && c % side % kSurfaceStride == 0 && s.model.inside(c))
                cells.push_back(c);
        const std::vector<Figure> figures = s.figures([&](const ReducedModelOfTwo& m) {
            const std::vector<double> density = m.density();
            const std::vector<index> nearest = m.nearest_inside();  // other models have other cells
            std::vector<double> all;
            for (const index cell : cells) {
                const index c = nearest[static_cast<std::size_t>(m.cell_at(s.model.centre(cell)))];
                const DriftAndDiffusion& v = m.coefficients(c);
                all.insert(all.end(), v.begin(), v.end());
                all.push_back(density[static_cast<std::size_t>(c)]);
            }
            return all;
        });
        for (std::size_t i = 0; i < cells.size(); ++i) {
            const CvValue x = s.model.centre(cells[i]);
            std::vector<CsvWriter::Cell> row{x[0], x[1]};
            for (std::size_t q = 0; q < 6; ++q)
                row.insert(row.end(), {figures[6 * i + q].value, figures[6 * i + q].error});
            row.emplace_back(s.name);
            csv.row(row);
        }
    }
    csv.finish();
}

}  // namespace microlift
