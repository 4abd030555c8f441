// Samples made elsewhere, in place of the first round of sampling.
#include "sampling/run/stages.h"

#include <algorithm>

#include "engine/at.h"
#include "sampling/run/meter.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

// The windows that the samples were made under; one that nothing holds lies in the middle.
void add_given_windows(Run& run, const GivenSamples& given) {
    for (std::size_t w = 0; w < given.center.size(); ++w) {
        CvValue center = given.center[w];
        for (int k = 0; k < run.grid.dims; ++k)
            if (given.stiffness[w][at(k)] == 0)
                center[at(k)] = 0.5 * (run.grid.from[at(k)] + run.grid.to[at(k)]);
        run.windows.center.push_back(center);
        run.windows.stiffness.push_back(given.stiffness[w]);
    }
}

void copy_states(Run& run, const GivenSamples& given, const std::vector<index>& row) {
    SampleSet& samples = run.samples;
    const index D = run.model.dim();
    std::vector<float> column(row.size());
    for (index d = 0; d < D; ++d) {
        for (std::size_t j = 0; j < row.size(); ++j) column[j] = given.state[at(row[j] * D + d)];
        copy_to_device(run.stream, samples.x.span().subspan(d * samples.row, std::ssize(row)), column.data());
    }
    samples.n = std::ssize(row);
}

// How much samples that weigh differently at the same value tell, of as many that weigh alike.
void note_weights(Run& run) {
    if (run.samples.weight.size() == 0) return;
    double sum = 0;
    for (const float w : to_host(run.stream, Span<const float>(run.samples.weight.span()))) sum += static_cast<double>(w);
    const double share = sum / static_cast<double>(run.samples.n);
    run.record["given"]["alike_within_bins"] = share;
    constexpr double kAlike = 0.9;
    if (run.config.closure.enabled && share < kAlike)
        run.warn("samples at one value of the collective variables have different weights (they tell as much as " +
                 number(100 * share) + " % of as many alike), and bursts and passages of the closure begin at them as they "
                 "lie: closures by averages count the weights, those by bursts do not");
}

}  // namespace

void take(Run& run) {
    run.progress.begin("read samples", 1, "pass");
    StageMeter meter(run.record, "take");
    const GivenSamples& given = *run.config.samples.given;
    const GivenSamples::Columns columns = given.columns();
    add_given_windows(run, given);
    copy_states(run, given, columns.row);
    SampleSet& samples = run.samples;
    samples.blocks = columns.blocks;
    constexpr index kPiece = 1 << 18;
    const index outputs = run.model.n_cvs() * (1 + run.model.dim()), most = std::min(samples.n, kPiece);
    Buffer<float> values(run.device, outputs * most);
    for (index first = 0; first < samples.n; first += kPiece) {
        const index count = std::min(kPiece, samples.n - first);
        run.model.evaluate_cvs(run.stream, samples.x.span().subspan(first, (run.model.dim() - 1) * samples.row + count),
                               samples.row, count, values.span(), most);
        for (int k = 0; k < run.model.n_cvs(); ++k)
            copy(run.stream, samples.xi.span().subspan(k * samples.row + first, count),
                 Span<const float>(values.span().subspan(k * most, count)));
    }
    weigh_given(run);
    run.stream.synchronize();
    Json& record = run.record["given"];
    record["trajectories"] = given.trajectories();
    record["samples"] = samples.n;
    record["windows"] = std::ssize(given.center);
    const bool held = std::ranges::any_of(given.stiffness, [](const auto& s) { return s[0] > 0 || s[1] > 0; });
    record["bias"] = given.weighted() ? "weights" : held ? "windows" : "none";
    note_weights(run);
    run.progress.end();
}

}  // namespace microlift
