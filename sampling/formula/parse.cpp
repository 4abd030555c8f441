// The formula grammar (precedence as in Python, powers written ^):
//   sum     = product (("+" | "-") product)*
//   product = signed (("*" | "/") signed)*
//   signed  = ("+" | "-") signed | power
//   power   = atom ["^" signed]                      right-associative; -x^2 = -(x^2)
//   atom    = number | name | function "(" sum ("," sum)* ")" | "(" sum ")"
#include <algorithm>
#include <charconv>
#include <cmath>
#include <numbers>

#include "engine/config/names.h"
#include "sampling/formula/functions.h"
#include "sampling/formula/geometry.h"

namespace microlift {

namespace {

constexpr int kAnyAtoms = -1;  // as many times kDeviationArguments as there are atoms, of which two at least

// An operation, or what is built of several.
struct Function {
    const char* name;
    Op op;
    int arguments;
    NodeId (*build)(Expressions&, std::span<const NodeId>) = nullptr;

    bool takes(std::size_t count) const {
        if (arguments != kAnyAtoms) return count == static_cast<std::size_t>(arguments);
        return count % kDeviationArguments == 0 && count >= 2 * kDeviationArguments;
    }
};

constexpr std::size_t kMostArguments = 12;
constexpr std::size_t kMostOfAtoms = 64 * kDeviationArguments;

constexpr Function kFunctions[] = {
    {"exp", Op::exp, 1},   {"log", Op::log, 1},   {"sqrt", Op::sqrt, 1}, {"sin", Op::sin, 1},
    {"cos", Op::cos, 1},   {"tan", Op::tan, 1},   {"tanh", Op::tanh, 1}, {"sinh", Op::sinh, 1},
    {"cosh", Op::cosh, 1}, {"atan", Op::atan, 1}, {"erf", Op::erf, 1},   {"abs", Op::abs, 1},
    {"min", Op::min, 2},   {"max", Op::max, 2},   {"pow", Op::pow, 2},
    {"atan2", Op::atan, 2, build_atan2},
    {"asin", Op::atan, 1, build_asin},   {"acos", Op::atan, 1, build_acos},
    {"log2", Op::log, 1, build_log2},    {"log10", Op::log, 1, build_log10},
    {"distance", Op::sqrt, 6, build_distance},
    {"angle", Op::atan, 9, build_angle},
    {"dihedral", Op::atan, 12, build_dihedral},
    {"rmsd", Op::sqrt, kAnyAtoms, build_rmsd},
};

const Function* find_function(std::string_view name) {
    for (const Function& f : kFunctions) {
        if (name == f.name) return &f;
    }
    return nullptr;
}

// Not std::isalpha: that depends on the locale.
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_char(char c) { return is_letter(c) || is_digit(c); }
bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0u) == 0x80u; }

class Parser {
public:
    Parser(Expressions& graph, std::string_view text, const Symbols& symbols)
        : graph_(graph), text_(text), symbols_(symbols) {}

    NodeId parse() {
        if (text_.size() > static_cast<std::size_t>(kMaxFormulaLength))
            throw FormulaError("the formula is too long (more than " +
                               std::to_string(kMaxFormulaLength) + " characters)");
        skip_space();
        if (at_end()) fail("the formula is empty; write an expression such as \"x^2\"", place_);
        const NodeId result = sum();
        if (!at_end()) fail_after_operand();
        return result;
    }

private:
    struct Depth {
        explicit Depth(Parser& p) : parser(p) {
            if (++parser.depth_ > kMaxFormulaDepth)
                parser.fail("nested too deeply (more than " + std::to_string(kMaxFormulaDepth) +
                                " levels)",
                            parser.place_);
        }
        ~Depth() { --parser.depth_; }
        Depth(const Depth&) = delete;
        Depth& operator=(const Depth&) = delete;
        Parser& parser;
    };

    NodeId sum() {
        NodeId left = product();
        for (;;) {
            const std::size_t place = place_;
            if (take('+')) {
                left = checked(graph_.add(left, product()), place);
            } else if (take('-')) {
                left = checked(graph_.sub(left, product()), place);
            } else {
                return left;
            }
        }
    }

    NodeId product() {
        NodeId left = signed_power();
        for (;;) {
            const std::size_t place = place_;
            if (peek() == '*' && place_ + 1 < text_.size() && text_[place_ + 1] == '*')
                fail("'**' is not an operator; a power is written ^", place);
            if (take('*')) {
                left = checked(graph_.mul(left, signed_power()), place);
            } else if (take('/')) {
                const NodeId right = signed_power();
                if (graph_.is_constant(right, 0.0)) fail("division by zero", place);
                left = checked(graph_.div(left, right), place);
            } else {
                return left;
            }
        }
    }

    NodeId signed_power() {
        const Depth depth(*this);
        if (take('-')) return graph_.neg(signed_power());
        if (take('+')) return signed_power();
        return power();
    }

    NodeId power() {
        const NodeId base = atom();
        const std::size_t place = place_;
        if (!take('^')) return base;
        const std::size_t exponent_place = place_;
        return raise(base, signed_power(), place, exponent_place);
    }

