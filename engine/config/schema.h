#pragma once
// What a configuration may hold: every key with its type, range, default, unit and meaning.

#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "engine/config/value.h"

namespace microlift {

enum class KeyType {
    boolean,
    integer,
    number,    // an integer is taken too
    text,
    integers,  // one integer, or an array of them
    numbers,   // one number, or an array of them
    texts,     // an array of strings
    names,     // a string, or an array of them
    rows,      // an array of strings, or of arrays of strings (a matrix)
    state,     // an array of numbers, or a string
    entries,   // an array of strings, or of tables with keys "path[].key"
    place,     // a number, or a string
};

// The description of one key. In `path`, a last part "*" stands for any name, and "[]" for an
// entry of an array of tables.
struct KeySpec {
    std::string path;
    KeyType type = KeyType::text;
    std::string fallback;  // the default as TOML; empty: none
    std::string example;   // a sensible value as TOML, where there is no default
    std::string help;
    std::string unit;
    bool required = false;
    double least = -std::numeric_limits<double>::infinity();
    double most = std::numeric_limits<double>::infinity();
    bool least_excluded = false;
    bool most_excluded = false;
    std::vector<std::string> choices;

    std::string section() const;  // "umbrella" of "umbrella.windows"; empty at the top level
    std::string name() const;     // "windows"
    std::string expects() const;  // "an integer ≥ 2"
};

class Schema {
public:
    std::vector<KeySpec> keys;
    // Tables that may be absent: a stage runs if its table is there, unless it says enabled = false.
    std::vector<std::string> optional_sections;

    const KeySpec* find(std::string_view path) const;
    std::vector<std::string> sections() const;  // in the order of the keys
    bool is_optional(std::string_view section) const;
    std::string markdown() const;  // a table of all keys
};

std::string last_part(std::string_view path);  // "windows" of "umbrella.windows"
std::string join(const std::vector<std::string>& parts, const char* between);

inline constexpr std::size_t kShownBytes = 80;  // of a value, in a message

// A value that does not fit its key.
struct ValueFault {
    ConfigOrigin origin;
    std::string wrong, right;
};
// A fault for each part of the value that is not what the key expects; makes floats of numbers. `shown`:
// the key as messages name it. Of KeyType::entries only the kinds of the entries are looked at.
std::vector<ValueFault> check_value(ConfigValue& value, const KeySpec& key, const std::string& shown);
ConfigValue default_value(const KeySpec& key);  // of a key that has one; it stands nowhere

}  // namespace microlift
