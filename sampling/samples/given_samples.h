// Samples made elsewhere, whole: states of several trajectories, and what they were biased by. A run keeps them in
// its directory as one file of tensors.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "engine/files/safetensors.h"
#include "kernels/dynamics/cv.h"
#include "sampling/samples/sample_set.h"

namespace microlift {

// States and what they were biased by, all in the host's memory; units are the configuration's.
struct GivenSamples {
    std::vector<std::string> variables;
    std::vector<float> state;        // (row, variable); trajectories one after the other
    std::vector<index> lengths;      // of the trajectories
    std::vector<double> log_weight;  // of each row: ln of unbiased over sampled density; empty: windows alone tell
    std::vector<index> window;       // of each trajectory
    std::vector<std::array<double, kMaxCvs>> center, stiffness;  // of the windows; stiffness 0: unbiased

    // States; trajectories; whether rows have weights.
    index rows() const;
    index trajectories() const { return static_cast<index>(lengths.size()); }
    bool weighted() const { return !log_weight.empty(); }

    // How they lie on the device: one run of samples a window, whose trajectories stand side by side where they are of
    // one length, else one after the other; what correlates within one then counts as correlated.
    struct Columns {
        std::vector<SampleBlock> blocks;
        std::vector<index> row;  // of each column
    };
    // Of these samples.
    Columns columns() const;

    // As what a run's directory keeps.
    SafeTensors tensors() const;
    // InputError where the tensors are none of samples; `name` is the file's.
    static GivenSamples of(const SafeTensors& content, const std::string& name);
};

}  // namespace microlift
