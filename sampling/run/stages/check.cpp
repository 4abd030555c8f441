// What the stored samples say against themselves and against the collective variables.
#include "sampling/run/stages.h"

#include <cmath>

#include "sampling/estimate/stationarity.h"
#include "sampling/learn/landmarks.h"
#include "sampling/run/checks.h"
#include "sampling/run/stages/jumps.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

// A collective variable that is flat where the samples are.
void warn_flat_cv(Run& run) {
    constexpr index kPieces = 32, kPiece = 128, n = kPieces * kPiece;
    const SampleSet& samples = run.samples;
    if (run.model.linear_cvs() || samples.n < n) return;
    const Checking check(run, "flat");
    const int K = run.model.n_cvs(), D = run.model.dim(), outputs = K * (1 + D);
    Buffer<float> out(run.device, outputs * n);
    for (index p = 0; p < kPieces; ++p) {
        const index first = p * (samples.n - kPiece) / (kPieces - 1);
        run.model.evaluate_cvs(run.stream,
                               samples.x.span().subspan(first, (D - 1) * samples.row + kPiece),
                               samples.row, kPiece,
                               out.span().subspan(p * kPiece, (outputs - 1) * n + kPiece), n);
    }
    const std::vector<float> host = to_host(run.stream, Span<const float>(out.span()));
    for (int k = 0; k < K; ++k) {
        std::vector<double> square(static_cast<std::size_t>(n), 0.0);
        const float* gradient = host.data() + (K + k * D) * n;
        for (index i = 0; i < D * n; ++i) {
            const double g = static_cast<double>(gradient[i]);
            square[static_cast<std::size_t>(i % n)] += g * g;
        }
        if (const double flat = flat_share(square); flat > kMostFlat)
            run.warn("the gradient of the collective variable " +
                     run.model.cv_names()[static_cast<std::size_t>(k)] + " vanishes at " +
                     number(100 * flat) +
                     " % of the samples: a bias on it moves nothing there, and its closure has no "
                     "noise; choose one that changes wherever the samples are");
    }
}

// The start was not forgotten.
void warn_drift(Run& run) {
    const Checking check(run, "stationary");
    // Of a molecule its shape: where it lies does not matter.
    const std::vector<std::string>& features = run.model.feature_names();
    const std::vector<std::string>& names = features.empty() ? run.model.variables() : features;
    const SampleSet& samples = run.samples;
    const Span<const float> values = features.empty() ? samples.x.span() : targets(run).values;
    std::string list;
    for (const Drifting& d :
         drifting_windows(run.stream, run.samples.biased(), values, samples.row, static_cast<int>(names.size()))) {
        const CvValue& center = run.windows.center[static_cast<std::size_t>(d.window)];
        list += (list.empty() ? "" : ", ") + number(center[0]) +
                (run.model.n_cvs() > 1 ? "; " + number(center[1]) : "") + " (" +
                names[static_cast<std::size_t>(d.variable)] + ", " +
                number(std::fabs(d.z)) + ")";
    }
    if (!list.empty() && run.config.bias.enabled)
        run.warn("not in equilibrium: the two halves of the samples differ, by more standard errors than chance "
                 "explains, in " + list.substr(list.find('(')) + "; error bars do not include that. Give more 'bias.steps', or "
                 "bias what hides behind the collective variable, too");
    else if (!list.empty())
        run.warn("not in equilibrium: the two halves of the samples differ, by more standard errors "
                 "than chance explains, in the windows at " + list +
                 "; error bars do not include that. Raise umbrella.equilibrate, use "
                 "umbrella.exchange or [coupling]");
}

}  // namespace

void check_samples(Run& run) {
    warn_flat_cv(run);
    if (!run.config.samples.enabled || run.config.coupling.enabled) check_jumps(run);  // else nothing pulls
    warn_drift(run);
}

}  // namespace microlift
