#include "sampling/molecule/files/prmtop_sections.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "engine/at.h"

namespace microlift {

PrmtopSections::PrmtopSections(const TextFile& file) : file_(file) {
    Section* open = nullptr;
    for (index i = 0; i < file.size(); ++i) {
        const std::string_view line = file.line(i);
        if (line.substr(0, 5) == "%FLAG") {
            const std::string flag(without_blanks(line.substr(5)));
            if (flag.empty()) file.refuse(i, "%FLAG names no section; write %FLAG POINTERS, …");
            const auto [place, fresh] = sections_.emplace(flag, Section{});
            if (!fresh)
                file.refuse(i, flag + " stands in line " +
                                   std::to_string(place->second.flag_line + 1) +
                                   " already; leave one of them");
            open = &place->second;
            open->flag_line = i;
            open->first = open->end = i + 1;
        } else if (line.substr(0, 7) == "%FORMAT") {
            if (!open || open->width)
                file.refuse(i, "%FORMAT belongs to no section; write one behind each %FLAG");
            read_format(*open, i);
            open->first = open->end = i + 1;
        } else if (line.substr(0, 1) == "%") {  // %VERSION, %COMMENT
            if (open && open->first == i) open->first = open->end = i + 1;
        } else if (open) {
            if (!open->width && !without_blanks(line).empty())
                file.refuse(i, "data without a %FORMAT; write %FORMAT(10I8), … above it");
            if (!without_blanks(line).empty()) open->end = i + 1;
        } else if (!without_blanks(line).empty()) {
            file.refuse(i, "this is no AMBER prmtop file, which begins with %VERSION and %FLAG (AMBER 7 "
                           "and later); older ones: convert with ParmEd");
        }
    }
    if (sections_.empty())
        file.refuse("this is no AMBER prmtop file: it has no %FLAG; give a prmtop of AMBER 7 or later");
}

// %FORMAT(20a4), (10I8), (5E16.8), (8F9.5).
void PrmtopSections::read_format(Section& section, index line) const {
    const std::string_view text = file_.line(line);
    const auto bad = [&] {
        file_.refuse(line, "the format " + quote_field(text.substr(7)) +
                               " cannot be read; write (10I8), (5E16.8), (20a4), …");
    };
    std::size_t i = 7;
    const auto number = [&](std::size_t otherwise) {
        std::size_t value = otherwise;
        const char* end = text.data() + text.size();
        const auto parsed = std::from_chars(text.data() + i, end, value);
        if (parsed.ec == std::errc::result_out_of_range) bad();
        if (parsed.ec == std::errc()) i = static_cast<std::size_t>(parsed.ptr - text.data());
        return value;
    };
    const auto next = [&] { return i < text.size() ? text[i] : '\0'; };
    while (next() == '(' || next() == ' ') ++i;
    section.per_line = number(1);
    while (next() == '(') ++i;
    section.type = static_cast<char>(next() | 0x20);
    if (std::string_view("aiefgd").find(section.type) == std::string_view::npos) bad();
    ++i;
    section.width = number(0);
    constexpr std::size_t kMostColumns = 1000;
    if (section.width == 0 || section.per_line == 0 || section.width > kMostColumns ||
        section.per_line > kMostColumns)
        bad();
}

std::string PrmtopSections::flag_beginning(std::string_view prefix) const {
    const auto found = sections_.lower_bound(std::string(prefix));
    return found != sections_.end() && found->first.compare(0, prefix.size(), prefix) == 0 ? found->first
                                                                                           : "";
}

const PrmtopSections::Section& PrmtopSections::section(const std::string& flag) const {
    const auto found = sections_.find(flag);
    if (found == sections_.end())
        file_.refuse("the section %FLAG " + flag + " is missing; give a whole prmtop file");
    return found->second;
}

void PrmtopSections::refuse(const std::string& flag, const std::string& message, index field) const {
    const Section& where = section(flag);
    const index line = field < 0 || where.width == 0
                           ? where.flag_line
                           : std::min(where.first + field / static_cast<index>(where.per_line),
                                      std::max(where.end - 1, where.flag_line));
    file_.refuse(line, flag + ": " + message);
}

// Of names a short line means blank ones; `most` bounds them.
std::vector<std::string_view> PrmtopSections::fields(const std::string& flag, index most) const {
    const Section& where = section(flag);
    std::vector<std::string_view> found;
    for (index i = where.first; i < where.end; ++i) {
        const std::string_view line = file_.line(i);
        if (line.substr(0, 1) == "%") continue;  // %COMMENT
        std::size_t used = where.per_line;
        if (where.type != 'a' || i + 1 == where.end) {
            const std::size_t last = line.find_last_not_of(" \t");
            used = last == std::string_view::npos ? 0 : last / where.width + 1;
            if (used > where.per_line)
                refuse(flag, "more than " + std::to_string(where.per_line) +
                                 " fields in a line; keep to its %FORMAT",
                       (i - where.first) * static_cast<index>(where.per_line));
            if (where.type != 'a' && used < where.per_line && i + 1 < where.end)
                refuse(flag, "a line is cut off; write " + std::to_string(where.per_line) +
                                 " fields of " + std::to_string(where.width) + " columns",
                       (i - where.first) * static_cast<index>(where.per_line));
        }
        for (std::size_t k = 0; k < used; ++k)
            found.push_back(without_blanks(column_field(line, k * where.width, where.width)));
        if (static_cast<index>(found.size()) > most) break;
    }
    return found;
}

void PrmtopSections::check_count(const std::string& flag, index found, index count,
                                 const std::string& why) const {
    if (found == count) return;
    refuse(flag, (found > count ? "it has more than " : "it has " + std::to_string(found) + " of ") +
                     std::to_string(count) + " fields, which " + why +
                     " asks for; give a whole prmtop file");
}

std::vector<double> PrmtopSections::numbers(const std::string& flag, index count,
                                            const std::string& why) const {
    const std::vector<std::string_view> text = fields(flag, count);
    check_count(flag, static_cast<index>(text.size()), count, why);
    std::vector<double> values(text.size());
    for (std::size_t i = 0; i < text.size(); ++i)
        if (!parse_number(text[i], values[i]))
            refuse(flag, quote_field(text[i]) + " is not a number", static_cast<index>(i));
    return values;
}

std::vector<long long> PrmtopSections::integers(const std::string& flag) const {
    const std::vector<std::string_view> text = fields(flag, std::numeric_limits<index>::max());
    std::vector<long long> values(text.size());
    for (std::size_t i = 0; i < text.size(); ++i)
        if (!parse_integer(text[i], values[i]))
            refuse(flag, quote_field(text[i]) + " is not an integer", static_cast<index>(i));
    return values;
}

std::vector<long long> PrmtopSections::integers(const std::string& flag, index count,
                                                const std::string& why) const {
    const std::vector<long long> values = integers(flag);
    check_count(flag, static_cast<index>(values.size()), count, why);
    return values;
}

std::vector<std::string> PrmtopSections::names(const std::string& flag, index count,
                                               const std::string& why) const {
    const std::vector<std::string_view> text = fields(flag, count);
    check_count(flag, static_cast<index>(text.size()), count, why);
    return {text.begin(), text.end()};
}

}  // namespace microlift
