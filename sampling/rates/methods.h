// The table of methods.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/lane/lane.h"

namespace microlift {

class RateMethod;
class Stream;
struct RateSetup;

// A line of the table.
struct RateMethodEntry {
    const char *name, *meaning;
    index replicas;    // unless the configuration says how many
    const char* keys;  // of [rates] that not all methods ask for, blanks between
    std::unique_ptr<RateMethod> (*make)(Stream& stream, const RateSetup& setup);
};

// The library's own; and the one that a setup names.
const std::vector<RateMethodEntry>& rate_methods();
std::unique_ptr<RateMethod> make_rate_method(Stream& stream, const RateSetup& setup);

// Adaptive multilevel splitting; a weighted ensemble; exact milestoning.
std::unique_ptr<RateMethod> make_splitting(Stream& stream, const RateSetup& setup);
std::unique_ptr<RateMethod> make_weighted_ensemble(Stream& stream, const RateSetup& setup);
std::unique_ptr<RateMethod> make_milestoning(Stream& stream, const RateSetup& setup);

}  // namespace microlift
