#pragma once
// Typed reading of TOML: a schema lists every key with its type, range, default and meaning; a
// Config is a file checked against that schema. Every problem is an InputError that names the file,
// the line, the column and the key, and says what would be right.

#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/error.h"
#include "kernels/lane/lane.h"

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
    enum class Kind { boolean, integer, number, text, array, table };

    Kind kind = Kind::boolean;
    bool boolean = false;
    long long integer = 0;
    double number = 0.0;
    std::string text;
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

enum class KeyType {
    boolean,
    integer,
    number,    // an integer is taken too
    text,
    integers,  // one integer, or an array of them
    numbers,   // one number, or an array of them
    texts,     // an array of strings
    rows,      // an array of strings, or of arrays of strings (a matrix)
    state,     // an array of numbers, or a string
    entries,   // an array of strings, or of tables with keys "path[].key"
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

// A `--set key.path=value` (or another option that stands for one key).
struct ConfigOverride {
    std::string key;
    std::string value;   // TOML, or a bare word for a string
    std::string option;  // as the user typed it, for messages
    static ConfigOverride parse(const std::string& text);  // "key.path=value"
};

// TOML text to a tree; only the syntax is checked.
ConfigValue parse_toml(std::string_view text, const std::string& file);
ConfigValue read_toml(const std::string& file);
void apply_override(ConfigValue& root, const ConfigOverride& change);
// Shortest text that reads back as the same double, always a TOML float: 500.0, 1e-05.
std::string toml_number(double value);
std::string toml_string(std::string_view value);
std::string toml_value(const ConfigValue& value);

// A tree checked against a schema, defaults filled in.
class Config {
public:
    Config() = default;
    Config(ConfigValue root, Schema schema, std::string file);

    // Whether the key has a value (given or by default), and whether the user gave it.
    bool has(std::string_view path) const { return find(path) != nullptr; }
    bool given(std::string_view path) const;
    bool section_given(std::string_view section) const;
    // For an optional section: its "enabled" key, which defaults to whether the table is there.
    bool enabled(std::string_view section) const;

    bool boolean(std::string_view path) const;
    index integer(std::string_view path) const;
    double number(std::string_view path) const;
    const std::string& text(std::string_view path) const;
    std::vector<double> numbers(std::string_view path) const;
    std::vector<index> integers(std::string_view path) const;
    std::vector<std::string> texts(std::string_view path) const;
    const ConfigValue* find(std::string_view path) const;
    const ConfigValue& at(std::string_view path) const;

    void set(const std::string& path, ConfigValue value);  // a value resolved from other keys
    [[noreturn]] void fail(std::string_view path, const std::string& wrong,
                           const std::string& right) const;

    const Schema& schema() const { return schema_; }
    const std::string& file() const { return file_; }
    // The resolved configuration in the order of the schema. Reading it again gives the same text.
    std::string to_toml() const;

private:
    void check_table(ConfigValue& table, const std::string& path);
    void check_value(ConfigValue& value, const KeySpec& spec, const std::string& shown);
    void fill_defaults();
    [[noreturn]] void unknown_key(const ConfigValue& value, const std::string& path) const;

    ConfigValue root_;
    Schema schema_;
    std::string file_;
    std::vector<std::string> given_;
};

// Levenshtein distance, for the nearest known name.
int edit_distance(std::string_view a, std::string_view b);
// The nearest of `names`, or empty if none is near.
std::string nearest_name(std::string_view name, const std::vector<std::string>& names);

}  // namespace microlift
