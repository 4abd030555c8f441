// A JSON value whose objects keep their keys in the order of insertion and never move their values, so
// that a reference to one stays good while others are added. The parser is in json.cpp alone: dozens of
// sources write records, and the library behind it takes seconds to compile.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <list>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace microlift {

class Json {
  public:
    using Array = std::vector<Json>;
    using Entry = std::pair<const std::string, Json>;
    using Object = std::list<Entry>;  // tens of keys

    Json();
    Json(const Json& other);
    Json(Json&& other) noexcept;
    Json& operator=(Json other) noexcept;
    ~Json();

    template <class T>
        requires std::is_arithmetic_v<T>
    Json(T value) : Json(Value(Stored<T>(value))) {}
    Json(const char* text);
    Json(std::string text);
    Json(std::string_view text);
    // An object if every item is a pair that begins with a string, else an array.
    Json(std::initializer_list<Json> items);
    template <std::ranges::input_range Range>
        requires(!std::convertible_to<Range, std::string_view> &&
                 !std::same_as<std::remove_cvref_t<Range>, Json> &&
                 std::convertible_to<std::ranges::range_reference_t<Range>, Json>)
    Json(const Range& range) : Json(array()) {
        for (const auto& item : range) push_back(item);
    }
    static Json array();
    static Json object();

    bool is_null() const;
    bool is_string() const;
    bool is_number() const;
    bool is_unsigned() const;  // written without a sign, a point and an exponent
    bool is_array() const;
    bool is_object() const;

    // Entries of an object, items of an array; 0 of anything else.
    std::size_t size() const;
    bool empty() const { return size() == 0; }

    // A missing key is added, and null becomes an object. Throws std::runtime_error on other kinds.
    Json& operator[](std::string_view key);
    const Json& operator[](std::string_view key) const { return at(key); }
    const Json& at(std::string_view key) const;  // throws std::out_of_range
    const Json* find(std::string_view key) const;  // nullptr: no such key, or no object
    bool contains(std::string_view key) const { return find(key) != nullptr; }
    void erase(std::string_view key);
    void update(const Json& object);
    Object& items();
    const Object& items() const;

    Json& operator[](std::size_t index);
    const Json& operator[](std::size_t index) const;
    void push_back(Json item);  // null becomes an array
    Json& back();
    Array::const_iterator begin() const;  // null is an empty list
    Array::const_iterator end() const;

    // Throws std::runtime_error where the value is of another kind.
    template <class T>
    T get() const {
        if constexpr (std::same_as<T, Json>) return *this;
        else if constexpr (std::same_as<T, bool>) return boolean();
        else if constexpr (std::floating_point<T>) return static_cast<T>(number());
        else if constexpr (std::integral<T>) return static_cast<T>(whole());
        else if constexpr (std::same_as<T, std::string>) return text();
        else {
            T values;
            for (const Json& item : elements()) values.push_back(item.get<typename T::value_type>());
            return values;
        }
    }
    template <class T>
    T value(std::string_view key, T missing) const {
        const Json* found = find(key);
        return found == nullptr ? missing : found->get<T>();
    }
    std::string value(std::string_view key, const char* missing) const {
        return value(key, std::string(missing));
    }

    // Indented by so many spaces a level; negative: on one line.
    std::string dump(int indent = -1) const;
    // Nothing where the text is no JSON or nests over 200 levels deep. Of a repeated key the last counts.
    static std::optional<Json> parse(std::string_view text);
    // Of a file that others may have made: nothing also where a key repeats or an object has over 4096.
    static std::optional<Json> parse_strictly(std::string_view text);

    // Numbers compare by their values, objects in order.
    friend bool operator==(const Json& a, const Json& b);

  private:
    using Value = std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string,
                               Array, Object>;
    template <class T>
    using Stored = std::conditional_t<
        std::is_same_v<T, bool>, bool,
        std::conditional_t<std::is_floating_point_v<T>, double,
                           std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>>>;
    explicit Json(Value value) noexcept;
    bool boolean() const;
    double number() const;
    std::int64_t whole() const;
    const std::string& text() const;
    const Array& elements() const;
    void write(std::string& out, int indent, int depth) const;

    Value value_;
};

}  // namespace microlift
