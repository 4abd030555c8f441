#include "sampling/samples/files/colvar.h"

#include <algorithm>
#include <numbers>

#include "engine/at.h"
#include "engine/text.h"

namespace microlift {

namespace {

constexpr std::size_t kMostColvarColumns = 4096;

// "-pi", "2*pi", "0.5": as PLUMED writes the ends of a period.
bool end_of_period(std::string_view text, double& value) {
    double sign = 1, factor = 1;
    if (!text.empty() && text[0] == '-') sign = -1, text.remove_prefix(1);
    if (parse_number(text, value)) return value *= sign, true;
    if (const std::size_t times = text.find("*"); times != std::string_view::npos) {
        if (!parse_number(text.substr(0, times), factor)) return false;
        text.remove_prefix(times + 1);
    }
    if (text != "pi") return false;
    value = sign * factor * std::numbers::pi;
    return true;
}

class ColvarReader {
public:
    explicit ColvarReader(const TextFile& file) : file_(file) {}

    Colvar read() {
        for (line_ = 0; line_ < file_.size(); ++line_) {
            std::string_view line = file_.line(line_);
            if (line_ == 0 && line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
            line = without_blanks(line);
            if (line.empty()) continue;
            if (line[0] == '#')
                header(line);
            else
                row(line);
        }
        if (colvar_.names.empty()) file_.refuse("it is empty; give a file that PLUMED's PRINT wrote");
        if (colvar_.lines.empty()) file_.refuse("it holds no row; give a file of a run that got so far");
        // Half of a number is a number, too.
        if (colvar_.lines.back() == file_.size() && file_.content().back() != '\n')
            file_.refuse(file_.size() - 1, "the last row has no end of line, as if the file was cut off; leave the row out, or end "
                                           "its line if it is whole");
        check_walkers();
        find_periods();
        return std::move(colvar_);
    }

private:
    void header(std::string_view line) {
        const std::vector<std::string_view> words = split_words(line);
        if (words.size() >= 4 && words[1] == "SET") sets_.emplace_back(std::string(words[2]), std::string(words[3]));
        if (words.size() < 2 || words[0] != "#!" || words[1] != "FIELDS") return;
        const std::vector<std::string> names(words.begin() + 2, words.end());
        if (colvar_.names.empty()) return take(names);
        if (names != colvar_.names)
            file_.refuse(line_, "FIELDS names other columns than the line of FIELDS before; give rows of one kind, each "
                                "in its own file");
    }

    void take(const std::vector<std::string>& names) {
        if (names.empty() || names.size() > kMostColvarColumns)
            file_.refuse(line_, "FIELDS names " + std::to_string(names.size()) + " columns; 1 to " +
                                    std::to_string(kMostColvarColumns) + " can be read");
        for (std::size_t i = 0; i < names.size(); ++i)
            if (std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(i), names[i]) !=
                names.begin() + static_cast<std::ptrdiff_t>(i))
                file_.refuse(line_, "FIELDS names " + quote_field(names[i]) + " twice; give each column its own name");
        colvar_.names = names;
        time_ = colvar_.column("time");
    }

    void row(std::string_view line) {
        if (colvar_.names.empty())
            file_.refuse(line_, "there is no line '#! FIELDS time …' above, which names the columns; put back the first "
                                "line that PLUMED wrote");
        const std::vector<std::string_view> words = split_words(line);
        if (words.size() != colvar_.names.size())
            file_.refuse(line_, "the row has " + std::to_string(words.size()) + " numbers, FIELDS names " +
                                    std::to_string(colvar_.names.size()) + " columns; leave a row out that is cut off");
        for (std::size_t c = 0; c < words.size(); ++c) {
            double value = 0;
            if (!parse_number(words[c], value))
                file_.refuse(line_, quote_field(words[c]) + " in column '" +
                                        printable(colvar_.names[c], 40, Controls::blank) +
                                        "' is no finite number; leave the row out");
            colvar_.values.push_back(value);
        }
        colvar_.lines.push_back(line_ + 1);
        const index n = colvar_.rows();
        if (time_ < 0 || n < 2) return;
        const double before = colvar_.value(n - 2, time_), now = colvar_.value(n - 1, time_);
        if (now == before && (walkers_ == 0 || at_this_time_ < walkers_)) {
            ++at_this_time_;
            return;
        }
        if (!(now > before))
            file_.refuse(line_, "time goes from " + number(before, 8) + " to " + number(now, 8) +
                                    "; leave out the rows that a run wrote twice as it went on, or give each run a file");
        if (walkers_ == 0) walkers_ = at_this_time_;
        check_walkers();
        at_this_time_ = 1;
    }

    // Rows of one time are of several walkers, as many at every time.
    void check_walkers() const {
        if (walkers_ == 0 || at_this_time_ == walkers_) return;
        file_.refuse(colvar_.lines.back() - 1, "before this row there are " + std::to_string(at_this_time_) +
                                                   " rows of one time, and " + std::to_string(walkers_) +
                                                   " of the first; give as many walkers at every time");
    }

    void find_periods() {
        colvar_.period.resize(colvar_.names.size());
        for (std::size_t c = 0; c < colvar_.names.size(); ++c) {
            double from = 0, to = 0;
            const std::string *least = set("min_" + colvar_.names[c]), *most = set("max_" + colvar_.names[c]);
            if (least && most && end_of_period(*least, from) && end_of_period(*most, to) && from < to)
                colvar_.period[c] = {from, to};
        }
    }
    const std::string* set(const std::string& name) const {
        for (const auto& [key, value] : sets_)
            if (key == name) return &value;
        return nullptr;
    }

    const TextFile& file_;
    Colvar colvar_;
    std::vector<std::pair<std::string, std::string>> sets_;
    index line_ = 0, time_ = -1;
    index walkers_ = 0, at_this_time_ = 1;  // rows of one time; 0: not known yet
};

}  // namespace

index Colvar::column(const std::string& name) const {
    const auto found = std::ranges::find(names, name);
    return found == names.end() ? -1 : found - names.begin();
}

Colvar read_colvar(const TextFile& file) { return ColvarReader(file).read(); }

}  // namespace microlift
