#pragma once
// A configuration checked against a schema, defaults filled in. What is wrong is collected, each fault
// with its file, line, column and key and what would be right, so that a file with five faults names
// five.

#include <string>
#include <string_view>
#include <vector>

#include "engine/config/checks.h"
#include "engine/config/schema.h"
#include "kernels/lane/lane.h"

namespace microlift {

class Config : public Checks {
public:
    Config() = default;
    // Throws nothing for a wrong key: throw_faults() does.
    Config(ConfigValue root, Schema schema, std::string file);

    // Whether the key has a value (given or by default), and whether the user gave it.
    bool has(std::string_view path) const { return find(path) != nullptr; }
    bool given(std::string_view path) const;
    // Whether any key of the section could be there.
    bool knows(std::string_view section) const;
    // For an optional section: its "enabled" key, which defaults to whether the table is there.
    bool enabled(std::string_view section) const;

    index integer(std::string_view path) const;
    double number(std::string_view path) const;
    const std::string& text(std::string_view path) const;
    const ConfigValue* find(std::string_view path) const;  // renamed
    const ConfigValue& at(std::string_view path) const;

    void set(const std::string& path, ConfigValue value);  // a value resolved from other keys

    // Keys that are asked for stand under another name here, a table of the file in place of another one:
    // "umbrella" is "bias", and "umbrella.replicas" "bias.walkers". Messages name them so, too.
    void rename(std::string from, std::string to) { renamed_.emplace_back(std::move(from), std::move(to)); }
    std::string renamed(std::string_view text) const;

    // --- faults
    bool sound(std::string_view key) const override;
    void keep(const KeyError& error) override;
    // An option of the command line that could not be read, and says so itself.
    void keep_unread(const InputError& error) { unread_.emplace_back(error.what()); }
    // No check may rely on the key, and nothing more is said of it.
    void distrust(std::string_view key) { unsound_.push_back(renamed(key)); }
    // "file:line:column: what is wrong; what would be right", at the key or the nearest table that the
    // user wrote.
    InputError located(const KeyError& error) const;
    // InputError of a line for each fault, in the order of their places. Nothing where there is none.
    void throw_faults() const;

    const std::string& file() const { return file_; }
    // The resolved configuration in the order of the schema. Reading it again gives the same text.
    std::string to_toml() const;

private:
    void check_table(ConfigValue& table, const std::string& path);
    void check_entries(ConfigValue& array, const KeySpec& spec);
    void fill_entry(ConfigValue& entry, const KeySpec& spec);
    void fill_defaults();
    void missing(const KeySpec& key, const ConfigOrigin& origin);
    void unknown_key(const ConfigValue& value, const std::string& path);
    void fault(const ConfigOrigin& origin, const std::string& wrong, const std::string& right) {
        faults_.push_back({origin, wrong, right});
    }
    ConfigOrigin place(std::string_view path) const;

    ConfigValue root_;
    Schema schema_;
    std::string file_;
    std::vector<std::string> given_, unsound_, unread_;
    std::vector<ValueFault> faults_;
    std::vector<std::pair<std::string, std::string>> renamed_;
};

}  // namespace microlift
