// Reading TOML: files, and values on the command line.
#include <algorithm>
#include <optional>
#include <sstream>
#include <utility>

#include "engine/config/value.h"
#include "engine/error.h"

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
constexpr std::size_t kMaxDepth = 16;

ConfigOrigin origin_of(const toml::source_region& region, const std::string& file) {
    return {file, static_cast<int>(region.begin.line), static_cast<int>(region.begin.column)};
}

ConfigValue from_node(const toml::node& node, const std::string& file, std::size_t depth) {
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
        // No key takes one, and each says what it takes.
        std::ostringstream text;
        node.visit([&text](const auto& held) { text << held; });
        value.kind = ConfigValue::Kind::date;
        value.text = text.str();
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

const char* kind_name(ConfigValue::Kind kind) {
    switch (kind) {
        case ConfigValue::Kind::boolean: return "a boolean";
        case ConfigValue::Kind::integer: return "an integer";
        case ConfigValue::Kind::number: return "a number";
        case ConfigValue::Kind::text: return "a string";
        case ConfigValue::Kind::array: return "an array";
        case ConfigValue::Kind::table: return "a table";
        case ConfigValue::Kind::date: return "a date";
    }
    return "a value";
}

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

ConfigOverride ConfigOverride::parse(const std::string& text) {
    const std::size_t equals = text.find('=');
    const std::string option = "--set " + printable(text);
    if (equals == std::string::npos || equals == 0) {
        refuse({option, 0, 0}, "there is no 'key=value' in it",
               "write for example --set umbrella.windows=40");
    }
    return {text.substr(0, equals), text.substr(equals + 1), option};
}

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

// A quote or a bracket begins a text, an array or a table of TOML. Anything else that is not TOML is a
// string as it stands: ./start.csv, muller_brown, 2*x^2, -x.
static bool may_be_bare(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t");
    return first != std::string_view::npos &&
           std::string_view("[{\"'").find(text[first]) == std::string_view::npos;
}

ConfigValue option_value(const std::string& text, const ConfigOrigin& origin) {
    if (text.empty()) {
        refuse(origin, "the value is empty", "write for example --set umbrella.windows=40");
    }
    ConfigValue value;
    const auto parse = [&]() -> std::optional<toml::parse_result> {
        try {
            check_before_parsing(text, origin.source);
            return parse_checked("v = " + text, origin.source);
        } catch (const InputError&) {
            return std::nullopt;
        }
    };
    std::optional<toml::parse_result> parsed;
    if (text.size() <= kMaxFileBytes) parsed = parse();
    if (parsed && *parsed) {
        ConfigValue tree = from_node(parsed->table(), origin.source, 0);
        if (tree.items.size() != 1) {
            refuse(origin, "the value holds more than one value", "give one --set for each key");
        }
        value = std::move(tree.items[0]);
    } else if (may_be_bare(text)) {
        if (printable(text, text.size()) != text || text.size() > kMaxFileBytes) {
            refuse(origin, "the value holds control characters, or is larger than 1 MiB",
                   "give one line of text");
        }
        value = ConfigValue::of(text);
    } else {
        refuse(origin, "'" + printable(text) + "' is not a TOML value",
               "write a number, true, false, \"text\" or an array such as '[1, 2]'; a text that begins "
               "like one of them needs quotes: '\"[x].csv\"'");
    }
    set_origin(value, origin);
    return value;
}

// The parts of "umbrella.windows".
static std::vector<std::string> key_parts(const ConfigOverride& change, const ConfigOrigin& origin) {
    std::vector<std::string> parts;
    for (std::string_view rest = change.key;;) {
        const std::size_t dot = rest.find('.');
        const std::string_view part = rest.substr(0, dot);
        const bool bare =
            !part.empty() && part.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQR"
                                                    "STUVWXYZ0123456789_-") == std::string::npos;
        if (!bare || parts.size() >= kMaxDepth) {
            refuse(origin, "'" + printable(change.key) + "' is not the name of a key",
                   "write for example --set umbrella.windows=40");
        }
        parts.emplace_back(part);
        if (dot == std::string_view::npos) {
            return parts;
        }
        rest = rest.substr(dot + 1);
    }
}

void apply_override(ConfigValue& root, const ConfigOverride& change) {
    const ConfigOrigin origin{change.option, 0, 0};
    ConfigValue value = option_value(change.value, origin);
    const std::vector<std::string> parts = key_parts(change, origin);
    ConfigValue* table = &root;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
        ConfigValue* next = table->find(parts[i]);
        if (next == nullptr) {
            ConfigValue empty;
            empty.kind = ConfigValue::Kind::table;
            empty.origin = origin;
            next = &table->put(parts[i], std::move(empty));
        }
        if (next->kind != ConfigValue::Kind::table) {
            refuse(origin, "'" + parts[i] + "' is " + kind_name(next->kind) + ", not a table",
                   "write for example --set umbrella.windows=40");
        }
        table = next;
    }
    table->put(parts.back(), std::move(value));
}

}  // namespace microlift
