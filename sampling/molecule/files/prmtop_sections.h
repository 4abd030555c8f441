// The sections of an AMBER prmtop (parm7) file: %FLAG NAME, %FORMAT(10I8), fields of that width.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "sampling/molecule/files/text_file.h"

namespace microlift {

class PrmtopSections {
public:
    // Whatever a section's data are, they are read when they are asked for.
    explicit PrmtopSections(const TextFile& file);

    const TextFile& file() const { return file_; }
    bool has(const std::string& flag) const { return sections_.count(flag) > 0; }
    // The first flag that begins so; empty: none.
    std::string flag_beginning(std::string_view prefix) const;

    // Every field of a section. `count`: how many there must be, and what says so.
    std::vector<double> numbers(const std::string& flag, index count, const std::string& why) const;
    std::vector<long long> integers(const std::string& flag, index count, const std::string& why) const;
    std::vector<long long> integers(const std::string& flag) const;
    std::vector<std::string> names(const std::string& flag, index count, const std::string& why) const;

    // InputError "FILE:LINE: FLAG: what is wrong; what would be right", the line that of the flag's
    // field, or of the flag itself.
    [[noreturn]] void refuse(const std::string& flag, const std::string& message, index field = -1) const;

private:
    struct Section {
        index flag_line = 0, first = 0, end = 0;  // lines, counted from 0
        std::size_t width = 0, per_line = 1;      // width 0: no %FORMAT yet
        char type = 'a';
    };
    const Section& section(const std::string& flag) const;
    std::vector<std::string_view> fields(const std::string& flag, index most) const;
    void check_count(const std::string& flag, index found, index count, const std::string& why) const;
    void read_format(Section& section, index line) const;

    const TextFile& file_;
    std::map<std::string, Section> sections_;
};

}  // namespace microlift
