// The table of bias methods.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sampling/bias/method.h"

namespace microlift {

// A line of the table.
struct BiasMethodEntry {
    const char *name, *meaning;
    // InputError where the options do not fit.
    std::unique_ptr<BiasMethod> (*make)(Stream& stream, const BiasSetup& setup);
    bool adaptive = false;  // an AdaptiveBias, made with AdaptiveOptions
    const char* keys = "";  // of [bias] that not all adaptive ones ask for, blanks between
};

// The library's own.
const std::vector<BiasMethodEntry>& bias_methods();
// From the table or a longer one of your own; InputError with the nearest name where there is none.
std::unique_ptr<BiasMethod> make_bias_method(
    const std::string& name, Stream& stream, const BiasSetup& setup,
    const std::vector<BiasMethodEntry>& methods = bias_methods());

// The options of a method as its own struct.
template <class Options>
const Options& options_of(const BiasSetup& setup) {
    if (const auto* options = std::any_cast<Options>(&setup.options)) return *options;
    throw InputError("bias: the options are those of another method");
}

}  // namespace microlift
