// [bias] with method = "population_annealing": no bias, but walkers that come down from a high temperature.
#pragma once

#include "sampling/bias/bias_config.h"

namespace microlift {

// Keeps what is wrong, and makes of it one window without a parabola, which is sampled at the end.
BiasConfig read_annealing(Config& config, ModelConfig& model, UmbrellaConfig& umbrella);

// Inverse temperatures of all rungs, the hottest first, the system's last, in equal ratios.
std::vector<double> annealed_betas(const BiasConfig& bias, double beta);

// What `check` says of it.
std::string describe_annealing(const BiasConfig& bias, const UmbrellaConfig& umbrella);

}  // namespace microlift
