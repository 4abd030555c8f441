// JSON files that notice when they were altered: the first key is a checksum of everything after it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/files/json.h"

namespace microlift {

// One line of text, of an object without a key "checksum".
std::string checked_json(const Json& object);
// Nothing where the text is not JSON, or not what checked_json() made.
std::optional<Json> parse_checked_json(std::string_view text);

}  // namespace microlift
