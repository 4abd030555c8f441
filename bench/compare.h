// Two sets of figures beside each other: those of this run, or of a file, and those of an earlier one.
#pragma once

#include <string>

#include "engine/files/json.h"

namespace microlift {

// What `microlift bench --json FILE` wrote. InputError, with the file's name, for anything else.
Json read_figures(const std::string& file);

// Prints a table: both rates of every benchmark that is on both sides, their ratio and its range; what differs where
// a ratio is no comparison; and what is on one side alone. `name` is the old file's.
// fail_below > 0: NumericError where a comparable rate fell below that share of the old one, InputError where
// nothing is comparable.
void compare_figures(const Json& figures, const Json& old, const std::string& name, double fail_below);

}  // namespace microlift
