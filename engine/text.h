// Text for people.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace microlift {

inline constexpr std::size_t kWholeText = static_cast<std::size_t>(-1);

// What becomes of the control characters of names and files, which may hold anything, and of bytes that are
// not UTF-8.
enum class Controls {
    blank,   // blanks, of lines and tabs too: one line
    escape,  // \xNN, for a terminal that would obey them; lines and tabs stay
};

// UTF-8 without control characters, and long texts cut.
std::string printable(std::string_view text, std::size_t limit, Controls controls);

// A number in a message: "nan" whatever its sign.
std::string number(double value, int digits);

}  // namespace microlift
