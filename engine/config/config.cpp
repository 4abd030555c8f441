#include "engine/config/config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <numeric>
#include <sstream>

// The parser asserts on some broken files ("[" and a line end); that has to be an error of the file,
// in every build.
#undef NDEBUG
namespace {
struct ParserGaveUp {};
[[noreturn]] void give_up() { throw ParserGaveUp(); }
}  // namespace
#define TOML_ASSERT(condition) ((condition) ? void() : give_up())
#define TOML_EXCEPTIONS 0
#define TOML_MAX_NESTED_VALUES 16
#include <toml++/toml.h>

namespace microlift {
namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{1} << 20;
constexpr int kMaxDotsPerLine = 128;  // dotted keys nest; this bounds the depth of the tree
constexpr int kMaxDepth = 16;
constexpr std::size_t kShownBytes = 80;

// One line of plain text: control characters out, long texts cut.
std::string printable(std::string_view text, std::size_t limit = 400) {
    std::string out;
    for (char c : text.substr(0, limit)) {
        const auto u = static_cast<unsigned char>(c);
        out += (u < 0x20 || u == 0x7f) ? ' ' : c;
    }
    if (text.size() > limit) {
        while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xc0) == 0x80) {
            out.pop_back();
        }
        if (!out.empty() && static_cast<unsigned char>(out.back()) >= 0xc0) {
            out.pop_back();
        }
        out += "...";
    }
    return out;
}

[[noreturn]] void refuse(const ConfigOrigin& origin, const std::string& wrong,
                         const std::string& right) {
    throw InputError(origin.str() + ": " + wrong + "; " + right);
}

ConfigOrigin origin_of(const toml::source_region& region, const std::string& file) {
    return {file, static_cast<int>(region.begin.line), static_cast<int>(region.begin.column)};
}

ConfigValue from_node(const toml::node& node, const std::string& file, int depth) {
    ConfigValue value;
    value.origin = origin_of(node.source(), file);
    if (depth > kMaxDepth) {
        refuse(value.origin, "tables are nested more than 16 deep",
               "the keys of a configuration are at most three deep");
    }
    if (const auto* boolean = node.as_boolean()) {
        value.kind = ConfigValue::Kind::boolean;
        value.boolean = boolean->get();
    } else if (const auto* integer = node.as_integer()) {
        value.kind = ConfigValue::Kind::integer;
        value.integer = integer->get();
    } else if (const auto* number = node.as_floating_point()) {
        value.kind = ConfigValue::Kind::number;
        value.number = number->get();
    } else if (const auto* text = node.as_string()) {
        value.kind = ConfigValue::Kind::text;
        value.text = text->get();
    } else if (const auto* array = node.as_array()) {
        value.kind = ConfigValue::Kind::array;
        for (const toml::node& item : *array) {
            value.items.push_back(from_node(item, file, depth + 1));
        }
    } else if (const auto* table = node.as_table()) {
        value.kind = ConfigValue::Kind::table;
        for (auto&& [key, item] : *table) {
            value.keys.emplace_back(key.str());
            value.items.push_back(from_node(item, file, depth + 1));
            // Point at the key, unless it is a table of its own with a header.
            if (!item.is_table()) {
                value.items.back().origin = origin_of(key.source(), file);
            }
        }
    } else {
        refuse(value.origin, "dates and times have no use here",
               "write a number, or a string in quotes");
    }
    return value;
}

