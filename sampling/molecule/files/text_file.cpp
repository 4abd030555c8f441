#include "sampling/molecule/files/text_file.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "engine/at.h"
#include "engine/files/files.h"
#include "engine/text.h"

namespace microlift {

namespace {

constexpr std::size_t kMostTextBytes = std::size_t{1} << 30;

// Names out of a file may hold anything, a message is one line.
std::string one_line(std::string text) {
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
}

}  // namespace

std::string_view without_blanks(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t\r");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

bool parse_number(std::string_view field, double& value) {
    field = without_blanks(field);
    if (!field.empty() && field[0] == '+') field.remove_prefix(1);
    char text[64];
    if (field.empty() || field.size() > sizeof text) return false;
    for (std::size_t i = 0; i < field.size(); ++i)
        text[i] = field[i] == 'D' || field[i] == 'd' ? 'e' : field[i];
    const char* end = text + field.size();
    const auto parsed = std::from_chars(text, end, value);
    if (parsed.ec == std::errc::result_out_of_range && parsed.ptr == end) {
        // Too small to be told from zero, or too large.
        const std::size_t exponent = std::string_view(text, field.size()).find_first_of("eE");
        if (exponent == std::string_view::npos || text[exponent + 1] != '-') return false;
        value = 0;
        return true;
    }
    return parsed.ec == std::errc() && parsed.ptr == end && std::isfinite(value);
}

bool parse_integer(std::string_view field, long long& value) {
    field = without_blanks(field);
    if (field.size() > 1 && field[0] == '+' && field[1] != '-') field.remove_prefix(1);
    const auto parsed = std::from_chars(field.data(), field.data() + field.size(), value);
    return !field.empty() && parsed.ec == std::errc() && parsed.ptr == field.data() + field.size();
}

std::string_view column_field(std::string_view line, std::size_t from, std::size_t width) {
    return from < line.size() ? line.substr(from, width) : std::string_view();
}

std::vector<std::string_view> split_words(std::string_view line) {
    std::vector<std::string_view> found;
    for (std::size_t i = 0; i < line.size();) {
        const std::size_t first = line.find_first_not_of(" \t\r", i);
        if (first == std::string_view::npos) break;
        const std::size_t end = std::min(line.find_first_of(" \t\r", first), line.size());
        found.push_back(line.substr(first, end - first));
        i = end;
    }
    return found;
}

std::string quote_field(std::string_view text) {
    constexpr std::size_t kMost = 60;
    return "'" + printable(without_blanks(text), kMost, Controls::blank) + "'";
}

TextFile::TextFile(std::filesystem::path path)
    : path_(std::move(path)), content_(read_file(path_, kMostTextBytes)) {
    split();
}

TextFile::TextFile(std::filesystem::path name, std::string content)
    : path_(std::move(name)), content_(std::move(content)) {
    split();
}

void TextFile::split() {
    std::string_view rest = content_;
    if (rest.starts_with("\x1f\x8b")) refuse("it is compressed (gzip); unpack it");
    if (rest.starts_with("\xff\xfe") || rest.starts_with("\xfe\xff"))
        refuse("it is text of 16 bits; save it as UTF-8");
    while (!rest.empty()) {
        const std::size_t end = rest.find('\n');
        std::string_view line = rest.substr(0, end);
        if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
        lines_.push_back(line);
        rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    }
}

std::string_view TextFile::line(index i) const {
    return i >= 0 && i < size() ? lines_[at(i)] : std::string_view();
}

void TextFile::refuse(index line, const std::string& message) const {
    throw InputError(path_.string() + ":" + std::to_string(line + 1) + ": " + one_line(message));
}

void TextFile::refuse(const std::string& message) const {
    throw InputError(path_.string() + ": " + one_line(message));
}

}  // namespace microlift
