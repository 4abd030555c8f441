#include "sampling/bias/plumed/settings.h"

#include <algorithm>
#include <cmath>

#include "engine/config/names.h"
#include "engine/config/schema.h"
#include "sampling/formula/formula.h"
#include "sampling/molecule/files/text_file.h"

namespace microlift {

namespace {

constexpr double kMostWhole = 9e15;

std::optional<double> constant_of(const std::string& text) {
    try {
        Expressions graph;
        const NodeId value = parse_formula(graph, text, Symbols{});
        const double x = graph.evaluate(value, std::vector<double>{});
        if (std::isfinite(x)) return x;
    } catch (const InputError&) {
    }
    return std::nullopt;
}

std::string named(const PlumedAction& action) {
    return "'" + printable(action.name, 40) + "'";
}

}  // namespace

std::optional<double> plumed_number(const std::string& given) {
    std::string text = given;
    double x = 0;
    if (parse_number(text, x)) return x;
    // PLUMED writes pi in capitals, too, and a factor before it.
    for (std::size_t i = text.find("PI"); i != std::string::npos; i = text.find("PI", i)) text.replace(i, 2, "pi");
    if (text.size() > 2 && text.ends_with("pi") && parse_number(std::string_view(text).substr(0, text.size() - 2), x))
        text.insert(text.size() - 2, "*");
    return constant_of(text);
}

std::vector<std::string> plumed_parts(std::string_view text) {
    std::vector<std::string> parts;
    std::string part;
    int depth = 0;
    const auto end = [&] {
        if (!part.empty()) parts.push_back(std::move(part));
        part.clear();
    };
    for (const char c : text) {
        if (c == '{' && depth++ == 0) continue;
        if (c == '}' && depth > 0 && --depth == 0) continue;
        if (depth == 0 && (c == ',' || c == ' ' || c == '\t'))
            end();
        else
            part += c;
    }
    end();
    return parts;
}

PlumedSettings::PlumedSettings(const PlumedAction& action, const PlumedActionInfo& info) : action_(action) {
    for (const PlumedWord& word : action.words) {
        Setting setting;
        const std::size_t equals = word.text.find('=');
        setting.key = word.text.substr(0, equals);
        setting.flag = equals == std::string::npos;
        setting.origin = setting.value_origin = word.origin;
        if (!setting.flag) {
            setting.value = word.text.substr(equals + 1);
            setting.value_origin.column += static_cast<int>(equals) + 1;
        }
        check(setting, info);
        settings_.push_back(std::move(setting));
    }
    if (has("RESTART") && text("RESTART") != "NO" && text("RESTART") != "AUTO")
        wrong("RESTART", "a run does not go on from PLUMED's files",
              "leave RESTART out; '--resume' goes on with a run");
}

void PlumedSettings::check(const Setting& setting, const PlumedActionInfo& info) const {
    const std::string shown = "'" + printable(setting.key, 40) + "'";
    const PlumedUse use = info.use(setting.key);
    if (use == PlumedUse::unknown) {
        const std::string near = nearest_name(setting.key, info.keys());
        const std::vector<std::string> keys = info.keys();
        refuse(setting.origin, named(action_) + " has no key " + shown,
               !near.empty()  ? "did you mean '" + near + "'?"
               : keys.empty() ? "it has none"
                              : "it has " + join(keys, ", "));
    }
    if (use == PlumedUse::refused)
        refuse(setting.origin, "key " + shown + " of " + named(action_) + " is not read here",
               "leave it out, where the rest means the same without it");
    if (info.is_flag(setting.key) != setting.flag)
        refuse(setting.origin,
               "key " + shown + " of " + named(action_) +
                   (setting.flag ? " has no value" : " is a flag and takes no value"),
               setting.flag ? "write " + printable(setting.key, 40) + "=…"
                            : "write " + printable(setting.key, 40) + " alone");
    if (!setting.flag && setting.value.empty())
        refuse(setting.origin, "key " + shown + " of " + named(action_) + " has no value",
               "write it right behind '=', without blanks");
    if (find(setting.key))
        refuse(setting.origin, "key " + shown + " of " + named(action_) + " stands twice", "leave one of them out");
}

const PlumedSettings::Setting* PlumedSettings::find(std::string_view key) const {
    const auto found = std::ranges::find_if(settings_, [&](const Setting& setting) { return setting.key == key; });
    return found == settings_.end() ? nullptr : &*found;
}

const std::string& PlumedSettings::text(std::string_view key) const {
    const Setting* setting = find(key);
    if (!setting)
        refuse(action_.origin, named(action_) + " has no " + std::string(key), "give " + std::string(key) + "=…");
    if (setting->value.starts_with(kPlumedReplicas))
        wrong(key, "key '" + std::string(key) + "' differs between replicas",
              "give one value: replicas differ in AT of RESTRAINT alone");
    return setting->value;
}

std::vector<std::string> PlumedSettings::parts(std::string_view key) const {
    std::vector<std::string> parts = plumed_parts(text(key));
    if (parts.empty()) wrong(key, "key '" + std::string(key) + "' is empty", "give a value");
    return parts;
}

double PlumedSettings::number_of(std::string_view key, const std::string& text) const {
    const std::optional<double> x = plumed_number(text);
    if (!x)
        wrong(key, "key '" + std::string(key) + "' is '" + printable(text, 60) + "', which is no finite number",
              "give a number, such as 0.35 or -pi");
    return *x;
}

double PlumedSettings::number(std::string_view key) const {
    return number_of(key, text(key));
}

index PlumedSettings::whole(std::string_view key) const {
    const double x = number(key);
    if (x != std::floor(x) || std::fabs(x) > kMostWhole)
        wrong(key, "key '" + std::string(key) + "' is '" + printable(text(key), 60) + "', which is no whole number",
              "give a number of steps, bins or atoms");
    return static_cast<index>(x);
}

std::vector<double> PlumedSettings::numbers(std::string_view key) const {
    std::vector<double> all;
    for (const std::string& part : parts(key)) all.push_back(number_of(key, part));
    return all;
}

std::vector<double> PlumedSettings::numbers(std::string_view key, std::size_t count,
                                            std::optional<double> fallback) const {
    if (!has(key) && fallback) return std::vector<double>(count, *fallback);
    std::vector<double> all = numbers(key);
    if (all.size() != count)
        wrong(key,
              "key '" + std::string(key) + "' has " + std::to_string(all.size()) +
                  (all.size() == 1 ? " value" : " values") + " for " + std::to_string(count) +
                  (count == 1 ? " variable" : " variables"),
              "give one for each of ARG");
    return all;
}

ConfigOrigin PlumedSettings::place(std::string_view key) const {
    const Setting* setting = find(key);
    return setting ? setting->value_origin : action_.origin;
}

void PlumedSettings::wrong(std::string_view key, const std::string& what, const std::string& right) const {
    refuse(place(key), what, right);
}

}  // namespace microlift
