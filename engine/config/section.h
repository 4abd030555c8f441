#pragma once
// A table of the configuration and the struct that it fills. Type, default, range, unit and meaning of
// a key stand on one line, bound to the member; schema, reader, the struct's defaults, options of the
// command line and the documentation come from that line. Members have no defaults of their own.

#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/config/config.h"

namespace microlift {

// --- values and members ----------------------------------------------------------------------------

template <class T>
constexpr KeyType key_type_of() {
    using List = std::vector<std::string>;
    if constexpr (std::is_same_v<T, bool>) return KeyType::boolean;
    else if constexpr (std::is_integral_v<T>) return KeyType::integer;
    else if constexpr (std::is_floating_point_v<T>) return KeyType::number;
    else if constexpr (std::is_same_v<T, std::optional<double>>) return KeyType::number;
    else if constexpr (std::is_same_v<T, std::string>) return KeyType::text;
    else if constexpr (std::is_same_v<T, std::vector<index>>) return KeyType::integers;
    else if constexpr (std::is_same_v<T, std::vector<double>>) return KeyType::numbers;
    else if constexpr (std::is_same_v<T, List>) return KeyType::texts;
}

template <class T>
    requires std::is_integral_v<T>
void assign(T& member, const ConfigValue& value) {
    member = static_cast<T>(value.kind == ConfigValue::Kind::boolean ? value.boolean : value.integer);
}
inline void assign(double& member, const ConfigValue& value) { member = value.as_number(); }
inline void assign(std::optional<double>& member, const ConfigValue& value) {
    member = value.as_number();
}
inline void assign(std::string& member, const ConfigValue& value) { member = value.text; }
// One value stands for an array of one.
template <class T>
void assign(std::vector<T>& member, const ConfigValue& value) {
    if (value.kind != ConfigValue::Kind::array) {
        assign(member.emplace_back(), value);
        return;
    }
    for (const ConfigValue& item : value.items) assign(member.emplace_back(), item);
}

template <class T>
std::string default_text(const T& value) {
    if constexpr (std::is_same_v<T, bool>) return value ? "true" : "false";
    else if constexpr (std::is_integral_v<T>) return std::to_string(value);
    else if constexpr (std::is_floating_point_v<T>) return toml_number(value);
    else if constexpr (std::is_same_v<T, std::string>) return toml_string(value);
    else return value.size() == 1 ? default_text(value[0]) : toml_value(ConfigValue::of(value));
}

// --- keys ------------------------------------------------------------------------------------------

template <class Struct>
struct Key {
    KeySpec spec;
    std::function<void(Struct&, const ConfigValue&)> read;

    // The range. `from` and `to` are part of it, `above` and `below` are not.
    Key from(double least) && { return spec.least = least, std::move(*this); }
    Key to(double most) && { return spec.most = most, std::move(*this); }
    Key above(double least) && {
        return spec.least_excluded = true, std::move(*this).from(least);
    }
    Key below(double most) && { return spec.most_excluded = true, std::move(*this).to(most); }
    Key example(const char* text) && { return spec.example = text, std::move(*this); }
    Key unit(const char* text) && { return spec.unit = text, std::move(*this); }
    Key one_of(std::vector<std::string> choices) && {
        return spec.choices = std::move(choices), std::move(*this);
    }
};

// A key that no single member stands for. `fallback` is TOML; empty: none.
template <class Struct, class Read>
Key<Struct> key_read_by(Read read, KeyType type, const char* name, const std::string& fallback,
                        const char* help) {
    KeySpec spec;
    spec.path = name;
    spec.type = type;
    spec.fallback = fallback;
    spec.help = help;
    return {std::move(spec), std::move(read)};
}

// The same without a default.
template <class Struct, class Read>
Key<Struct> optional_read_by(Read read, KeyType type, const char* name, const char* example,
                             const char* help) {
    Key<Struct> key = key_read_by<Struct>(read, type, name, "", help);
    key.spec.example = example;
    return key;
}

template <class Struct, class T>
Key<Struct> key_of_member(T Struct::* member, const char* name, const std::string& fallback,
                          const char* help) {
    return key_read_by<Struct>(
        [member](Struct& to, const ConfigValue& value) {
            to.*member = {};
            assign(to.*member, value);
        },
        key_type_of<T>(), name, fallback, help);
}

// With a default; without one, where `example` shows a value as TOML; one that has to be given.
template <class Struct, class T>
Key<Struct> key(T Struct::* member, const char* name, const std::type_identity_t<T>& fallback,
                const char* help) {
    return key_of_member(member, name, default_text(fallback), help);
}
template <class Struct, class T>
Key<Struct> optional(T Struct::* member, const char* name, const char* example, const char* help) {
    Key<Struct> key = key_of_member(member, name, "", help);
    key.spec.example = example;
    return key;
}
template <class Struct, class T>
Key<Struct> required(T Struct::* member, const char* name, const char* example, const char* help) {
    Key<Struct> key = optional(member, name, example, help);
    key.spec.required = true;
    return key;
}
// The table may be absent: what it describes is done where it is there and does not say false.
template <class Struct>
Key<Struct> enabled(bool Struct::* member, const char* help) {
    return optional(member, "enabled", "true", help);
}

// --- sections --------------------------------------------------------------------------------------

template <class Struct>
class Section {
public:
    // `name`: "umbrella"; empty: the top level; "cv.variables[]": the entries of an array.
    Section(std::string name, std::vector<Key<Struct>> keys)
        : name_(std::move(name)), keys_(std::move(keys)) {
        for (Key<Struct>& key : keys_)
            if (!name_.empty()) key.spec.path = name_ + "." + key.spec.path;
    }

    const std::string& name() const { return name_; }
    const std::vector<Key<Struct>>& keys() const { return keys_; }

    void add_to(Schema& schema) const {
        for (const Key<Struct>& key : keys_) {
            schema.keys.push_back(key.spec);
            if (key.spec.path == name_ + ".enabled") schema.optional_sections.push_back(name_);
        }
    }

    // What keys with a default are where nothing is given.
    Struct defaults() const {
        Struct out{};
        for (const Key<Struct>& key : keys_)
            if (!key.spec.fallback.empty()) key.read(out, default_value(key.spec));
        return out;
    }

    // Keys that are wrong are left out.
    Struct read(const Config& config) const {
        Struct out{};
        for (const Key<Struct>& key : keys_) {
            const std::string path = key.spec.path.substr(0, key.spec.path.find(".*"));
            const ConfigValue* value = config.find(path);
            if (value != nullptr && config.sound(path)) key.read(out, *value);
        }
        return out;
    }
    // The same of one entry of an array.
    Struct read(const ConfigValue& entry) const {
        Struct out{};
        for (const Key<Struct>& key : keys_)
            if (const ConfigValue* value = entry.find(last_part(key.spec.path)))
                key.read(out, *value);
        return out;
    }

    // One key from the command line: `option` is what the user typed, `text` its value.
    void set(Struct& to, const Key<Struct>& key, const std::string& text,
             const std::string& option) const {
        ConfigValue value = option_value(text, {option, 0, 0});
        for (const ValueFault& fault : check_value(value, key.spec, last_part(key.spec.path)))
            refuse({option, 0, 0}, fault.wrong, fault.right);
        key.read(to, value);
    }

private:
    std::string name_;
    std::vector<Key<Struct>> keys_;
};

}  // namespace microlift