// What the parser does not survive, outside strings and comments: it recurses over dotted keys, so
// their depth has to be bounded before it runs; and it takes no letters outside ASCII.
void check_before_parsing(std::string_view text, const std::string& file) {
    enum class In { plain, comment, basic, literal, long_basic, long_literal };
    In in = In::plain;
    int dots = 0;
    int line = 1;
    std::size_t line_start = 0;
    const bool bom = text.substr(0, 3) == "\xef\xbb\xbf";
    // A long string may end in up to five quotes; the last three close it.
    const auto skip_quotes = [&text](std::size_t i, char quote) {
        for (int more = 0; more < 2 && i + 1 < text.size() && text[i + 1] == quote; ++more) {
            ++i;
        }
        return i;
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        const std::string_view three = text.substr(i, 3);
        if (c == '\n') {
            ++line;
            line_start = i + 1;
            dots = 0;
            if (in == In::comment || in == In::basic || in == In::literal) {
                in = In::plain;
            }
            continue;
        }
        switch (in) {
            case In::plain:
                if (three == "\"\"\"" || three == "'''") {
                    in = c == '"' ? In::long_basic : In::long_literal;
                    i += 2;
                } else if (c == '"') {
                    in = In::basic;
                } else if (c == '\'') {
                    in = In::literal;
                } else if (c == '#') {
                    in = In::comment;
                } else if (static_cast<unsigned char>(c) >= 0x80 && (i >= 3 || !bom)) {
                    // Not TOML, and undefined behaviour in the parser's tables of letters.
                    refuse({file, line, static_cast<int>(i - line_start) + 1},
                           "a character outside ASCII stands outside quotes",
                           "put the text into quotes");
                } else if (c == '.' && ++dots > kMaxDotsPerLine) {
                    refuse({file, line, 1}, "more than 128 dots on one line",
                           "break the array over several lines");
                }
                break;
            case In::basic:
            case In::long_basic:
                if (c == '\\') {
                    ++i;
                } else if (in == In::basic && c == '"') {
                    in = In::plain;
                } else if (in == In::long_basic && three == "\"\"\"") {
                    in = In::plain;
                    i = skip_quotes(i + 2, '"');
                }
                break;
            case In::literal:
                if (c == '\'') {
                    in = In::plain;
                }
                break;
            case In::long_literal:
                if (three == "'''") {
                    in = In::plain;
                    i = skip_quotes(i + 2, '\'');
                }
                break;
            case In::comment:
                break;
        }
    }
}

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

std::string join(const std::vector<std::string>& parts, const char* between) {
    std::string out;
    for (const std::string& part : parts) {
        out += out.empty() ? part : between + part;
    }
    return out;
}

bool starts_with(std::string_view text, std::string_view start) {
    return text.substr(0, start.size()) == start;
}

std::string last_part(std::string_view path) {
    return std::string(path.substr(path.rfind('.') + 1));
}

const char* kind_name(ConfigValue::Kind kind) {
    switch (kind) {
        case ConfigValue::Kind::boolean: return "a boolean";
        case ConfigValue::Kind::integer: return "an integer";
        case ConfigValue::Kind::number: return "a number";
        case ConfigValue::Kind::text: return "a string";
        case ConfigValue::Kind::array: return "an array";
        case ConfigValue::Kind::table: return "a table";
    }
    return "a value";
}

}  // namespace

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

ConfigOverride ConfigOverride::parse(const std::string& text) {
    const std::size_t equals = text.find('=');
    const std::string option = "--set " + printable(text);
    if (equals == std::string::npos || equals == 0) {
        refuse({option, 0, 0}, "there is no 'key=value' in it",
               "write for example --set umbrella.windows=40");
    }
    return {text.substr(0, equals), text.substr(equals + 1), option};
}

