// How each method of [bias] is read, and what `check` says of it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/config/method_keys.h"
#include "sampling/bias/bias_config.h"

namespace microlift {

struct BiasReader {
    const char *method, *keys;  // of [bias] that not all methods ask for, blanks between
    // Keeps what is wrong, and makes of it the windows that sampling knows.
    BiasConfig (*read)(Config&, ModelConfig&, UmbrellaConfig&);
    std::string (*describe)(const BiasConfig&, const UmbrellaConfig&, double kt);
    bool along_path = false;  // a path says where it is: there is no range
    const char* estimator = "";  // its own, in place of those of samples
};

// That of biases which all walkers make together, where a method has none of its own.
const BiasReader& bias_reader(std::string_view method);

// All that [bias] may name, each with the keys that it asks for and others do not.
std::vector<MethodKeys> bias_method_keys();
// Lets key 'bias.method' be one of them.
void add_bias_methods(Schema& schema);

}  // namespace microlift
