#include "sampling/dynamics/schemes.h"

#include "engine/config/checks.h"
#include "engine/config/names.h"

namespace microlift {

std::vector<std::string> scheme_names() {
    std::vector<std::string> names;
    std::apply([&](const auto&... entry) { (names.push_back(entry.name), ...); }, kSchemes);
    return names;
}

Scheme scheme_named(const std::string& name) {
    Scheme found{};
    const auto matches = [&](const auto& entry) { return entry.name == name && (found = entry.scheme, true); };
    if (std::apply([&](const auto&... entry) { return (matches(entry) || ...); }, kSchemes))
        return found;
    const std::string nearest = nearest_name(name, scheme_names());
    throw KeyError("integrator.scheme", "key 'integrator.scheme' is '" + name + "', which is no scheme",
                   "use '" + (nearest.empty() ? "leimkuhler_matthews" : nearest) + "'");
}

}  // namespace microlift
