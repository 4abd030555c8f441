// How each method of [bias] is read, and what `check` says of it.
#pragma once

#include <string>
#include <string_view>

#include "sampling/bias/bias_config.h"

namespace microlift {

struct BiasReader {
    const char* method;
    // Keeps what is wrong, and makes of it the windows that sampling knows.
    BiasConfig (*read)(Config&, ModelConfig&, UmbrellaConfig&);
    std::string (*describe)(const BiasConfig&, const UmbrellaConfig&, double kt);
    bool along_path = false;  // a path says where it is: there is no range
    const char* estimator = "";  // its own, in place of those of samples
};

// That of biases which all walkers make together, where a method has none of its own.
const BiasReader& bias_reader(std::string_view method);

}  // namespace microlift
