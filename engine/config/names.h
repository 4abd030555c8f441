#pragma once
// Which known name a misspelt one was meant to be.

#include <string>
#include <string_view>
#include <vector>

namespace microlift {

// Levenshtein distance, for the nearest known name.
int edit_distance(std::string_view a, std::string_view b);
// The nearest of `names`, or empty if none is near.
std::string nearest_name(std::string_view name, const std::vector<std::string>& names);

}  // namespace microlift
