// User formulas: text -> expression graph -> derivatives -> values in double precision.
// The graph is an arena of hash-consed nodes: equal expressions are one node, children come before
// parents, so every pass over it is a loop and no formula can overflow the stack.
// Lowering to vectorised bytecode and to CUDA source: sampling/formula/program.h.
// A whole system (drift, noise, collective variables) from formulas: sampling/formula/system.h.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/error.h"

namespace microlift {

// What is wrong with a formula: key() names the formula ("system.potential"; empty when the formula
// was parsed on its own), column() is 1-based and counts characters; 0 = not at one place.
class FormulaError : public InputError {
public:
    FormulaError(std::string message, int column = 0, std::string key = {});

    // Its parts, and the same error of a formula that is known by a key.
    const std::string& message() const { return message_; }
    const std::string& key() const { return key_; }
    int column() const { return column_; }
    FormulaError with_key(std::string key) const { return {message_, column_, std::move(key)}; }

private:
    std::string message_;
    std::string key_;
    int column_ = 0;
};

// Limits that keep any input, also a hostile one, within some MB and a shallow stack.
inline constexpr int kMaxFormulaLength = 1 << 16;   // characters
inline constexpr int kMaxFormulaDepth = 200;        // nested parentheses, calls, signs, powers
inline constexpr int kMaxFormulaNodes = 1 << 18;    // nodes of one graph, derivatives included
inline constexpr int kMaxIntegerPower = 1000;
inline constexpr int kMaxFormulaVariables = 64;

using NodeId = std::int32_t;

// What a node does.
enum class Op : std::uint8_t {
    constant, variable,
    neg, add, sub, mul, div, pow, min, max,
    less,  // 1 where a < b, else 0; only derivatives make it
    exp, log, sqrt, sin, cos, tan, tanh, sinh, cosh, atan, erf, abs,
    sign,  // -1, 0, 1; only derivatives make it
    fixed,  // its operand, with derivative 0; exponentials.cpp
};

// 0, 1 or 2.
int operand_count(Op op);

// A number, a variable, or an operation on nodes before it.
struct ExpressionNode {
    Op op = Op::constant;
    NodeId a = -1;       // first operand; of a variable: its number
    NodeId b = -1;       // second operand
    double value = 0.0;  // of a constant
};

// The angle of (x, y), a node made of several: from −π to π.
struct TurnArguments {
    NodeId y, x;
};

// A graph of formulas: nodes that are equal are one.
class Expressions {
public:
    // Builders. Each simplifies (constants fold, 0*x, x+0, x^1, like terms, signs outwards) and
    // returns the node that already exists for an equal expression.
    NodeId constant(double value);
    NodeId variable(int number);
    NodeId neg(NodeId a);
    NodeId add(NodeId a, NodeId b);
    NodeId sub(NodeId a, NodeId b);
    NodeId mul(NodeId a, NodeId b);
    NodeId div(NodeId a, NodeId b);
    NodeId pow(NodeId a, NodeId b);
    NodeId unary(Op op, NodeId a);
    NodeId binary(Op op, NodeId a, NodeId b);
    NodeId fixed(NodeId a);

    // What a node is, how many there are, and whether it is a number.
    const ExpressionNode& node(NodeId id) const { return nodes_[static_cast<std::size_t>(id)]; }
    NodeId size() const { return static_cast<NodeId>(nodes_.size()); }
    bool is_constant(NodeId id) const { return node(id).op == Op::constant; }
    bool is_constant(NodeId id, double value) const {
        return is_constant(id) && node(id).value == value;
    }

    // All first derivatives in one reverse sweep: linear in the size of f, whatever the number of
    // variables.
    std::vector<NodeId> gradient(NodeId f, int variables);
    // One derivative, forward.
    NodeId derivative(NodeId f, int variable);

    // f at one point, and as text in names of the variables.
    double evaluate(NodeId f, std::span<const double> variables) const;

    // What an angle was made of; nullptr for any other node.
    const TurnArguments* turn(NodeId id) const;
    void set_turn(NodeId id, TurnArguments arguments) { turns_.try_emplace(id, arguments); }

