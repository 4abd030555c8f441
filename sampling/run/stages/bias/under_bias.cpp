#include "sampling/run/stages/bias/under_bias.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "sampling/bias/adaptive.h"
#include "sampling/bias/energy.h"
#include "sampling/run/places.h"

namespace microlift {

namespace {

constexpr index kFirstLook = 16;  // part of all samples

}  // namespace

EstimateOptions estimate_options(const Run& run) {
    const EstimateConfig& config = run.config.estimate;
    EstimateOptions options;
    options.method = config.method;
    options.kt = run.model.kt();
    options.tolerance = config.tolerance;
    options.max_iterations = config.max_iterations;
    options.error_blocks = config.blocks;
    return options;
}

FreeEnergyResult estimate_under_bias(Run& run, const BiasedSamples& biased, const BiasWindows& windows) {
    EstimateOptions options = estimate_options(run);
    const std::vector<CvValue> centres = bin_centres(run.grid);
    const auto bins = std::ssize(centres);
    std::vector<float> xi(at(run.grid.dims * bins));
    for (index b = 0; b < bins; ++b)
        for (index k = 0; k < run.grid.dims; ++k) xi[at(k * bins + b)] = static_cast<float>(centres[at(b)][at(k)]);
    Buffer<float> places(run.device, std::ssize(xi)), energy(run.device, bins);
    copy_to_device(run.stream, places.span(), xi.data());
    run.bias.method->energy(run.stream, places.span(), bins, bins, energy.span());
    for (const float u : to_host(run.stream, Span<const float>(energy.span())))
        options.common_bias.push_back(static_cast<double>(u));
    FreeEnergyResult result =
        estimate_free_energy(run.stream, biased, windows, run.grid, options);
    Buffer<float> of_samples(run.device, biased.n);
    run.bias.method->energy(run.stream, biased.xi, biased.row, biased.n, of_samples.span());
    add_scaled(run.stream, static_cast<float>(1 / run.model.kt()), of_samples.span(), result.log_weight.span());
    return result;
}

FreeEnergyProfile first_profile(Run& run, index walkers, index samples) {
    BiasedSamples biased = run.samples.biased();
    biased.n = walkers * samples;
    biased.blocks = {{0, 0, 1, walkers, samples}};
    BiasWindows first = run.windows;
    first.center.resize(1);
    first.stiffness.resize(1);
    return estimate_under_bias(run, biased, first).profile;
}

TypicalError typical_error(const FreeEnergyProfile& profile) {
    TypicalError typical;
    double squares = 0;
    for (std::size_t b = 0; b < profile.free_energy.size(); ++b) {
        const double error = profile.std_error[b];
        if (!std::isfinite(profile.free_energy[b]) || !std::isfinite(error)) continue;
        squares += error * error;
        ++typical.bins;
    }
    typical.rms = typical.bins > 0 ? std::sqrt(squares / static_cast<double>(typical.bins)) : kNaN;
    return typical;
}

bool is_look(index samples, index all) {
    index look = (all + kFirstLook - 1) / kFirstLook;
    while (look < samples) look = std::max(look + 1, (5 * look + 3) / 4);
    return look == samples && samples < all;
}

}  // namespace microlift
