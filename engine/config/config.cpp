#include "engine/config/config.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <tuple>

#include "engine/config/names.h"

namespace microlift {
namespace {

bool starts_with(std::string_view text, std::string_view start) {
    return text.substr(0, start.size()) == start;
}

// "umbrella" is around "umbrella.windows", and "cv.variables" around "cv.variables[].name".
bool is_around(std::string_view table, std::string_view path) {
    return starts_with(path, table) && path.size() > table.size() &&
           (path[table.size()] == '.' || path[table.size()] == '[');
}

// "windows", or one entry of an array: "drift[1]"; "variables[]" is the array itself.
const ConfigValue* find_item(const ConfigValue& table, std::string_view part) {
    const std::size_t bracket = part.find('[');
    const ConfigValue* value = table.find(part.substr(0, bracket));
    if (value == nullptr || bracket == std::string_view::npos || part[bracket + 1] == ']') {
        return value;
    }
    const auto item =
        static_cast<std::size_t>(std::atoi(std::string(part.substr(bracket + 1)).c_str()));
    return item < value->items.size() ? &value->items[item] : value;
}

}  // namespace

Config::Config(ConfigValue root, Schema schema, std::string file)
    : root_(std::move(root)), schema_(std::move(schema)), file_(std::move(file)) {
    check_table(root_, "");
    fill_defaults();
}

void Config::unknown_key(const ConfigValue& value, const std::string& path) {
    const std::string_view parent =
        std::string_view(path).substr(0, std::min(path.rfind('.'), path.size()));
    const bool top = path.find('.') == std::string::npos;
    std::vector<std::string> siblings;
    std::vector<std::string> everywhere;
    for (const KeySpec& key : schema_.keys) {
        if (top) {
            siblings.push_back(key.section().empty() ? key.path : key.section());
        } else if (starts_with(key.path, std::string(parent) + ".")) {
            siblings.push_back(key.path.substr(parent.size() + 1));
        }
        everywhere.push_back(last_part(key.path));
    }
    std::sort(siblings.begin(), siblings.end());
    siblings.erase(std::unique(siblings.begin(), siblings.end()), siblings.end());
    const std::string name = last_part(path);
    std::string advice, meant;
    const std::string near = nearest_name(name, siblings);
    if (!near.empty()) {
        meant = top ? near : std::string(parent) + "." + near;
    } else {
        for (std::size_t i = 0; i < everywhere.size(); ++i) {
            if (everywhere[i] == name) {
                meant = schema_.keys[i].path;
                break;
            }
        }
    }
    if (!meant.empty()) {
        advice = "did you mean '" + meant + "'?";
        if (!has(meant)) distrust(meant);  // it is not missing as well
    } else {
        advice = (top ? "known at the top level are " : "known in [" + std::string(parent) +
                                                            "] are ") +
                 join(siblings, ", ");
    }
    fault(value.origin, "unknown key '" + printable(path, kShownBytes) + "'", advice);
}

void Config::check_table(ConfigValue& table, const std::string& path) {
    for (std::size_t i = 0; i < table.items.size(); ++i) {
        const std::string full = path.empty() ? table.keys[i] : path + "." + table.keys[i];
        ConfigValue& value = table.items[i];
        // A key with a dot or a bracket in it (quoted in TOML) must not pass for a path.
        const bool plain = table.keys[i].find_first_of(".[]*") == std::string::npos;
        const KeySpec* spec = plain ? schema_.find(full) : nullptr;
        if (spec != nullptr) {
            given_.push_back(full);
            const std::vector<ValueFault> found = check_value(value, *spec, full);
            faults_.insert(faults_.end(), found.begin(), found.end());
            if (!found.empty()) {
                distrust(full);
            }
            if (spec->type == KeyType::entries && value.kind == ConfigValue::Kind::array) {
                check_entries(value, *spec);
            }
            continue;
        }
        const bool section =
            plain && std::any_of(schema_.keys.begin(), schema_.keys.end(), [&](const KeySpec& key) {
                return starts_with(key.path, full + ".");
            });
        if (!section) {
            unknown_key(value, full);
            continue;
        }
        if (value.kind != ConfigValue::Kind::table) {
            fault(value.origin,
                  "'" + full + "' must be a table, found " +
                      printable(toml_value(value), kShownBytes),
                  "write [" + full + "] on a line of its own, and its keys below");
            distrust(full);
            continue;
        }
        given_.push_back(full);
        check_table(value, full);
    }
}

void Config::check_entries(ConfigValue& array, const KeySpec& spec) {
    for (ConfigValue& item : array.items) {
        if (item.kind == ConfigValue::Kind::table) {
            check_table(item, spec.path + "[]");
            fill_entry(item, spec);
        }
    }
}

void Config::fill_entry(ConfigValue& entry, const KeySpec& spec) {
    const std::string start = spec.path + "[].";
    for (const KeySpec& key : schema_.keys) {
        const std::string name = last_part(key.path);
        if (!starts_with(key.path, start) || entry.find(name) != nullptr) {
            continue;
        }
        if (key.required) {
            missing(key, entry.origin);
        } else if (!key.fallback.empty()) {
            ConfigValue value = default_value(key);
            set_origin(value, entry.origin);
            entry.put(name, std::move(value));
        }
    }
}

void Config::missing(const KeySpec& key, const ConfigOrigin& origin) {
    const bool of_table = !key.section().empty() && key.path.find("[]") == std::string::npos;
    fault(origin, "key '" + key.path + "' is missing",
          "give " + key.expects() + ", for example " + last_part(key.path) + " = " + key.example +
              (of_table ? " under [" + key.section() + "]" : ""));
    distrust(key.path);
}

void Config::fill_defaults() {
    for (const std::string& section : schema_.optional_sections) {
        const ConfigValue* table = root_.find(section);
        // Whatever is wrong with its keys, a table that is there is wanted.
        const bool readable = table == nullptr || table->kind == ConfigValue::Kind::table;
        if (readable && (table == nullptr || table->find("enabled") == nullptr)) {
            set(section + ".enabled", ConfigValue::of(given(section)));
        }
    }
    for (const KeySpec& key : schema_.keys) {
        const bool plain = key.path.find_first_of("*[") == std::string::npos;
        if (!plain || has(key.path) || !sound(key.path)) {
            continue;
        }
        if (!key.fallback.empty()) {
            set(key.path, default_value(key));
        } else if (key.required && (!schema_.is_optional(key.section()) || enabled(key.section()))) {
            const ConfigValue* table = key.section().empty() ? &root_ : root_.find(key.section());
            missing(key, table == nullptr || table->origin.source.empty()
                             ? ConfigOrigin{file_, 1, 1}
                             : table->origin);
        }
    }
}

// Whole names alone: "umbrella.steps" does not stand in "umbrella.stepsize".
std::string Config::renamed(std::string_view text) const {
    std::string out(text);
    const auto of_name = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
    for (const auto& [from, to] : renamed_)
        for (std::size_t i = out.find(from); i != std::string::npos; i = out.find(from, i)) {
            const std::size_t end = i + from.size();
            const bool whole = (i == 0 || !of_name(out[i - 1])) &&
                               (end == out.size() || from.back() == '.' || !of_name(out[end]));
            if (whole) out.replace(i, from.size(), to);
            i += whole ? to.size() : from.size();
        }
    return out;
}

bool Config::given(std::string_view path) const {
    return std::find(given_.begin(), given_.end(), renamed(path)) != given_.end();
}

bool Config::knows(std::string_view section) const {
    return std::ranges::any_of(schema_.keys, [&](const KeySpec& key) { return key.section() == section; });
}

bool Config::enabled(std::string_view section) const {
    const ConfigValue* value = find(std::string(section) + ".enabled");
    return value != nullptr && value->kind == ConfigValue::Kind::boolean && value->boolean;
}

const ConfigValue* Config::find(std::string_view asked) const {
    const std::string own = renamed(asked);
    std::string_view path = own;
    const ConfigValue* value = &root_;
    while (value != nullptr) {
        const std::size_t dot = path.find('.');
        value = find_item(*value, path.substr(0, dot));
        if (dot == std::string_view::npos) {
            return value;
        }
        path = path.substr(dot + 1);
    }
    return nullptr;
}

const ConfigValue& Config::at(std::string_view path) const {
    const ConfigValue* value = find(path);
    if (value == nullptr) {
        throw InputError(file_ + ":1:1: key '" + std::string(path) + "' is missing; give a value");
    }
    return *value;
}

index Config::integer(std::string_view path) const { return at(path).integer; }
double Config::number(std::string_view path) const { return at(path).as_number(); }
const std::string& Config::text(std::string_view path) const { return at(path).text; }

void Config::set(const std::string& path, ConfigValue value) {
    ConfigValue* table = &root_;
    const std::string own = renamed(path);
    std::string_view rest = own;
    root_.kind = ConfigValue::Kind::table;
    for (std::size_t dot = rest.find('.'); dot != std::string_view::npos; dot = rest.find('.')) {
        const std::string part(rest.substr(0, dot));
        ConfigValue* next = table->find(part);
        if (next == nullptr) {
            ConfigValue empty;
            empty.kind = ConfigValue::Kind::table;
            next = &table->put(part, std::move(empty));
        }
        table = next;
        rest = rest.substr(dot + 1);
    }
    const std::string name(rest);
    if (const ConfigValue* old = table->find(name)) {
        set_origin(value, old->origin);
    }
    table->put(name, std::move(value));
}

bool Config::sound(std::string_view asked) const {
    const std::string key = renamed(asked);
    return std::none_of(unsound_.begin(), unsound_.end(), [&key](const std::string& wrong) {
        return wrong == key || is_around(wrong, key) || is_around(key, wrong);
    });
}

void Config::keep(const KeyError& error) {
    fault(place(error.key()), renamed(error.wrong()), renamed(error.right()));
    distrust(error.key());
}

ConfigOrigin Config::place(std::string_view path) const {
    for (;;) {
        const ConfigValue* value = find(path);
        if (value != nullptr && !value->origin.source.empty()) {
            return value->origin;
        }
        const std::size_t dot = path.rfind('.');
        if (dot == std::string_view::npos) {
            return {file_, 1, 1};
        }
        path = path.substr(0, dot);
    }
}

InputError Config::located(const KeyError& error) const {
    return InputError(place(error.key()).str() + ": " + renamed(error.what()));
}

void Config::throw_faults() const {
    if (faults_.empty() && unread_.empty()) {
        return;
    }
    std::vector<ValueFault> sorted = faults_;
    // What options of the command line say stands nowhere in the file: it comes last.
    std::stable_sort(sorted.begin(), sorted.end(), [](const ValueFault& a, const ValueFault& b) {
        return std::tuple(a.origin.line == 0, a.origin.line, a.origin.column) <
               std::tuple(b.origin.line == 0, b.origin.line, b.origin.column);
    });
    std::vector<std::string> lines = unread_;
    for (const ValueFault& each : sorted) {
        std::string line = each.origin.str() + ": " + each.wrong + "; " + each.right;
        if (std::find(lines.begin(), lines.end(), line) == lines.end()) {
            lines.push_back(std::move(line));
        }
    }
    throw InputError(join(lines, "\n"));
}

std::string Config::to_toml() const {
    std::string out;
    for (const std::string& section : schema_.sections()) {
        std::string body;
        std::vector<std::string> done;
        const bool off = schema_.is_optional(section) && !enabled(section);
        for (const KeySpec& key : schema_.keys) {
            std::string name = key.name();
            if (key.section() != section || name.find("[]") != std::string::npos) {
                continue;
            }
            name = name.substr(0, name.find('.'));  // a table of any names is written inline
            if (std::find(done.begin(), done.end(), name) != done.end() ||
                (off && name != "enabled")) {
                continue;
            }
            done.push_back(name);
            const ConfigValue* value = find(section.empty() ? name : section + "." + name);
            if (value != nullptr) {
                body += toml_key(name) + " = " + toml_value(*value) + "\n";
            }
        }
        if (!body.empty()) {
            out += (out.empty() ? "" : "\n") + (section.empty() ? "" : "[" + section + "]\n") + body;
        }
    }
    return out;
}

}  // namespace microlift
