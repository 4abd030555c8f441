// The keys of one action of a PLUMED input, as values with their places.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/lane/lane.h"
#include "sampling/bias/plumed/actions.h"
#include "sampling/bias/plumed/input.h"

namespace microlift {

// What PLUMED takes for a number: 1.5, -pi, 2*pi, pi/4, 0.5pi; nothing of what is not finite.
std::optional<double> plumed_number(const std::string& text);
// Parts between commas or blanks; what braces hold together stays together.
std::vector<std::string> plumed_parts(std::string_view text);

// "@replicas:": a value for each of several simulations.
inline constexpr const char* kPlumedReplicas = "@replicas:";

class PlumedSettings {
public:
    // InputError for keys that are not read, stand twice, or are flags with a value.
    PlumedSettings(const PlumedAction& action, const PlumedActionInfo& info);

    const PlumedAction& action() const { return action_; }
    bool has(std::string_view key) const { return find(key) != nullptr; }
    const std::string& text(std::string_view key) const;  // InputError where it is missing
    std::vector<std::string> parts(std::string_view key) const;
    double number(std::string_view key) const;
    double number_or(std::string_view key, double fallback) const { return has(key) ? number(key) : fallback; }
    index whole(std::string_view key) const;
    std::vector<double> numbers(std::string_view key) const;
    // So many of them; where the key is missing the fallback, or an InputError.
    std::vector<double> numbers(std::string_view key, std::size_t count, std::optional<double> fallback = {}) const;

    ConfigOrigin place(std::string_view key) const;  // of its value; of the action where it is missing
    [[noreturn]] void wrong(std::string_view key, const std::string& what, const std::string& right) const;

private:
    struct Setting {
        std::string key, value;
        ConfigOrigin origin, value_origin;
        bool flag = false;
    };
    const Setting* find(std::string_view key) const;
    void check(const Setting& setting, const PlumedActionInfo& info) const;
    double number_of(std::string_view key, const std::string& text) const;

    const PlumedAction& action_;
    std::vector<Setting> settings_;
};

}  // namespace microlift
