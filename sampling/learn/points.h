// The samples that a diffusion map learns from.
#pragma once

#include <vector>

#include "sampling/learn/features.h"

namespace microlift {

// Some of a run's samples, variable-major: x[d*n + i].
struct SomeSamples {
    index n = 0;
    std::vector<float> x;
    std::vector<double> log_weight;
};

// Which of so many samples: one at random from each of equal stretches, as many as the map reads.
std::vector<index> samples_to_read(index samples, const LearnConfig& config, uint64 seed);

// What the map is made of: weighted points, and the features by which it tells them apart.
struct LearnPoints {
    index n = 0;
    int features = 0;
    std::vector<float> x;         // (variable, point)
    std::vector<double> weights;
    Buffer<float> y;              // (feature, point), on the device
    Buffer<float> metric;         // (entry, point): the local metric from short runs, or nothing
};
LearnPoints learn_points(Stream& stream, const Model& model, const IntegratorConfig& integrator,
                         const LearnFeatures& features, const LearnConfig& config, const SomeSamples& samples,
                         uint64 seed);

}  // namespace microlift
