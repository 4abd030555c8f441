// Names in the text of a formula, and what stands for them.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace microlift {

// Every name in turn, functions' included, becomes what `of` gives for it; an empty text leaves it. `called`:
// whether an opening parenthesis follows.
std::string with_names(std::string_view formula,
                       const std::function<std::string(std::string_view name, bool called)>& of);

}  // namespace microlift
