#include "engine/config/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "engine/error.h"
#include "engine/text.h"

namespace microlift {

std::string printable(std::string_view text, std::size_t limit) {
    return printable(text, limit, Controls::blank);
}

[[noreturn]] void refuse(const ConfigOrigin& origin, const std::string& wrong,
                         const std::string& right) {
    throw InputError(origin.str() + ": " + wrong + "; " + right);
}

std::string ConfigOrigin::str() const {
    if (line == 0) {
        return source;
    }
    return source + ":" + std::to_string(line) + ":" + std::to_string(column);
}

ConfigValue ConfigValue::of(bool value) {
    ConfigValue v;
    v.kind = Kind::boolean;
    v.boolean = value;
    return v;
}

ConfigValue ConfigValue::of(long long value) {
    ConfigValue v;
    v.kind = Kind::integer;
    v.integer = value;
    return v;
}

ConfigValue ConfigValue::of(double value) {
    ConfigValue v;
    v.kind = Kind::number;
    v.number = value;
    return v;
}

ConfigValue ConfigValue::of(std::string value) {
    ConfigValue v;
    v.kind = Kind::text;
    v.text = std::move(value);
    return v;
}

template <class T>
static ConfigValue array_of(const std::vector<T>& values) {
    ConfigValue v;
    v.kind = ConfigValue::Kind::array;
    for (const T& value : values) {
        v.items.push_back(ConfigValue::of(value));
    }
    return v;
}

ConfigValue ConfigValue::of(const std::vector<double>& values) { return array_of(values); }
ConfigValue ConfigValue::of(const std::vector<long long>& values) { return array_of(values); }
ConfigValue ConfigValue::of(const std::vector<std::string>& values) { return array_of(values); }

ConfigValue* ConfigValue::find(std::string_view key) {
    return const_cast<ConfigValue*>(std::as_const(*this).find(key));
}

const ConfigValue* ConfigValue::find(std::string_view key) const {
    if (kind != Kind::table) {
        return nullptr;
    }
    for (std::size_t i = 0; i < keys.size(); ++i) {
        if (keys[i] == key) {
            return &items[i];
        }
    }
    return nullptr;
}

ConfigValue& ConfigValue::put(const std::string& key, ConfigValue value) {
    if (ConfigValue* old = find(key)) {
        *old = std::move(value);
        return *old;
    }
    const auto place = std::lower_bound(keys.begin(), keys.end(), key) - keys.begin();
    keys.insert(keys.begin() + place, key);
    items.insert(items.begin() + place, std::move(value));
    return items[static_cast<std::size_t>(place)];
}

void set_origin(ConfigValue& value, const ConfigOrigin& origin) {
    value.origin = origin;
    for (ConfigValue& item : value.items) {
        set_origin(item, origin);
    }
}

std::string toml_number(double value) {
    if (std::isnan(value)) {
        return "nan";
    }
    if (std::isinf(value)) {
        return value > 0 ? "inf" : "-inf";
    }
    char buffer[40];
    const auto end = std::to_chars(buffer, buffer + sizeof buffer, value);
    std::string text(buffer, end.ptr);
    if (text.find_first_of(".e") == std::string::npos) {
        text += ".0";
    }
    return text;
}

std::string toml_string(std::string_view value) {
    static constexpr char kHex[] = "0123456789ABCDEF";
    std::string out = "\"";
    for (char c : value) {
        const auto u = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (c == '\n') {
            out += "\\n";
        } else if (c == '\t') {
            out += "\\t";
        } else if (u < 0x20 || u == 0x7f) {
            out += "\\u00";
            out += kHex[u >> 4];
            out += kHex[u & 15];
        } else {
            out += c;
        }
    }
    return out + "\"";
}

std::string toml_key(const std::string& key) {
    const bool bare = !key.empty() && key.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL"
                                                            "MNOPQRSTUVWXYZ0123456789_-") ==
                                          std::string::npos;
    return bare ? key : toml_string(key);
}

std::string toml_value(const ConfigValue& value) {
    switch (value.kind) {
        case ConfigValue::Kind::boolean: return value.boolean ? "true" : "false";
        case ConfigValue::Kind::integer: return std::to_string(value.integer);
        case ConfigValue::Kind::number: return toml_number(value.number);
        case ConfigValue::Kind::text: return toml_string(value.text);
        case ConfigValue::Kind::date: return value.text;
        case ConfigValue::Kind::array:
        case ConfigValue::Kind::table: break;
    }
    const bool table = value.kind == ConfigValue::Kind::table;
    std::string out = table ? "{" : "[";
    for (std::size_t i = 0; i < value.items.size(); ++i) {
        out += i == 0 ? (table ? " " : "") : ", ";
        if (table) {
            out += toml_key(value.keys[i]) + " = ";
        }
        out += toml_value(value.items[i]);
    }
    return out + (table ? (value.items.empty() ? "}" : " }") : "]");
}

}  // namespace microlift
