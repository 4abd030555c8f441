#include "engine/files/json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace microlift {

namespace {

constexpr std::size_t kMostEntries = 4096;  // of an object of strangers: its keys are searched in turn
constexpr std::size_t kMostLevels = 200;  // of lists in lists: writing and freeing them recurse

template <class T, class Value>
auto& kind(Value& value, const char* name) {
    auto* held = std::get_if<T>(&value);
    if (held == nullptr) throw std::runtime_error(std::string("JSON: the value is not ") + name);
    return *held;
}

// Builds values from the parser's events.
struct Builder : nlohmann::json_sax<nlohmann::json> {
    bool null() override { return put(Json()); }
    bool boolean(bool value) override { return put(value); }
    bool number_integer(std::int64_t value) override { return put(value); }
    bool number_unsigned(std::uint64_t value) override { return put(value); }
    bool number_float(double value, const std::string&) override { return put(value); }
    bool string(std::string& value) override { return put(std::move(value)); }
    bool binary(nlohmann::json::binary_t&) override { return false; }
    bool start_object(std::size_t) override { return open(Json::object()); }
    bool start_array(std::size_t) override { return open(Json::array()); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }
    bool key(std::string& name) override {
        keys.back() = std::move(name);
        return true;
    }
    bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override {
        return false;
    }

    Json* place(Json value) {
        if (stack.empty()) {
            root = std::move(value);
            return &root;
        }
        if (stack.back()->is_array()) {
            stack.back()->push_back(std::move(value));
            return &stack.back()->back();
        }
        if (strict && (stack.back()->size() == kMostEntries || stack.back()->contains(keys.back())))
            sound = false;
        Json& entry = (*stack.back())[keys.back()];
        entry = std::move(value);
        return &entry;
    }
    bool put(Json value) {
        place(std::move(value));
        return sound;
    }
    bool open(Json value) {
        if (stack.size() == kMostLevels) return false;
        stack.push_back(place(std::move(value)));
        keys.emplace_back();
        return sound;
    }
    bool close() {
        stack.pop_back();
        keys.pop_back();
        return true;
    }

    bool strict = false;
    bool sound = true;
    Json root;
    std::vector<Json*> stack;       // the containers that are open
    std::vector<std::string> keys;  // the last key of each
};

}  // namespace

Json::Json() = default;
Json::Json(const Json& other) = default;
Json::Json(Json&& other) noexcept = default;
Json& Json::operator=(Json other) noexcept {
    value_.swap(other.value_);
    return *this;
}
Json::~Json() = default;

Json::Json(Value value) noexcept : value_(std::move(value)) {}
Json::Json(const char* text) : value_(std::string(text)) {}
Json::Json(std::string text) : value_(std::move(text)) {}
Json::Json(std::string_view text) : value_(std::string(text)) {}

Json::Json(std::initializer_list<Json> items) {
    const bool pairs = std::all_of(items.begin(), items.end(), [](const Json& item) {
        return item.is_array() && item.size() == 2 && item[0].is_string();
    });
    if (!pairs) {
        value_ = Array(items);
        return;
    }
    value_ = Object();
    for (const Json& item : items) (*this)[item[0].text()] = item[1];
}

Json Json::array() { return Json(Value(Array())); }
Json Json::object() { return Json(Value(Object())); }

bool Json::is_null() const { return std::holds_alternative<std::monostate>(value_); }
bool Json::is_string() const { return std::holds_alternative<std::string>(value_); }
bool Json::is_unsigned() const { return std::holds_alternative<std::uint64_t>(value_); }
bool Json::is_array() const { return std::holds_alternative<Array>(value_); }
bool Json::is_object() const { return std::holds_alternative<Object>(value_); }
bool Json::is_number() const {
    return std::holds_alternative<double>(value_) || std::holds_alternative<std::int64_t>(value_) ||
           std::holds_alternative<std::uint64_t>(value_);
}

std::size_t Json::size() const {
    if (const auto* list = std::get_if<Array>(&value_)) return list->size();
    if (const auto* map = std::get_if<Object>(&value_)) return map->size();
    return 0;
}

const Json* Json::find(std::string_view key) const {
    const auto* map = std::get_if<Object>(&value_);
    if (map == nullptr) return nullptr;
    const auto entry = std::find_if(map->begin(), map->end(),
                                    [&](const Entry& each) { return each.first == key; });
    return entry == map->end() ? nullptr : &entry->second;
}

Json& Json::operator[](std::string_view key) {
    if (is_null()) value_ = Object();
    if (const Json* found = find(key)) return const_cast<Json&>(*found);
    return items().emplace_back(std::string(key), Json()).second;
}

