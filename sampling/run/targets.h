// The stored samples as what a generator learns, and as the physics that it is judged by.
#pragma once

#include "engine/device/host_view.h"
#include "nn/generators/registry.h"
#include "sampling/estimate/conditional.h"
#include "sampling/run/run.h"

namespace microlift {

// ln of unbiased over sampled density of each sample made elsewhere.
std::vector<double> given_log_weights(const Run& run);
// Once these samples are there: what each counts beside others at its ξ.
void weigh_given(Run& run);
// What generated states are judged by: the free variables of the state, or the observed functions, or the
// torsions of a molecule.
std::vector<std::string> target_names(const Run& run);
// Their rows in what as_targets() makes of lifted states.
std::vector<int> generated_rows(const Run& run);
// Lifted states x (…, n) as what they are judged by: of a molecule its torsions, else the states themselves.
std::vector<float> as_targets(Run& run, const Buffer<float>& x, index n);

// The same of every stored sample: value v of sample j is values[v*row + j], on the device.
struct Targets {
    Span<const float> values;
    index row = 0;
    index count = 0;  // of values
};
Targets targets(Run& run);

// What a generator is trained on: the samples as they lie, or, of those made elsewhere, copies in another order. What is
// held out at its end is then the end of every trajectory, and where samples in one bin have different weights, others
// of the bin stand for those that count little.
class TrainingData {
public:
    void give(Run& run, GeneratorTrainer& trainer, const Targets& y);  // lives as long as the training

private:
    Buffer<float> values_, conditions_;
};
HostView<float> host_column(Run& run, const Targets& y, index value);  // of every sample
// Their averages at every bin. Chooses the blocks for errors where no estimate did.
ConditionalMoments target_moments(Run& run);
// Of a molecule's states x (…, n): the angle of each torsion that it turns about, (state, torsion), on the host.
std::vector<float> torsion_angles(Run& run, Span<const float> x, index row, index n);

// The collective variables of every stored sample, for the host.
class StoredCvs {
public:
    explicit StoredCvs(Run& run);
    double operator()(int k, index sample) const {
        return static_cast<double>(values_[static_cast<std::size_t>(k * row_ + sample)]);
    }
    const float* data() const { return values_.data(); }  // of the first variable

private:
    HostView<float> values_;
    index row_;
};
// Samples whose ξ lies within `reach` bin widths of a value; up to `most`, evenly spread.
std::vector<index> samples_near(Run& run, const StoredCvs& xi, const CvValue& value, double reach, index most);

// What [generator] says.
TrainerConfig trainer_config(const RunConfig& run, index iterations, uint64 seed);

}  // namespace microlift
