// Files of this folder's data, and edits of them.
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "engine/files/files.h"
#include "kernels/lane/lane.h"

namespace microlift {

inline std::filesystem::path molecule_data_path(const std::string& name) {
    return std::filesystem::path(MICROLIFT_SOURCE_DIR) / "tests/sampling/molecule/data" / name;
}

inline std::string molecule_data(const std::string& name) {
    return read_file(molecule_data_path(name), std::size_t{1} << 20);
}

// Where a field of a prmtop's section begins: behind %FLAG NAME, comments and %FORMAT.
inline std::size_t section_field_at(const std::string& text, const std::string& flag, index field,
                                    std::size_t width) {
    std::size_t at = text.find("%FLAG " + flag + " ");
    REQUIRE(at != std::string::npos);
    while (text[at] == '%') at = text.find('\n', at) + 1;
    const std::size_t per_line = 80 / width;
    for (std::size_t line = static_cast<std::size_t>(field) / per_line; line > 0; --line)
        at = text.find('\n', at) + 1;
    return at + static_cast<std::size_t>(field) % per_line * width;
}

inline std::string section_field(const std::string& text, const std::string& flag, index field,
                                 std::size_t width) {
    return text.substr(section_field_at(text, flag, field, width), width);
}

// `value` is put at the right of its columns.
inline void set_section_field(std::string& text, const std::string& flag, index field, std::size_t width,
                              std::string value) {
    if (value.size() < width) value.insert(0, width - value.size(), ' ');
    text.replace(section_field_at(text, flag, field, width), width, value);
}

inline void replace_text(std::string& text, const std::string& from, const std::string& to) {
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    text.replace(at, from.size(), to);
}

}  // namespace microlift
