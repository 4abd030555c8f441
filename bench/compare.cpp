#include "bench/compare.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <vector>

#include "engine/error.h"
#include "engine/files/files.h"
#include "engine/text.h"

namespace microlift {

namespace {

constexpr std::size_t kMostBytes = std::size_t{1} << 24;
constexpr std::size_t kNameLength = 200;
constexpr std::string_view kPerSecond = "_per_second";

[[noreturn]] void refuse(const std::string& file, const std::string& why) {
    throw InputError(file + ": not what 'microlift bench --json' writes: " + why);
}

std::string text_of(const Json& figure, const char* key) {
    const Json* value = figure.find(key);
    if (!value) return "";
    return printable(value->is_string() ? value->get<std::string>() : value->dump(), kNameLength, Controls::blank);
}

// Names and settings that are no sizes tell benchmarks apart.
std::string label(const Json& figure) {
    const std::string settings = text_of(figure, "settings");
    return text_of(figure, "name") + (settings.empty() ? "" : ":" + settings);
}

// Earlier versions wrote the rate's name alone, as a key.
std::string unit(const Json& figure) {
    for (const auto& [key, value] : figure.items())
        if (key.ends_with(kPerSecond)) return printable(key, kNameLength, Controls::blank);
    return "";
}

// What has to be equal for a ratio to say something about the program. What one side does not tell is not known to
// differ.
std::string differences(const Json& figure, const Json& old) {
    std::string all;
    const auto note = [&](const char* what, const std::string& now, const std::string& then) {
        if (now.empty() || then.empty() || now == then) return;
        all += (all.empty() ? "" : ", ") + std::string(what) + " " + now + " (" + then + " before)";
    };
    note("unit", unit(figure), unit(old));
    for (const char* key : {"device", "processor", "threads", "precision", "math"})
        note(key, text_of(figure, key), text_of(old, key));
    return all;
}

void check(const Json& figure, const std::string& file) {
    if (!figure.is_object()) refuse(file, "an entry is no object");
    const Json* name = figure.find("name");
    if (!name || !name->is_string()) refuse(file, "an entry has no name");
    double rate[3];
    int k = 0;
    for (const char* key : {"min", "median", "max"}) {
        const Json* value = figure.find(key);
        if (!value || !value->is_number() || !((rate[k++] = value->get<double>()) > 0))
            refuse(file, "'" + label(figure) + "' has no " + key + " above 0");
    }
    if (!(rate[0] <= rate[1] && rate[1] <= rate[2]))
        refuse(file, "the rates of '" + label(figure) + "' are not in order");
}

struct Ratio {
    double middle, low, high;
};

// Of medians; at the extremes the slowest repeat of one side stands beside the fastest of the other.
Ratio ratio(const Json& figure, const Json& old) {
    const auto of = [](const Json& f, const char* key) { return f.at(key).get<double>(); };
    return {of(figure, "median") / of(old, "median"), of(figure, "min") / of(old, "max"),
            of(figure, "max") / of(old, "min")};
}

std::string about(const Json& figures) {
    if (figures.empty()) return "";
    std::string all;
    for (const char* key : {"version", "date", "processor"})
        if (const std::string text = text_of(figures[std::size_t{0}], key); !text.empty())
            all += (all.empty() ? "" : ", ") + text;
    return all.empty() ? "" : " (" + all + ")";
}

// The first of the old figures that nobody took and that is of the same benchmark, or none. Figures without
// settings are older than these.
const Json* take(const Json& figure, const Json& old, std::vector<bool>& taken) {
    for (std::size_t k = 0; k < old.size(); ++k)
        if (!taken[k] && old[k].at("name") == figure.at("name") &&
            (!old[k].contains("settings") || !figure.contains("settings") || label(old[k]) == label(figure))) {
            taken[k] = true;
            return &old[k];
        }
    return nullptr;
}

}  // namespace

Json read_figures(const std::string& file) {
    const std::optional<Json> read = Json::parse_strictly(read_file(file, kMostBytes));
    if (!read) refuse(file, "no JSON");
    if (!read->is_array()) refuse(file, "no list");
    for (const Json& figure : *read) check(figure, file);
    return *read;
}

void compare_figures(const Json& figures, const Json& old, const std::string& name, double fail_below) {
    std::vector<bool> taken(old.size(), false);
    std::string alone, fallen;
    index compared = 0;
    std::size_t longest = 14;
    for (const Json& figure : figures) longest = std::max(longest, label(figure).size());
    const int width = static_cast<int>(longest);
    std::printf("\nbeside %s%s\n%-*s %10s %10s  %-10s %s\n", name.c_str(), about(old).c_str(), width, "benchmark",
                "now", "before", "unit", "now/before (range)");
    for (const Json& figure : figures) {
        const Json* before = take(figure, old, taken);
        if (!before) {
            alone += (alone.empty() ? "" : ", ") + label(figure);
            continue;
        }
        const Ratio r = ratio(figure, *before);
        std::string per = unit(figure);
        if (per.ends_with(kPerSecond)) per.replace(per.size() - kPerSecond.size(), std::string::npos, "/s");
        std::printf("%-*s %10.3e %10.3e  %-10s ", width, label(figure).c_str(),
                    figure.at("median").get<double>(), before->at("median").get<double>(), per.c_str());
        if (const std::string why = differences(figure, *before); !why.empty()) {
            std::printf("no comparison: %s\n", why.c_str());
            continue;
        }
        ++compared;
        std::printf("%.3f (%.3f to %.3f)%s\n", r.middle, r.low, r.high,
                    r.low > 1 ? ", faster" : r.high < 1 ? ", slower" : "");
        if (r.middle < fail_below)
            fallen += (fallen.empty() ? "" : ", ") + label(figure) + " " + number(r.middle, 3);
    }
    if (!alone.empty()) std::printf("not in %s: %s\n", name.c_str(), alone.c_str());
    std::string others;
    for (std::size_t k = 0; k < old.size(); ++k)
        if (!taken[k]) others += (others.empty() ? "" : ", ") + label(old[k]);
    if (!others.empty()) std::printf("in %s alone: %s\n", name.c_str(), others.c_str());
    std::fflush(stdout);
    if (!(fail_below > 0)) return;
    if (compared == 0) throw InputError("--fail-below: no rate can be compared with " + name);
    if (!fallen.empty())
        throw NumericError("--fail-below: of the rates of " + name + " there are left: " + fallen);
}

}  // namespace microlift
