#include "engine/config/schema.h"

#include <algorithm>
#include <cmath>

#include "engine/config/names.h"

namespace microlift {
namespace {

std::string bounds(const KeySpec& spec) {
    const auto show = [&](double x) {
        if (std::floor(x) == x && std::fabs(x) < 1e15) {
            return std::to_string(static_cast<long long>(x));
        }
        return toml_number(x);
    };
    std::string text;
    if (std::isfinite(spec.least)) {
        text += (spec.least_excluded ? " > " : " ≥ ") + show(spec.least);
    }
    if (std::isfinite(spec.most)) {
        text += text.empty() ? "" : " and";
        text += (spec.most_excluded ? " < " : " ≤ ") + show(spec.most);
    }
    return text;
}

}  // namespace

std::string join(const std::vector<std::string>& parts, const char* between) {
    std::string out;
    for (const std::string& part : parts) {
        out += out.empty() ? part : between + part;
    }
    return out;
}

std::string last_part(std::string_view path) {
    return std::string(path.substr(path.rfind('.') + 1));
}

std::string KeySpec::section() const {
    const std::size_t dot = path.find('.');
    return dot == std::string::npos ? "" : path.substr(0, dot);
}

std::string KeySpec::name() const {
    const std::size_t dot = path.find('.');
    return dot == std::string::npos ? path : path.substr(dot + 1);
}

std::string KeySpec::expects() const {
    switch (type) {
        case KeyType::boolean: return "true or false";
        case KeyType::integer: return "an integer" + bounds(*this);
        case KeyType::number: return "a number" + bounds(*this);
        case KeyType::integers: return "an integer" + bounds(*this) + ", or an array of such";
        case KeyType::numbers: return "a number" + bounds(*this) + ", or an array of such";
        case KeyType::texts: return "an array of strings";
        case KeyType::rows: return "an array of strings, or a square matrix of them";
        case KeyType::state: return "an array of numbers, or a string";
        case KeyType::entries: return "an array of strings or tables";
        case KeyType::text: break;
    }
    if (choices.empty()) {
        return "a string";
    }
    std::vector<std::string> quoted;
    for (const std::string& choice : choices) {
        quoted.push_back(toml_string(choice));
    }
    return (quoted.size() == 1 ? "" : "one of ") + join(quoted, ", ");
}

const KeySpec* Schema::find(std::string_view path) const {
    for (const KeySpec& key : keys) {
        if (key.path == path) {
            return &key;
        }
    }
    const std::string any = std::string(path.substr(0, path.rfind('.') + 1)) + "*";
    for (const KeySpec& key : keys) {
        if (key.path == any) {
            return &key;
        }
    }
    return nullptr;
}

std::vector<std::string> Schema::sections() const {
    std::vector<std::string> names;
    for (const KeySpec& key : keys) {
        const std::string name = key.section();
        if (std::find(names.begin(), names.end(), name) == names.end()) {
            names.push_back(name);
        }
    }
    return names;
}

bool Schema::is_optional(std::string_view section) const {
    return std::find(optional_sections.begin(), optional_sections.end(), section) !=
           optional_sections.end();
}

std::string Schema::markdown() const {
    std::string out = "| key | value | default | meaning |\n| --- | --- | --- | --- |\n";
    for (const KeySpec& key : keys) {
        std::string fallback = "none";
        if (key.required) {
            fallback = "required";
        } else if (!key.fallback.empty()) {
            fallback = "`" + key.fallback + "`";
        } else if (is_optional(key.section()) && key.name() == "enabled") {
            fallback = "`true` if the table is there";
        }
        out += "| `" + key.path + "` | " + key.expects() + " | " + fallback + " | " + key.help +
               (key.unit.empty() ? "" : " (" + key.unit + ")") + " |\n";
    }
    return out;
}

void check_value(ConfigValue& value, const KeySpec& spec, const std::string& shown) {
    using Kind = ConfigValue::Kind;
    const auto wrong = [&](const ConfigValue& found) {
        const std::string& sample = spec.example.empty() ? spec.fallback : spec.example;
        throw ValueFault{found.origin.source.empty() ? value.origin : found.origin,
                         "key '" + shown + "' must be " + spec.expects() + ", found " +
                             printable(toml_value(found), kShownBytes),
                         "for example " + last_part(shown) + " = " + sample};
    };
    const auto check_number = [&](ConfigValue& item, bool whole) {
        if (whole ? item.kind != Kind::integer : !item.is_number()) {
            wrong(item);
        }
        const double x = item.as_number();
        const bool low = spec.least_excluded ? x > spec.least : x >= spec.least;
        const bool high = spec.most_excluded ? x < spec.most : x <= spec.most;
        if (!std::isfinite(x) || !low || !high) {
            wrong(item);
        }
        if (!whole) {
            item.kind = Kind::number;
            item.number = x;
        }
    };
    const auto check_array = [&] {
        if (value.kind != Kind::array || value.items.empty()) {
            wrong(value);
        }
    };
    const auto check_texts = [&](const ConfigValue& array) {
        for (const ConfigValue& item : array.items) {
            if (item.kind != Kind::text || item.text.empty()) {
                wrong(item);
            }
        }
    };
    switch (spec.type) {
        case KeyType::boolean:
            if (value.kind != Kind::boolean) {
                wrong(value);
            }
            break;
        case KeyType::integer:
        case KeyType::number: check_number(value, spec.type == KeyType::integer); break;
        case KeyType::integers:
        case KeyType::numbers:
            if (value.kind != Kind::array) {
                check_number(value, spec.type == KeyType::integers);
                break;
            }
            check_array();
            for (ConfigValue& item : value.items) {
                check_number(item, spec.type == KeyType::integers);
            }
            break;
        case KeyType::text:
            if (value.kind != Kind::text || value.text.empty()) {
                wrong(value);
            }
            if (!spec.choices.empty() &&
                std::find(spec.choices.begin(), spec.choices.end(), value.text) ==
                    spec.choices.end()) {
                const std::string near = nearest_name(value.text, spec.choices);
                if (near.empty()) {
                    wrong(value);
                }
                throw ValueFault{value.origin,
                                 "key '" + shown + "' must be " + spec.expects() + ", found " +
                                     printable(toml_value(value), kShownBytes),
                                 "did you mean " + toml_string(near) + "?"};
            }
            break;
        case KeyType::texts:
            check_array();
            check_texts(value);
            break;
        case KeyType::rows:
            check_array();
            if (value.items[0].kind != Kind::array) {
                check_texts(value);
                break;
            }
            for (const ConfigValue& row : value.items) {
                if (row.kind != Kind::array || row.items.size() != value.items.size()) {
                    wrong(value);
                }
                check_texts(row);
            }
            break;
        case KeyType::state:
            if (value.kind == Kind::text && !value.text.empty()) {
                break;
            }
            check_array();
            for (ConfigValue& item : value.items) {
                check_number(item, false);
            }
            break;
        case KeyType::entries:
            check_array();
            for (const ConfigValue& item : value.items) {
                if (item.kind != Kind::table && (item.kind != Kind::text || item.text.empty())) {
                    wrong(item);
                }
            }
            break;
    }
}

ConfigValue default_value(const KeySpec& key) {
    ConfigValue value = parse_toml("v = " + key.fallback, "default").items.at(0);
    check_value(value, key, key.path);
    set_origin(value, {});
    return value;
}

}  // namespace microlift
