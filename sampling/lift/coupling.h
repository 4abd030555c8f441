// The adaptive coupling loop's decisions: where new windows are needed, whether what an earlier
// window left still agrees with a later one, and how samples are thrown away. A run's stages use
// them (sampling/run/stages/couple.cpp); they know nothing of files or configurations.
#pragma once

#include <array>
#include <vector>

#include "sampling/bias/windows.h"
#include "sampling/samples/sample_set.h"

namespace microlift {

// A place where a window may go. Every figure is in units of its target, so 1 is good enough.
struct CouplingPlace {
    std::array<double, kMaxCvs> at{};
    double free_energy_error = 0;  // standard error of the free energy here
    double distance = 0;           // generator's held-out W1/σ above its floor
    double spread = 0;             // standard error of conditional averages, in σ
    double overlap = 0;            // of the windows around it: least that is trusted / found
    double disagreement = 0;       // reweighted lifted states against the samples, W1/σ
    double effective_share = 1;    // of the reweighted states
    // Missing states come first: nothing else can be trusted there.
    bool missing_states() const { return disagreement > 1; }
    double score() const;          // the worst of them
    const char* reason() const;    // its name, in words
};

// `count` places, those with missing states first, then of the highest scores, at least `separation` (in units of `unit` along each CV)
// apart as long as there are such; ordered along the CVs. Ties go to the earlier place.
std::vector<std::size_t> choose_places(const std::vector<CouplingPlace>& places, index count,
                                       const std::array<double, kMaxCvs>& unit, double separation,
                                       const std::array<double, kMaxCvs>& period = {});

// What one window stored: x[(v*samples + s)*replicas + r] and likewise xi[(k*samples + s)*replicas
// + r].
struct WindowData {
    std::array<double, kMaxCvs> center{}, stiffness{};
    std::array<double, kMaxCvs> period{};  // 0: none
    index samples = 0, replicas = 0;
    int variables = 0, dims = 1;
    std::vector<float> x, xi;
};

// Do two windows tell the same about x at a given ξ? The later one's samples are reweighted to the
// earlier one's bias; means and mean squares are compared. The largest difference, in standard errors
// from independent replicas; 0 where the windows share too little (effective samples of the
// reweighting under a tenth, or fewer than 4 replicas).
double window_disagreement(const WindowData& earlier, const WindowData& later,
                           const std::array<double, kMaxCvs>& beta);

// The variables `rows` of x of one window of a sample set, as host arrays.
WindowData window_data(Stream& stream, const SampleSet& samples, const BiasWindows& windows,
                       index window, Span<const float> x, index row, int variables);

// Removes windows (and the blocks that become empty) from a sample set and its biases, on the device.
void remove_windows(Stream& stream, SampleSet& samples, BiasWindows& windows,
                    const std::vector<bool>& remove);

}  // namespace microlift