    NodeId raise(NodeId base, NodeId exponent, std::size_t place, std::size_t exponent_place) {
        if (graph_.is_constant(exponent)) {
            const double n = graph_.node(exponent).value;
            if (!graph_.is_constant(base) && std::fabs(n) > kMaxIntegerPower)
                fail("the exponent must lie between -" + std::to_string(kMaxIntegerPower) +
                         " and " + std::to_string(kMaxIntegerPower),
                     exponent_place);
            if (graph_.is_constant(base, 0.0) && n < 0.0) fail("division by zero", place);
        } else if (graph_.is_constant(base) && graph_.node(base).value <= 0.0) {
            fail("a constant raised to a variable power must be positive", place);
        }
        return checked(graph_.pow(base, exponent), place);
    }

    NodeId atom() {
        if (at_end()) fail("the formula ends where a value is expected", place_);
        const char c = peek();
        if (is_digit(c) || c == '.') return number();
        if (is_letter(c)) return name();
        const std::size_t place = place_;
        if (take('(')) {
            if (peek() == ')') fail("empty parentheses", place);
            const NodeId inside = sum();
            close(place);
            return inside;
        }
        if (c == ')') fail("')' without a '('", place);
        if (c == '*' || c == '/' || c == '^' || c == ',')
            fail("a value is expected before " + quoted_character(), place);
        fail_character();
    }

    NodeId number() {
        const std::size_t place = place_;
        double value = 0.0;
        const char* first = text_.data() + place_;
        const char* last = text_.data() + text_.size();
        const auto [end, status] = std::from_chars(first, last, value);
        if (status == std::errc::result_out_of_range)
            fail("the number '" + std::string(first, end) + "' is outside the range of a double",
                 place);
        if (status != std::errc{}) fail("malformed number", place);
        place_ += static_cast<std::size_t>(end - first);
        if (peek() == '.') fail("malformed number", place_);
        if (place_ < text_.size() && is_letter(text_[place_])) {
            std::size_t stop = place_;
            while (stop < text_.size() && is_name_char(text_[stop])) ++stop;
            const std::string digits(first, end);
            const std::string rest(text_.substr(place_, std::min<std::size_t>(stop - place_, 40)));
            fail("no operator between '" + digits + "' and '" + rest + "'; write " + digits + "*" +
                     rest,
                 place_);
        }
        skip_space();
        return graph_.constant(value);
    }

    NodeId name() {
        const std::size_t place = place_;
        while (place_ < text_.size() && is_name_char(text_[place_])) ++place_;
        const std::string_view word = text_.substr(place, place_ - place);
        skip_space();
        if (const Function* function = find_function(word)) return call(*function, place);
        if (word == "pi") return not_called(graph_.constant(std::numbers::pi), word);
        for (std::size_t d = 0; d < symbols_.variables.size(); ++d) {
            if (word == symbols_.variables[d])
                return not_called(graph_.variable(static_cast<int>(d)), word);
        }
        for (const auto& [parameter, value] : symbols_.parameters) {
            if (word == parameter) return not_called(graph_.constant(value), word);
        }
        fail_unknown(word, place);
    }

    NodeId not_called(NodeId value, std::string_view word) {
        if (peek() == '(')
            fail("'" + std::string(word) + "' is not a function; write " + std::string(word) +
                     "*(...)",
                 place_);
        return value;
    }

    NodeId call(const Function& function, std::size_t place) {
        const std::string function_name = function.name;
        const std::size_t open = place_;
        if (!take('('))
            fail("the function '" + function_name + "' needs its argument in parentheses", place);
        if (peek() == ')') fail_count(function, 0, place);
        std::vector<NodeId> arguments;
        std::size_t second_place = place_;
        for (;;) {
            if (arguments.size() == 1) second_place = place_;
            arguments.push_back(sum());
            if (arguments.size() > (function.arguments == kAnyAtoms ? kMostOfAtoms : kMostArguments))
                fail_count(function, arguments.size(), place);
            if (!take(',')) break;
        }
        close(open);
        if (!function.takes(arguments.size())) fail_count(function, arguments.size(), place);
        if (function.build) return checked(function.build(graph_, arguments), place);
        if (function.op == Op::pow) return raise(arguments[0], arguments[1], place, second_place);
        if (function.arguments == 2)
            return checked(graph_.binary(function.op, arguments[0], arguments[1]), place);
        return checked(graph_.unary(function.op, arguments[0]), place);
    }

    void close(std::size_t open) {
        if (take(')')) return;
        if (at_end()) fail("'(' is never closed", open);
        fail_after_operand();
    }

    // A constant that is not finite would poison everything silently.
    NodeId checked(NodeId id, std::size_t place) {
        if (graph_.is_constant(id) && !std::isfinite(graph_.node(id).value))
            fail("this constant expression has no finite value", place);
        return id;
    }

