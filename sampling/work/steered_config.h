// [bias] with method = "steered".
#pragma once

#include <functional>

#include "sampling/bias/bias_config.h"
#include "sampling/work/steered.h"

namespace microlift {

// What methods with a path have in common: keeps what is wrong, and makes of it windows where `centers`
// says, given the points of the path.
BiasConfig read_path(Config& config, ModelConfig& model, UmbrellaConfig& umbrella,
                     const std::function<std::vector<CvValue>(const std::vector<CvValue>&, const BiasConfig&)>& centers);
// Keeps what is wrong, and makes of it windows at both ends of the path.
BiasConfig read_steered(Config& config, ModelConfig& model, UmbrellaConfig& umbrella);

SteeredOptions steered_options(const BiasConfig& bias, const UmbrellaConfig& umbrella, double kt);

// What `check` says of it.
std::string describe_steered(const BiasConfig& bias, const UmbrellaConfig& umbrella);

// Bytes that the looks on the way take.
double steered_bytes(const BiasConfig& bias, const UmbrellaConfig& umbrella);

}  // namespace microlift
