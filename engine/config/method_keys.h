#pragma once
// Keys of a section that only some of its methods ask for. A table of methods names them; what it does not
// name is of all.

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "engine/config/section.h"

namespace microlift {

struct MethodKeys {
    std::string method;
    std::string keys;  // their last parts, blanks between
    bool asks_for(const std::string& key) const {
        std::istringstream all(keys);
        for (std::string one; all >> one;)
            if (one == key) return true;
        return false;
    }
};

// Keeps a fault for each key that is given and that other methods ask for, but not the one of `section`.method.
// Defaults are taken: a run writes them down for every method.
template <class Struct>
void refuse_keys_of_others(Config& config, const Section<Struct>& section, const std::vector<MethodKeys>& methods) {
    const std::string key_of_method = section.name() + ".method";
    if (!config.sound(key_of_method)) return;
    const std::string method = config.text(key_of_method);
    for (const Key<Struct>& key : section.keys()) {
        const std::string& path = key.spec.path;
        std::vector<std::string> owners;
        bool asked = false;
        for (const MethodKeys& entry : methods)
            if (entry.asks_for(key.spec.name())) {
                owners.push_back(toml_string(entry.method));
                asked |= entry.method == method;
            }
        if (asked || owners.empty() || !config.given(path) || !config.sound(path)) continue;
        const ConfigValue& value = config.at(path);
        const auto is_default = [&](const ConfigValue& one) {
            return !key.spec.fallback.empty() && toml_value(one) == key.spec.fallback;
        };
        if (value.kind == ConfigValue::Kind::array && !value.items.empty() ? std::ranges::all_of(value.items, is_default)
                                                                          : is_default(value))
            continue;
        config.keep(KeyError(path,
                             "key '" + path + "' is of the " + (owners.size() == 1 ? "method " : "methods ") +
                                 join(owners, ", ") + ", and key '" + key_of_method + "' is " + toml_string(method),
                             "leave it out, or choose a method that asks for it"));
    }
}

}  // namespace microlift
