// `microlift learn` and the stage of that name: a diffusion map of a run's stored samples.
#pragma once

#include <string>
#include <vector>

#include "engine/device/stream.h"
#include "engine/progress.h"
#include "sampling/learn/learn_config.h"
#include "sampling/model/model_config.h"

namespace microlift {

// What `microlift learn` says of the coordinates 1 … K, here first.
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

// Reads DIR/samples.h5, writes the file. options.seed is given.
LearnedSummary learn_coordinates(Stream& stream, const ModelConfig& config,
                                 const LearnOptions& options, Progress& progress);

}  // namespace microlift
