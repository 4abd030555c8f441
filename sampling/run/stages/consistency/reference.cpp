#include "sampling/run/stages/consistency/consistency.h"

#include <algorithm>
#include <limits>

#include "sampling/estimate/sample_kernels.h"
#include "sampling/numerics/local_law.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

constexpr index kLeastSamples = 1000;  // near a value, for its quartiles and kurtosis

// Of samples near a value: how far they are from it, in which of the blocks for errors.
LocalLaw law_near(const Run& run, const StoredCvs& xi, const CvValue& value,
                  const std::vector<index>& close) {
    std::vector<double> away;
    for (int k = 0; k < run.grid.dims; ++k)
        for (index j : close)
            away.push_back(run.grid.apart(k, xi(k, j), value[static_cast<std::size_t>(k)]));
    const std::vector<SampleBlock>& all = run.samples.blocks;
    std::vector<index> blocks;
    std::size_t at = 0;
    for (index j : close) {
        while (j >= all[at].first + all[at].size()) ++at;
        blocks.push_back(
            block_division(all[at], run.free_energy.error_blocks).block(j - all[at].first));
    }
    return LocalLaw(run.grid.dims, std::move(away), std::move(blocks),
                    run.free_energy.error_blocks.count());
}

// κ − 1 of samples.
double excess_of(const std::vector<double>& x) {
    double first = 0, second = 0, fourth = 0;
    const double count = static_cast<double>(x.size());
    for (const double v : x) first += v;
    for (const double v : x) {
        const double d = v - first / count;
        second += d * d;
        fourth += d * d * d * d;
    }
    return std::max(2.0, count * fourth / (second * second) - 1);
}

void take_moments(Run& run, const std::vector<CvValue>& values, std::size_t F,
                  std::vector<LocalReference>& references) {
    const ConditionalMoments m = target_moments(run);
    for (std::size_t c = 0; c < values.size(); ++c)
        for (std::size_t f = 0; f < F; ++f) {
            const auto v = static_cast<index>(f);
            const double x = values[c][0], y = values[c][1];
            references[c * F + f].mean = {m.mean_at(v, x, y), m.mean_error_at(v, x, y)};
            references[c * F + f].variance = {m.variance_at(v, x, y), m.variance_error_at(v, x, y)};
        }
}

void take_exact(const ExactConditional& law, LocalReference& reference) {
    reference.mean = {law.mean, 0};
    reference.variance = {law.variance, 0};
    for (std::size_t q = 0; q < 3; ++q)
        reference.quartiles[q] = {law.quantile(0.25 * static_cast<double>(q + 1)), 0};
}

}  // namespace

std::vector<LocalReference> local_references(Run& run, const std::vector<CvValue>& values,
                                             const StoredCvs& xi,
                                             const std::optional<ExactModel>& exact) {
    const std::size_t V = values.size(), F = run.free.size();
    std::vector<LocalReference> references(V * F);
    for (LocalReference& r : references)
        r.quartiles.fill({std::numeric_limits<double>::quiet_NaN(), 0});
    if (!exact) take_moments(run, values, F, references);
    std::vector<std::vector<index>> close;
    std::vector<LocalLaw> laws;  // empty where quadrature gives the quartiles
    for (std::size_t c = 0; c < V; ++c) {
        close.push_back(samples_near(run, xi, values[c], 0.5, 10 * kConsistencyCompared));
        if (exact)
            take_exact(exact->at(values[c][0]), references[c]);
        else
            laws.push_back(law_near(run, xi, values[c], close.back()));
    }
    const Targets y = targets(run);
    for (std::size_t f = 0; f < F; ++f) {
        const HostView<float> column = host_column(run, y, static_cast<index>(f));
        for (std::size_t c = 0; c < V; ++c) {
            if (static_cast<index>(close[c].size()) < kLeastSamples) continue;
            std::vector<double> found;
            for (index j : close[c])
                found.push_back(static_cast<double>(column[static_cast<std::size_t>(j)]));
            LocalReference& reference = references[c * F + f];
            reference.excess = excess_of(found);
            if (exact) continue;
            const std::vector<double> bounds = laws[c].quantiles(found, {0.25, 0.5, 0.75});
            for (std::size_t q = 0; q < 3; ++q)
                reference.quartiles[q] = {bounds[q], laws[c].share_error(found, bounds[q])};
        }
    }
    return references;
}

}  // namespace microlift
