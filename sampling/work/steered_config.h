// [bias] with method = "steered".
#pragma once

#include "sampling/bias/bias_config.h"
#include "sampling/work/steered.h"

namespace microlift {

// Keeps what is wrong, and makes of it windows at both ends of the path.
BiasConfig read_steered(Config& config, ModelConfig& model, UmbrellaConfig& umbrella);

SteeredOptions steered_options(const BiasConfig& bias, const UmbrellaConfig& umbrella, double kt);

// What `check` says of it.
std::string describe_steered(const BiasConfig& bias, const UmbrellaConfig& umbrella);

// Bytes that the looks on the way take.
double steered_bytes(const BiasConfig& bias, const UmbrellaConfig& umbrella);

}  // namespace microlift