    std::vector<NodeId> reachable(std::span<const NodeId> roots) const;  // ascending
    std::string to_string(NodeId f, std::span<const std::string> variables) const;  // in these names

private:
    struct Key {
        Op op;
        NodeId a, b;
        std::uint64_t bits;
        bool operator==(const Key&) const = default;
    };
    struct KeyHash {
        std::size_t operator()(const Key& key) const;
    };

    NodeId intern(Op op, NodeId a, NodeId b, double value = 0.0);
    NodeId combine(double ca, NodeId a, double cb, NodeId b);  // ca*a + cb*b
    NodeId chain(NodeId id, int operand, NodeId t);            // t * d(node)/d(operand)
    std::pair<double, NodeId> split(NodeId id) const;          // coefficient and the rest
    bool integer_power(NodeId id, NodeId& base, int& n) const;

    // --- exponentials.cpp ---
    // What a node has among its factors and summands: exponentials, sums of them, and exponentials whose
    // greatest exponent was taken out.
    static constexpr unsigned kExponential = 1, kSum = 2, kShifted = 4;
    // e^exponent · rest; exponent −1: none, and rest is the node itself.
    struct Scaled {
        NodeId exponent, rest;
    };
    unsigned traits(NodeId id) const { return traits_[static_cast<std::size_t>(id)]; }
    unsigned traits_of(Op op, NodeId a, NodeId b) const;
    std::pair<double, double> bounds(NodeId id, int depth);  // that the value certainly keeps
    double constant_part(NodeId id) const;
    NodeId plus_constant(NodeId id, double k);
    NodeId shifted_exp(NodeId exponent);
    Scaled times(const Scaled& a, const Scaled& b);
    Scaled over(const Scaled& a, const Scaled& b);
    std::vector<Scaled> exponential_terms(NodeId id, int depth);
    bool is_moderate(const std::vector<Scaled>& terms);
    Scaled scaled_sum(NodeId id, int depth);
    Scaled scaled(NodeId id, int depth);
    Scaled without_shifted(NodeId id, int depth);
    NodeId product_of(const Scaled& s);
    // The stable form of log(a), a/b, a^n, a·b; −1 where there is nothing to do.
    NodeId log_of_exponentials(NodeId a);
    NodeId quotient_of_exponentials(NodeId a, NodeId b);
    NodeId power_of_exponentials(NodeId a, double n);
    NodeId product_of_exponentials(NodeId a, NodeId b);

    std::vector<ExpressionNode> nodes_;
    std::vector<unsigned char> traits_;  // by node
    std::unordered_map<Key, NodeId, KeyHash> known_;
    std::unordered_map<NodeId, Scaled> scaled_;
    int rewriting_ = 0;  // products and quotients that are being looked at, one in another
    std::unordered_map<NodeId, std::pair<double, double>> bounds_;
    std::unordered_map<NodeId, TurnArguments> turns_;
};

// Names that a formula may have: variables by their number, and parameters with their values.
struct Symbols {
    std::vector<std::string> variables;
    std::vector<std::pair<std::string, double>> parameters;  // fold to constants
};

// Throws FormulaError for a name that is malformed, used twice, a function's or the constant pi.
void check_names(const Symbols& symbols);

// Throws FormulaError; never anything else, whatever the text.
NodeId parse_formula(Expressions& graph, std::string_view text, const Symbols& symbols);

// Numbers of many states in double precision, (variable, state).
using StateRows = std::vector<std::vector<double>>;

// Many points at once, for quadrature: values[o*points + p] of outputs[o] at point p, whose
// variable d is x[d*stride + p].
class BatchEvaluator {
public:
    BatchEvaluator(const Expressions& graph, std::vector<NodeId> outputs);
    void operator()(const double* x, std::size_t stride, std::size_t points, double* values) const;
    // How many values of each point.
    std::size_t outputs() const { return outputs_.size(); }

private:
    std::vector<ExpressionNode> tape_;
    std::vector<NodeId> outputs_;  // places on the tape
};

}  // namespace microlift