    bool at_end() const { return place_ >= text_.size(); }
    char peek() const { return at_end() ? '\0' : text_[place_]; }
    bool take(char c) {
        if (at_end() || text_[place_] != c) return false;
        ++place_;
        skip_space();
        return true;
    }
    void skip_space() {
        while (!at_end() && (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r'))
            ++place_;
    }

    std::string quoted_character() const {
        const auto code = static_cast<unsigned char>(text_[place_]);
        std::string quoted(1, '\'');
        if (code < 0x20 || code == 0x7f) {
            constexpr char digits[] = "0123456789abcdef";
            quoted.append("\\x").append(1, digits[code >> 4]).append(1, digits[code & 15]);
        } else {
            std::size_t stop = place_ + 1;  // all bytes of a UTF-8 character
            while (stop < text_.size() && stop < place_ + 4 && is_continuation(text_[stop])) ++stop;
            quoted.append(text_.substr(place_, stop - place_));
        }
        return quoted.append(1, '\'');
    }

    [[noreturn]] void fail(const std::string& message, std::size_t place) const {
        int column = 1;
        for (std::size_t i = 0; i < std::min(place, text_.size()); ++i) {
            if (!is_continuation(text_[i])) ++column;
        }
        throw FormulaError(message, column);
    }

    [[noreturn]] void fail_character() const {
        const std::string character = quoted_character();
        std::string hint;
        if (character == "'\u2212'" || character == "'\u2013'") hint = "; a minus is written -";
        if (character == "'\u00b7'" || character == "'\u00d7'") hint = "; a product is written *";
        if (character == "'\u00b2'") hint = "; a square is written ^2";
        if (character == "'\u03c0'") hint = "; write pi";
        fail("unexpected character " + character + hint, place_);
    }

    // What stands after a complete operand is neither an operator nor the end.
    [[noreturn]] void fail_after_operand() const {
        const char c = peek();
        if (c == ')') fail("')' without a '('", place_);
        if (c == ',') fail("',' outside a function's parentheses", place_);
        if (c == '(' || is_digit(c) || c == '.' || is_letter(c))
            fail("an operator is missing before " + quoted_character() +
                     "; a product is written *",
                 place_);
        fail_character();
    }

    [[noreturn]] void fail_count(const Function& f, std::size_t given, std::size_t place) const {
        if (f.arguments == kAnyAtoms)
            fail("the function '" + std::string(f.name) + "' takes seven arguments for each of two to 64 atoms, x, "
                     "y, z, its weight and the x, y, z of its reference; " + std::to_string(given) + " given",
                 place);
        fail("the function '" + std::string(f.name) + "' takes " + std::to_string(f.arguments) +
                 (f.arguments == 1 ? " argument, " : " arguments, ") +
                 (given > kMostArguments ? "more than " + std::to_string(kMostArguments)
                                        : std::to_string(given)) + " given",
             place);
    }

    [[noreturn]] void fail_unknown(std::string_view word, std::size_t place) const {
        std::vector<std::string> names = symbols_.variables;
        for (const auto& [parameter, value] : symbols_.parameters) names.push_back(parameter);
        std::string known;
        for (std::size_t i = 0; i < names.size() && i < 24; ++i)
            known += (i ? ", " : "") + names[i];
        if (names.size() > 24) known += ", ...";
        for (const Function& f : kFunctions) names.push_back(f.name);
        names.push_back("pi");
        const std::string shown(word.substr(0, 40));
        std::string message = "unknown name '" + shown + "'; known: " + known;
        const std::string near = nearest_name(word, names);
        if (const std::string advice = function_advice(word); !advice.empty()) {
            message += "; " + advice;
        } else if (!near.empty()) {
            message += "; did you mean '" + near + "'?";
        }
        fail(message, place);
    }

    Expressions& graph_;
    std::string_view text_;
    const Symbols& symbols_;
    std::size_t place_ = 0;
    int depth_ = 0;
};

}  // namespace

void check_names(const Symbols& symbols) {
    std::vector<std::string> seen;
    const auto check = [&seen](const std::string& name, const std::string& kind) {
        const bool shaped = !name.empty() && name.size() <= 60 && is_letter(name[0]) &&
                            std::all_of(name.begin(), name.end(), is_name_char);
        if (!shaped)
            throw FormulaError("'" + name.substr(0, 60) + "' cannot be the name of a " + kind +
                               "; a name is a letter, then letters, digits or _");
        if (find_function(name))
            throw FormulaError("the " + kind + " '" + name + "' has the name of a function");
        if (name == "pi") throw FormulaError("the " + kind + " 'pi' has the name of a constant");
        if (std::find(seen.begin(), seen.end(), name) != seen.end())
            throw FormulaError("the name '" + name + "' is used twice");
        seen.push_back(name);
    };
    for (const std::string& name : symbols.variables) check(name, "variable");
    for (const auto& [name, value] : symbols.parameters) {
        check(name, "parameter");
        if (!std::isfinite(value))
            throw FormulaError("the parameter '" + name + "' is not a finite number");
    }
}

NodeId parse_formula(Expressions& graph, std::string_view text, const Symbols& symbols) {
    return Parser(graph, text, symbols).parse();
}

}  // namespace microlift
