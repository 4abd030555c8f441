// Text for people.
#pragma once

#include <string>
#include <string_view>

namespace microlift {

// With \xNN for what a terminal would obey: names of files and variables may hold anything. Lines and
// tabs stay.
std::string for_terminal(std::string_view text);

}  // namespace microlift
