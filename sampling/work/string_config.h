// [bias] with method = "string".
#pragma once

#include "sampling/bias/bias_config.h"
#include "sampling/work/string_path.h"

namespace microlift {

// Keeps what is wrong, and makes of it a window at every point of the string.
BiasConfig read_string(Config& config, ModelConfig& model, UmbrellaConfig& umbrella);

// What `check` says of it.
std::string describe_string(const BiasConfig& bias, const UmbrellaConfig& umbrella);

}  // namespace microlift