namespace {

bool parser_gives_up(std::string_view text) {
    try {
        (void)toml::parse(text);
    } catch (const ParserGaveUp&) {
        return true;
    }
    return false;
}

// The first line after which the parser gives up.
int line_of_giving_up(std::string_view text) {
    std::vector<std::size_t> ends;
    for (std::size_t at = text.find('\n'); at != std::string_view::npos; at = text.find('\n', at + 1)) {
        ends.push_back(at + 1);
    }
    std::size_t low = 0;
    std::size_t high = ends.size();
    while (low < high) {
        const std::size_t middle = (low + high) / 2;
        if (parser_gives_up(text.substr(0, ends[middle]))) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return static_cast<int>(low) + 1;
}

toml::parse_result parse_checked(std::string_view text, const std::string& file) {
    try {
        return toml::parse(text, std::string_view(file));
    } catch (const ParserGaveUp&) {
        refuse({file, line_of_giving_up(text), 1}, "this line breaks off",
               "the file has to be valid TOML, see https://toml.io");
    }
}

}  // namespace

ConfigValue parse_toml(std::string_view text, const std::string& file) {
    if (text.size() > kMaxFileBytes) {
        refuse({file, 1, 1}, "the file is larger than 1 MiB", "give a configuration in TOML");
    }
    check_before_parsing(text, file);
    const toml::parse_result result = parse_checked(text, file);
    if (!result) {
        const toml::parse_error& error = result.error();
        refuse(origin_of(error.source(), file), printable(error.description()),
               "the file has to be valid TOML, see https://toml.io");
    }
    return from_node(result.table(), file, 0);
}

ConfigValue read_toml(const std::string& file) {
    std::error_code problem;
    std::ifstream in(file, std::ios::binary);
    if (!in) {
        problem.assign(errno, std::generic_category());
        throw InputError(file + ": cannot read it: " + problem.message() +
                         "; give the path of a configuration file");
    }
    std::string text(kMaxFileBytes + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (in.bad() || (in.fail() && !in.eof())) {
        throw InputError(file + ": cannot read it; give the path of a configuration file");
    }
    text.resize(static_cast<std::size_t>(in.gcount()));
    return parse_toml(text, file);
}

static void set_origin(ConfigValue& value, const ConfigOrigin& origin) {
    value.origin = origin;
    for (ConfigValue& item : value.items) {
        set_origin(item, origin);
    }
}

void apply_override(ConfigValue& root, const ConfigOverride& change) {
    const ConfigOrigin origin{change.option, 0, 0};
    if (change.value.empty()) {
        refuse(origin, "the value is empty", "write for example --set umbrella.windows=40");
    }
    ConfigValue value;
    const toml::parse_result parsed = change.value.size() <= kMaxFileBytes
                                          ? (check_before_parsing(change.value, change.option),
                                             parse_checked("v = " + change.value, change.option))
                                          : toml::parse("v =");
    if (parsed) {
        ConfigValue tree = from_node(parsed.table(), change.option, 0);
        if (tree.items.size() != 1) {
            refuse(origin, "the value holds more than one value", "give one --set for each key");
        }
        value = std::move(tree.items[0]);
    } else if (std::string_view("[{\"'+-.0123456789").find(change.value[0]) !=
               std::string_view::npos) {
        refuse(origin, "'" + printable(change.value) + "' is not a TOML value",
               "write a number, true, false, \"text\" or an array such as '[1, 2]'");
    } else {
        value = ConfigValue::of(change.value);
    }
    set_origin(value, origin);

    ConfigValue* table = &root;
    std::string_view rest = change.key;
    for (int depth = 0;; ++depth) {
        const std::size_t dot = rest.find('.');
        const std::string part(rest.substr(0, dot));
        const bool bare =
            !part.empty() && part.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQR"
                                                    "STUVWXYZ0123456789_-") == std::string::npos;
        if (!bare || depth >= kMaxDepth) {
            refuse(origin, "'" + printable(change.key) + "' is not the name of a key",
                   "write for example --set umbrella.windows=40");
        }
        if (dot == std::string_view::npos) {
            table->put(part, std::move(value));
            return;
        }
        ConfigValue* next = table->find(part);
        if (next == nullptr) {
            ConfigValue empty;
            empty.kind = ConfigValue::Kind::table;
            empty.origin = origin;
            next = &table->put(part, std::move(empty));
        }
        if (next->kind != ConfigValue::Kind::table) {
            refuse(origin, "'" + part + "' is " + kind_name(next->kind) + ", not a table",
                   "write for example --set umbrella.windows=40");
        }
        table = next;
        rest = rest.substr(dot + 1);
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

static std::string toml_key(const std::string& key) {
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

int edit_distance(std::string_view a, std::string_view b) {
    std::vector<int> row(b.size() + 1);
    std::iota(row.begin(), row.end(), 0);
    for (std::size_t i = 0; i < a.size(); ++i) {
        int diagonal = row[0];
        row[0] = static_cast<int>(i) + 1;
        for (std::size_t j = 0; j < b.size(); ++j) {
            const int substituted = diagonal + (a[i] != b[j]);
            diagonal = row[j + 1];
            row[j + 1] = std::min({substituted, row[j + 1] + 1, row[j] + 1});
        }
    }
    return row.back();
}

std::string nearest_name(std::string_view name, const std::vector<std::string>& known) {
    if (name.size() > 100) return {};
    std::size_t least = std::max<std::size_t>(1, name.size() / 3) + 1;
    std::string nearest;
    for (const std::string& candidate : known) {
        const auto distance = static_cast<std::size_t>(edit_distance(name, candidate));
        if (distance < least && distance < std::max(name.size(), candidate.size())) {
            least = distance;
            nearest = candidate;
        }
    }
    return nearest;
}

Config::Config(ConfigValue root, Schema schema, std::string file)
    : root_(std::move(root)), schema_(std::move(schema)), file_(std::move(file)) {
    check_table(root_, "");
    fill_defaults();
}

void Config::unknown_key(const ConfigValue& value, const std::string& path) const {
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
    std::string advice;
    const std::string near = nearest_name(name, siblings);
    if (!near.empty()) {
        advice = "did you mean '" + (top ? near : std::string(parent) + "." + near) + "'?";
    } else {
        for (std::size_t i = 0; i < everywhere.size(); ++i) {
            if (everywhere[i] == name) {
                advice = "did you mean '" + schema_.keys[i].path + "'?";
                break;
            }
        }
    }
    if (advice.empty()) {
        advice = (top ? "known at the top level are " : "known in [" + std::string(parent) +
                                                            "] are ") +
                 join(siblings, ", ");
    }
    refuse(value.origin, "unknown key '" + printable(path, kShownBytes) + "'", advice);
}

void Config::check_table(ConfigValue& table, const std::string& path) {
    for (std::size_t i = 0; i < table.items.size(); ++i) {
        const std::string full = path.empty() ? table.keys[i] : path + "." + table.keys[i];
        ConfigValue& value = table.items[i];
        // A key with a dot or a bracket in it (quoted in TOML) must not pass for a path.
        const bool plain = table.keys[i].find_first_of(".[]*") == std::string::npos;
        const KeySpec* spec = plain ? schema_.find(full) : nullptr;
        if (spec != nullptr) {
            check_value(value, *spec, full);
            given_.push_back(full);
            continue;
        }
        const bool section =
            plain && std::any_of(schema_.keys.begin(), schema_.keys.end(), [&](const KeySpec& key) {
                return starts_with(key.path, full + ".");
            });
        if (!section) {
            unknown_key(value, full);
        }
        if (value.kind != ConfigValue::Kind::table) {
            refuse(value.origin,
                   "'" + full + "' must be a table, found " +
                       printable(toml_value(value), kShownBytes),
                   "write [" + full + "] on a line of its own, and its keys below");
        }
        given_.push_back(full);
        check_table(value, full);
    }
}

void Config::check_value(ConfigValue& value, const KeySpec& spec, const std::string& shown) {
    using Kind = ConfigValue::Kind;
    const auto wrong = [&](const ConfigValue& found) {
        const std::string& sample = spec.example.empty() ? spec.fallback : spec.example;
        refuse(found.origin.source.empty() ? value.origin : found.origin,
               "key '" + shown + "' must be " + spec.expects() + ", found " +
                   printable(toml_value(found), kShownBytes),
               "for example " + last_part(shown) + " = " + sample);
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
                refuse(value.origin,
                       "key '" + shown + "' must be " + spec.expects() + ", found " +
                           printable(toml_value(value), kShownBytes),
                       "did you mean " + toml_string(near) + "?");
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
            for (ConfigValue& item : value.items) {
                if (item.kind != Kind::table) {
                    if (item.kind != Kind::text || item.text.empty()) {
                        wrong(item);
                    }
                    continue;
                }
                check_table(item, spec.path + "[]");
                for (const KeySpec& key : schema_.keys) {
                    const std::string start = spec.path + "[].";
                    if (!starts_with(key.path, start)) {
                        continue;
                    }
                    const std::string name = key.path.substr(start.size());
                    if (item.find(name) != nullptr) {
                        continue;
                    }
                    if (key.required) {
                        refuse(item.origin, "key '" + key.path + "' is missing",
                               "give " + key.expects() + ", for example " + name + " = " +
                                   key.example);
                    }
                    if (!key.fallback.empty()) {
                        ConfigValue fallback =
                            parse_toml("v = " + key.fallback, "default").items.at(0);
                        set_origin(fallback, item.origin);
                        item.put(name, std::move(fallback));
                    }
                }
            }
            break;
    }
}

void Config::fill_defaults() {
    for (const std::string& section : schema_.optional_sections) {
        const bool present = section_given(section);
        if (root_.find(section) == nullptr || root_.find(section)->find("enabled") == nullptr) {
            set(section + ".enabled", ConfigValue::of(present));
        }
    }
    for (const KeySpec& key : schema_.keys) {
        const bool plain = key.path.find_first_of("*[") == std::string::npos;
        if (!plain || find(key.path) != nullptr) {
            continue;
        }
        if (!key.fallback.empty()) {
            ConfigValue value = parse_toml("v = " + key.fallback, "default").items.at(0);
            check_value(value, key, key.path);
            set_origin(value, {});
            set(key.path, std::move(value));
        } else if (key.required && (!schema_.is_optional(key.section()) || enabled(key.section()))) {
            const ConfigValue* table = key.section().empty() ? &root_ : root_.find(key.section());
            const ConfigOrigin origin = table == nullptr || table->origin.source.empty()
                                            ? ConfigOrigin{file_, 1, 1}
                                            : table->origin;
            refuse(origin, "key '" + key.path + "' is missing",
                   "give " + key.expects() + ", for example " + key.name() + " = " + key.example +
                       (key.section().empty() ? "" : " under [" + key.section() + "]"));
        }
    }
}

bool Config::given(std::string_view path) const {
    return std::find(given_.begin(), given_.end(), path) != given_.end();
}

bool Config::section_given(std::string_view section) const { return given(section); }

bool Config::enabled(std::string_view section) const {
    return boolean(std::string(section) + ".enabled");
}

const ConfigValue* Config::find(std::string_view path) const {
    const ConfigValue* value = &root_;
    while (value != nullptr) {
        const std::size_t dot = path.find('.');
        value = value->find(path.substr(0, dot));
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

bool Config::boolean(std::string_view path) const { return at(path).boolean; }
index Config::integer(std::string_view path) const { return at(path).integer; }
double Config::number(std::string_view path) const { return at(path).as_number(); }
const std::string& Config::text(std::string_view path) const { return at(path).text; }

std::vector<double> Config::numbers(std::string_view path) const {
    const ConfigValue& value = at(path);
    std::vector<double> out;
    if (value.kind != ConfigValue::Kind::array) {
        return {value.as_number()};
    }
    for (const ConfigValue& item : value.items) {
        out.push_back(item.as_number());
    }
    return out;
}

std::vector<index> Config::integers(std::string_view path) const {
    const ConfigValue& value = at(path);
    if (value.kind != ConfigValue::Kind::array) {
        return {value.integer};
    }
    std::vector<index> out;
    for (const ConfigValue& item : value.items) {
        out.push_back(item.integer);
    }
    return out;
}

std::vector<std::string> Config::texts(std::string_view path) const {
    std::vector<std::string> out;
    for (const ConfigValue& item : at(path).items) {
        out.push_back(item.text);
    }
    return out;
}

void Config::set(const std::string& path, ConfigValue value) {
    ConfigValue* table = &root_;
    std::string_view rest = path;
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

void Config::fail(std::string_view path, const std::string& wrong, const std::string& right) const {
    // The nearest place that the user wrote: the key, or the table around it.
    std::string_view place = path;
    for (;;) {
        const ConfigValue* value = find(place);
        if (value != nullptr && !value->origin.source.empty()) {
            refuse(value->origin, wrong, right);
        }
        const std::size_t dot = place.rfind('.');
        if (dot == std::string_view::npos) {
            refuse({file_, 1, 1}, wrong, right);
        }
        place = place.substr(0, dot);
    }
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
