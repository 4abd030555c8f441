// temperatures.csv: what walkers of one expanded ensemble know of every temperature.
#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/at.h"
#include "sampling/run/places.h"
#include "sampling/run/stages/bias/bias.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

constexpr index kGroups = 32;  // of walkers, which are independent of one another

// ln Σ e^{terms}.
double log_sum(const std::vector<double>& terms) {
    const double most = *std::ranges::max_element(terms);
    double sum = 0;
    for (const double term : terms) sum += std::exp(term - most);
    return most + std::log(sum);
}

// By group: ln of the sum of weights e^{U/kT − (β − β₀) V}, and of what multiplies V in the mean.
struct GroupSums {
    std::vector<double> all;     // ln Σ w
    std::vector<double> energy;  // Σ w V / Σ w
};

// In three passes over the samples: terms of all would take four times their memory.
GroupSums sums_at(const StoredCvs& v, const HostView<float>& u, index walkers, index groups, double kt,
                  double hotter) {
    std::vector<double> most(at(groups), -std::numeric_limits<double>::infinity()), sum(at(groups), 0.0);
    GroupSums sums{std::vector<double>(at(groups)), sum};
    const auto each = [&](const auto& take) {
        for (index j = 0; j < u.size(); ++j)
            take(at(j % walkers * groups / walkers), static_cast<double>(u[at(j)]) / kt - hotter * v(0, j), v(0, j));
    };
    each([&](std::size_t g, double term, double) { most[g] = std::max(most[g], term); });
    each([&](std::size_t g, double term, double) { sum[g] += std::exp(term - most[g]); });
    for (std::size_t g = 0; g < sum.size(); ++g) sums.all[g] = most[g] + std::log(sum[g]);
    each([&](std::size_t g, double term, double energy) { sums.energy[g] += std::exp(term - sums.all[g]) * energy; });
    return sums;
}

// Of all groups but one (−1: of all).
double log_without(const std::vector<double>& all, std::size_t left_out) {
    std::vector<double> terms;
    for (std::size_t g = 0; g < all.size(); ++g)
        if (g != left_out) terms.push_back(all[g]);
    return log_sum(terms);
}

double mean_without(const GroupSums& sums, std::size_t left_out) {
    const double all = log_without(sums.all, left_out);
    double mean = 0;
    for (std::size_t g = 0; g < sums.all.size(); ++g)
        if (g != left_out) mean += std::exp(sums.all[g] - all) * sums.energy[g];
    return mean;
}

// A value of all groups, and its error by leaving out one after the other.
template <class Value>
std::pair<double, double> jackknife(std::size_t groups, const Value& value) {
    double mean = 0, squares = 0;
    const auto n = static_cast<double>(groups);
    for (std::size_t g = 0; g < groups; ++g) mean += value(g) / n;
    for (std::size_t g = 0; g < groups; ++g) squares += (value(g) - mean) * (value(g) - mean);
    return {value(groups), groups > 1 ? std::sqrt(squares * (n - 1) / n) : kNaN};
}

}  // namespace

void write_temperatures(Run& run) {
    const AdaptiveOptions& o = run.bias.method->options();
    const SampleSet& samples = run.samples;
    const index walkers = samples.blocks.front().trajectories(), groups = std::min(kGroups, walkers);
    Buffer<float> energy(run.device, samples.n);
    run.bias.method->energy(run.stream, samples.xi.span(), samples.row, samples.n, energy.span());
    const HostView<float> u(run.stream, Span<const float>(energy.span()));
    const StoredCvs v(run);
    std::vector<double> kts{o.kt};
    kts.insert(kts.end(), o.temperatures.begin(), o.temperatures.end());
    const GroupSums own = sums_at(v, u, walkers, groups, o.kt, 0);
    CsvWriter csv(run.dir / "temperatures.csv",
                  {"kt", "reduced_free_energy", "std_error", "energy", "energy_se"});
    for (const double kt : kts) {
        const GroupSums here = sums_at(v, u, walkers, groups, o.kt, 1 / kt - 1 / o.kt);
        const auto f = jackknife(at(groups), [&](std::size_t g) { return log_without(own.all, g) - log_without(here.all, g); });
        const auto mean = jackknife(at(groups), [&](std::size_t g) { return mean_without(here, g); });
        csv.row({kt, f.first, f.second, mean.first, mean.second});
    }
    csv.finish();
}

}  // namespace microlift