const Json& Json::at(std::string_view key) const {
    const Json* found = find(key);
    if (found == nullptr) throw std::out_of_range("JSON: no key '" + std::string(key) + "'");
    return *found;
}

void Json::erase(std::string_view key) {
    items().remove_if([&](const Entry& entry) { return entry.first == key; });
}

void Json::update(const Json& object) {
    for (const auto& [key, value] : object.items()) (*this)[key] = value;
}

Json::Object& Json::items() { return kind<Object>(value_, "an object"); }
const Json::Object& Json::items() const { return kind<Object>(value_, "an object"); }

Json& Json::operator[](std::size_t index) { return kind<Array>(value_, "an array").at(index); }
const Json& Json::operator[](std::size_t index) const { return elements().at(index); }

void Json::push_back(Json item) {
    if (is_null()) value_ = Array();
    kind<Array>(value_, "an array").push_back(std::move(item));
}

Json& Json::back() { return kind<Array>(value_, "an array").back(); }
Json::Array::const_iterator Json::begin() const { return elements().begin(); }
Json::Array::const_iterator Json::end() const { return elements().end(); }

bool Json::boolean() const { return kind<bool>(value_, "a boolean"); }
const std::string& Json::text() const { return kind<std::string>(value_, "a string"); }
const Json::Array& Json::elements() const {
    static const Array none;
    return is_null() ? none : kind<Array>(value_, "an array");
}

double Json::number() const {
    if (const auto* whole = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*whole);
    if (const auto* whole = std::get_if<std::uint64_t>(&value_)) return static_cast<double>(*whole);
    return kind<double>(value_, "a number");
}

std::int64_t Json::whole() const {
    if (const auto* whole = std::get_if<std::int64_t>(&value_)) return *whole;
    if (const auto* whole = std::get_if<std::uint64_t>(&value_))
        return static_cast<std::int64_t>(*whole);
    return static_cast<std::int64_t>(kind<double>(value_, "a number"));
}

void Json::write(std::string& out, int indent, int depth) const {
    const auto line = [&](int level) {
        if (indent < 0) return;
        out += '\n';
        out.append(static_cast<std::size_t>(indent * level), ' ');
    };
    const auto list = [&](const auto& held, char open, char close, const auto& each) {
        out += open;
        for (bool first = true; const auto& item : held) {
            if (!first) out += ',';
            first = false;
            line(depth + 1);
            each(item);
        }
        if (!held.empty()) line(depth);
        out += close;
    };
    struct Visitor {
        std::string& out;
        void operator()(std::monostate) { out += "null"; }
        void operator()(bool value) { out += value ? "true" : "false"; }
        void operator()(std::int64_t value) { out += std::to_string(value); }
        void operator()(std::uint64_t value) { out += std::to_string(value); }
        void operator()(double value) { out += nlohmann::json(value).dump(); }
        void operator()(const std::string& value) { out += nlohmann::json(value).dump(); }
        void operator()(const Array&) {}
        void operator()(const Object&) {}
    };
    if (is_array()) {
        list(elements(), '[', ']', [&](const Json& item) { item.write(out, indent, depth + 1); });
    } else if (is_object()) {
        list(items(), '{', '}', [&](const Entry& entry) {
            out += nlohmann::json(entry.first).dump() + (indent < 0 ? ":" : ": ");
            entry.second.write(out, indent, depth + 1);
        });
    } else {
        std::visit(Visitor{out}, value_);
    }
}

std::string Json::dump(int indent) const {
    std::string out;
    write(out, indent, 0);
    return out;
}

std::optional<Json> Json::parse(std::string_view text) {
    Builder builder;
    if (!nlohmann::json::sax_parse(text, &builder)) return std::nullopt;
    return std::move(builder.root);
}

std::optional<Json> Json::parse_strictly(std::string_view text) {
    Builder builder;
    builder.strict = true;
    if (!nlohmann::json::sax_parse(text, &builder)) return std::nullopt;
    return std::move(builder.root);
}

bool operator==(const Json& a, const Json& b) {
    if (!a.is_number() || !b.is_number()) return a.value_ == b.value_;
    if (std::holds_alternative<double>(a.value_) || std::holds_alternative<double>(b.value_))
        return a.number() == b.number();
    const bool a_large = std::holds_alternative<std::uint64_t>(a.value_) && a.whole() < 0;
    const bool b_large = std::holds_alternative<std::uint64_t>(b.value_) && b.whole() < 0;
    return a_large == b_large && a.whole() == b.whole();
}

}  // namespace microlift
