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
        case KeyType::names: return "a string, or an array of strings";
        case KeyType::rows: return "an array of strings, or a square matrix of them";
        case KeyType::state: return "an array of numbers, or a string";
        case KeyType::place: return "a number, or a string";
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

namespace {

// Whether one value is what its key expects, and each entry of an array.
class ValueCheck {
public:
    ValueCheck(ConfigValue& value, const KeySpec& spec, const std::string& shown)
        : value_(value), spec_(spec), shown_(shown) {}

    std::vector<ValueFault> run() {
        switch (spec_.type) {
            case KeyType::boolean:
                if (value_.kind != Kind::boolean) wrong(value_);
                break;
            case KeyType::integer:
            case KeyType::number: number(value_); break;
            case KeyType::integers:
            case KeyType::numbers: value_.kind == Kind::array ? numbers() : number(value_); break;
            case KeyType::text: text(); break;
            case KeyType::texts:
                if (array()) texts(value_);
                break;
            case KeyType::names:
                if (value_.kind == Kind::text ? value_.text.empty() : value_.kind != Kind::array)
                    wrong(value_);
                else if (value_.kind == Kind::array && array())
                    texts(value_);
                break;
            case KeyType::rows: rows(); break;
            case KeyType::state:
                if (value_.kind != Kind::text || value_.text.empty()) numbers();
                break;
            case KeyType::place:
                if (value_.kind != Kind::text || value_.text.empty()) number(value_);
                break;
            case KeyType::entries: entries(); break;
        }
        return std::move(faults_);
    }

private:
    using Kind = ConfigValue::Kind;

    void wrong(const ConfigValue& found) {
        const std::string& sample = spec_.example.empty() ? spec_.fallback : spec_.example;
        fail(found, "for example " + last_part(shown_) + " = " + sample);
    }
    void fail(const ConfigValue& found, const std::string& right) {
        faults_.push_back({found.origin.source.empty() ? value_.origin : found.origin,
                           "key '" + shown_ + "' must be " + spec_.expects() + ", found " +
                               printable(toml_value(found), kShownBytes),
                           right});
    }

    void number(ConfigValue& item) {
        const bool whole = spec_.type == KeyType::integer || spec_.type == KeyType::integers;
        if (whole ? item.kind != Kind::integer : !item.is_number()) return wrong(item);
        const double x = item.as_number();
        const bool low = spec_.least_excluded ? x > spec_.least : x >= spec_.least;
        const bool high = spec_.most_excluded ? x < spec_.most : x <= spec_.most;
        if (!std::isfinite(x) || !low || !high) return wrong(item);
        if (!whole) {
            item.kind = Kind::number;
            item.number = x;
        }
    }
    void numbers() {
        if (!array()) return;
        for (ConfigValue& item : value_.items) number(item);
    }
    bool array() {
        if (value_.kind == Kind::array && !value_.items.empty()) return true;
        wrong(value_);
        return false;
    }
    void texts(const ConfigValue& array) {
        for (const ConfigValue& item : array.items)
            if (item.kind != Kind::text || item.text.empty()) wrong(item);
    }
    void text() {
        if (value_.kind != Kind::text || value_.text.empty()) return wrong(value_);
        const auto& choices = spec_.choices;
        if (choices.empty() ||
            std::find(choices.begin(), choices.end(), value_.text) != choices.end())
            return;
        const std::string near = nearest_name(value_.text, choices);
        if (near.empty()) return wrong(value_);
        fail(value_, "did you mean " + toml_string(near) + "?");
    }
    void rows() {
        if (!array()) return;
        if (value_.items[0].kind != Kind::array) return texts(value_);
        for (const ConfigValue& row : value_.items) {
            if (row.kind != Kind::array || row.items.size() != value_.items.size())
                return wrong(value_);
            texts(row);
        }
    }
    void entries() {
        if (!array()) return;
        for (const ConfigValue& item : value_.items)
            if (item.kind != Kind::table && (item.kind != Kind::text || item.text.empty()))
                wrong(item);
    }

    ConfigValue& value_;
    const KeySpec& spec_;
    const std::string& shown_;
    std::vector<ValueFault> faults_;
};

}  // namespace

std::vector<ValueFault> check_value(ConfigValue& value, const KeySpec& spec,
                                    const std::string& shown) {
    return ValueCheck(value, spec, shown).run();
}

ConfigValue default_value(const KeySpec& key) {
    ConfigValue value = parse_toml("v = " + key.fallback, "default").items.at(0);
    check_value(value, key, key.path);
    set_origin(value, {});
    return value;
}

}  // namespace microlift
