#pragma once
// TOML as a tree of values that know where they stand, and the options that replace some of them.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace microlift {

// Where a value came from: a place in a file, or a command-line option (line 0).
struct ConfigOrigin {
    std::string source;
    int line = 0;
    int column = 0;
    std::string str() const;  // "file:line:column" or the option itself
};

// One TOML value. A table keeps its keys in alphabetical order beside `items`.
struct ConfigValue {
    enum class Kind { boolean, integer, number, text, array, table, date };

    Kind kind = Kind::boolean;
    bool boolean = false;
    long long integer = 0;
    double number = 0.0;
    std::string text;                // of a date or a time as it is written, too
    std::vector<std::string> keys;   // of a table
    std::vector<ConfigValue> items;  // of an array or a table
    ConfigOrigin origin;

    static ConfigValue of(bool value);
    static ConfigValue of(long long value);
    static ConfigValue of(double value);
    static ConfigValue of(std::string value);
    static ConfigValue of(const std::vector<double>& values);
    static ConfigValue of(const std::vector<long long>& values);
    static ConfigValue of(const std::vector<std::string>& values);

    bool is_number() const { return kind == Kind::integer || kind == Kind::number; }
    double as_number() const {
        return kind == Kind::integer ? static_cast<double>(integer) : number;
    }
    ConfigValue* find(std::string_view key);
    const ConfigValue* find(std::string_view key) const;
    ConfigValue& put(const std::string& key, ConfigValue value);
};

// A `--set key.path=value` (or another option that stands for one key).
struct ConfigOverride {
    std::string key;
    std::string value;   // TOML, or a bare word for a string
    std::string option;  // as the user typed it, for messages
    static ConfigOverride parse(const std::string& text);  // "key.path=value"
};

// TOML text to a tree; only the syntax is checked.
ConfigValue parse_toml(std::string_view text, const std::string& file);
// What a command-line option gives for a key: TOML, or a string without quotes.
ConfigValue option_value(const std::string& text, const ConfigOrigin& origin);
void apply_override(ConfigValue& root, const ConfigOverride& change);
// Shortest text that reads back as the same double, always a TOML float: 500.0, 1e-05.
std::string toml_number(double value);
std::string toml_string(std::string_view value);
std::string toml_key(const std::string& key);  // bare where TOML allows it
std::string toml_value(const ConfigValue& value);

void set_origin(ConfigValue& value, const ConfigOrigin& origin);  // of all that is in it

// One line of plain text: control characters out, long texts cut.
std::string printable(std::string_view text, std::size_t limit = 400);
// InputError "origin: what is wrong; what would be right".
[[noreturn]] void refuse(const ConfigOrigin& origin, const std::string& wrong,
                         const std::string& right);

}  // namespace microlift
