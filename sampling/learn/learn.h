// Learned coordinates: a diffusion map of a run's samples, in a form that a later run can bias.
#pragma once

#include <string>
#include <vector>

#include "engine/progress.h"
#include "sampling/learn/learn_config.h"
#include "sampling/learn/points.h"

namespace microlift {

// What is said of the coordinates 1 … K, here first.
struct LearnedSummary {
    index points = 0;
    double epsilon = 0.0, dimension = 0.0;
    std::vector<double> eigenvalues, rates;
    std::vector<int> independent;
    std::vector<std::string> variables;
    std::vector<std::vector<double>> rank_correlation;  // with each variable
    double harmonics_error = 0.0;                       // of lifting by geometric harmonics
    std::vector<std::string> warnings;
    std::string text;  // to print
};

// From some samples of a run of the model, see samples_to_read(); writes `out_file`.
LearnedSummary learn_coordinates(Stream& stream, const Model& model,
                                 const IntegratorConfig& integrator, const LearnConfig& config,
                                 const SomeSamples& samples, uint64 seed,
                                 const std::string& out_file, Progress& progress);

}  // namespace microlift
