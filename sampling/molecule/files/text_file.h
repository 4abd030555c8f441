// Text files of fixed columns: lines with their numbers, fields, and errors that name both.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/lane/lane.h"

namespace microlift {

// More atoms than all their pairs could be computed for.
inline constexpr index kMostAtoms = 100000;

// Without blanks at both ends.
std::string_view without_blanks(std::string_view text);
// The whole of a trimmed field is one number, finite; Fortran's D as exponent, too.
bool parse_number(std::string_view field, double& value);
bool parse_integer(std::string_view field, long long& value);
// The columns [from, from + width) of a line, counted from 0; short where the line ends.
std::string_view column_field(std::string_view line, std::size_t from, std::size_t width);
std::vector<std::string_view> split_words(std::string_view line);
// `'text'`, cut where it is long.
std::string quote_field(std::string_view text);

class TextFile {
public:
    explicit TextFile(std::filesystem::path path);                 // InputError if it cannot be read
    TextFile(std::filesystem::path name, std::string content);     // already in memory
    TextFile(const TextFile&) = delete;
    TextFile& operator=(const TextFile&) = delete;

    const std::filesystem::path& path() const { return path_; }
    const std::string& content() const { return content_; }
    index size() const { return static_cast<index>(lines_.size()); }
    // Without its end; an empty one behind the last.
    std::string_view line(index i) const;

    // InputError "FILE:LINE: what is wrong; what would be right", the line counted from 0 here.
    [[noreturn]] void refuse(index line, const std::string& message) const;
    // InputError "FILE: …".
    [[noreturn]] void refuse(const std::string& message) const;

private:
    void split();
    std::filesystem::path path_;
    std::string content_;
    std::vector<std::string_view> lines_;
};

}  // namespace microlift
