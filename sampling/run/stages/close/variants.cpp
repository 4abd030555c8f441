// What the errors of a closure's figures take in besides noise: walls, meshes, and what lies between the
// values at which drift and diffusion are known.
#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "sampling/closure/burst_kernels.h"
#include "sampling/run/stages/close/close.h"

namespace microlift {

namespace {

// Models near and far from the source's; none where their estimates are too few.
template <class Source, class F>
void add_two(Source& source, std::size_t near, std::size_t far, bool noisy, const F& model) {
    try {
        source.series.push_back({{model(near), model(far)}, noisy});
    } catch (const NumericError&) {
    }
}

}  // namespace

void ClosureStage::count_repeated_starts(BurstMoments& m) {
    if (c_.start != "physics" || model_.dim() == K_) return;
    const index values = std::ssize(m.values), replicas = m.replicas, n = values * replicas;
    const std::vector<float> x = to_host(stream_, Span<const float>(starts_.span()));
    const AveragedClosure a = average_closure(stream_, model_, starts_.span(), values, replicas);
    for (index v = 0; v < values; ++v) {
        std::set<std::vector<float>> different;
        for (index j = v * replicas; j < (v + 1) * replicas; ++j) {
            std::vector<float> state;
            for (int d = 0; d < model_.dim(); ++d)
                state.push_back(x[static_cast<std::size_t>(d * n + j)]);
            different.insert(std::move(state));
        }
        // Of the mean over so few beside the mean over all bursts, as if these were independent.
        const double all = static_cast<double>(replicas);
        const double more = std::sqrt(
            (all - 1) * (1 / static_cast<double>(different.size()) - 1 / all));
        for (std::size_t l = 0; l < m.lags.size(); ++l) {
            BurstPoint& p = m.points[l * m.values.size() + static_cast<std::size_t>(v)];
            for (int o = 0; o < burst_outputs(K_); ++o) {
                const double extra =
                    more * a.error[static_cast<std::size_t>(o * values + v)] * m.tau(l);
                double& error = o < K_ ? p.mean_error[o] : p.covariance_error[o - K_];
                error = std::hypot(error, o < K_ ? extra : 2 * extra);
            }
        }
    }
}

void ClosureStage::add_variants(ClosureSource& source, const ClosureEstimate& finer) const {
    const double mesh = source.model.ring() ? 1.0 / 3 : 1.0 / 15;  // by Richardson's rule
    source.variants.push_back({source.model.beyond_ends()});
    source.variants.push_back({source.model.coarser(), -mesh});
    // Of averages that narrower bins tell more of, the difference to these says all.
    if (source.name == "free_energy" ||
        (source.name == "conditional" && unresolved(source.estimate.x)))
        return;
    source.variants.push_back({source.model.with(finer).with_finer_curves(), 1.0, true});
}

void ClosureStage::add_rougher(ClosureSource& source, const std::vector<double>& log_density) {
    const ClosureEstimate& e = source.estimate;
    add_two(source, 2, 4, true, [&](std::size_t stride) {
        ClosureEstimate merged;
        merged.period = e.period;
        std::vector<double> density;
        for (std::size_t first = 0; first + stride <= e.size(); first += stride) {
            double x = 0, held = 0, inverse_d = 0, error = 0;
            for (std::size_t i = first; i < first + stride; ++i) {
                const double n = static_cast<double>(stride);
                x += e.x[i] / n;
                held += std::exp(log_density[i] - log_density[first]) / n;
                inverse_d += 1 / (n * e.diffusion[i]);  // which times have in them
                error = std::max(error, e.diffusion_error[i]);
            }
            merged.x.push_back(x);
            merged.drift.push_back(0);
            merged.drift_error.push_back(1);
            merged.diffusion.push_back(1 / inverse_d);
            merged.diffusion_error.push_back(error);
            density.push_back(log_density[first] + std::log(held));
        }
        return source.model.with(merged, density);
    });
}

namespace {

// Surfaces through every second value along each variable, and walls one and two values further in.
// model: of the estimates that are left.
template <class F>
void vary_surfaces(ClosureSourceOfTwo& source, const F& model) {
    constexpr double kOfSecond = 1.0 / 15;
    const EstimateOfTwo& e = source.estimate;
    std::array<std::vector<double>, 2> values;
    for (std::size_t k = 0; k < 2; ++k) {
        for (const CvValue& x : e.at) values[k].push_back(x[k]);
        std::sort(values[k].begin(), values[k].end());
        values[k].erase(std::unique(values[k].begin(), values[k].end()), values[k].end());
    }
    const CvValue ring{source.model.ring(0), source.model.ring(1)};
    const auto part = [&](const std::function<bool(std::size_t k, std::size_t place,
                                                   std::size_t count)>& keeps) {
        EstimateOfTwo kept = e;
        for (std::size_t i = 0; i < e.size(); ++i)
            for (std::size_t k = 0; k < 2; ++k) {
                const auto at = std::lower_bound(values[k].begin(), values[k].end(), e.at[i][k]);
                if (!keeps(k, static_cast<std::size_t>(at - values[k].begin()), values[k].size()))
                    kept.error[i].fill(std::nan(""));
            }
        return model(kept);
    };
    try {
        const auto second = [](std::size_t, std::size_t i, std::size_t n) {
            return i % 2 == 0 || i + 1 == n;
        };
        source.variants.push_back({part(second), kOfSecond, true});
    } catch (const NumericError&) {  // too few values
    }
    if (ring[0] > 0 && ring[1] > 0) return;  // no walls
    // Walls move rates by the same in every replicate.
    add_two(source, 1, 2, false, [&](std::size_t rim) {
        return part([&](std::size_t k, std::size_t i, std::size_t n) {
            return ring[k] > 0 || (i >= rim && i + rim < n);
        });
    });
}

}  // namespace

void ClosureStage::add_variants(ClosureSourceOfTwo& source) {
    if (source.name != "free_energy")
        vary_surfaces(source, [](const EstimateOfTwo& e) { return ReducedModelOfTwo(e); });
}

void ClosureStage::add_rougher(ClosureSourceOfTwo& source, const std::vector<double>& log_density) {
    vary_surfaces(source, [&](const EstimateOfTwo& e) { return ReducedModelOfTwo(e, log_density); });
}

}  // namespace microlift
