// Sums of exponentials, as they stand under a logarithm or in a quotient, overflow or vanish long before
// their logarithm or quotient does, in single precision at e^88. So the builders take the greatest
// exponent out,
//   log(Σ r_i e^(u_i)) = m + log(Σ r_i e^(u_i − m)),   m = max u_i,
// and the like from both sides of a quotient. Neither depends on m, which is therefore fixed: the
// derivatives are those of the formula, and in the same form.
#include <cmath>
#include <limits>

#include "sampling/formula/formula.h"

namespace microlift {

namespace {

constexpr int kMaxDepth = 64;    // of sums in products in sums …: what lies deeper stays as it is
constexpr int kMaxFactors = 16;  // of products in products, which are walked anew each time

// What is left of a product or quotient is one, too, and is looked at in turn: at a sum that keeps its form
// without end.
class Nested {
public:
    explicit Nested(int& depth) : depth_(++depth) {}
    ~Nested() { --depth_; }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;
    bool too_deep() const { return depth_ > 6; }

private:
    int& depth_;
};

}  // namespace

NodeId Expressions::fixed(NodeId a) {
    return is_constant(a) || node(a).op == Op::fixed ? a : intern(Op::fixed, a, -1);
}

unsigned Expressions::traits_of(Op op, NodeId a, NodeId b) const {
    switch (op) {
        case Op::exp: return kExponential;
        case Op::neg:
        case Op::sqrt: return traits(a);
        case Op::pow: return is_constant(b) ? traits(a) : 0;
        case Op::mul:
        case Op::div: return traits(a) | traits(b);
        case Op::add:
        case Op::sub: {
            const unsigned both = traits(a) | traits(b);
            return both & kExponential ? both | kSum : both;
        }
        default: return 0;
    }
}

NodeId Expressions::shifted_exp(NodeId exponent) {
    if (is_constant(exponent)) return unary(Op::exp, exponent);
    const NodeId e = intern(Op::exp, exponent, -1);
    traits_[static_cast<std::size_t>(e)] = kShifted;
    return e;
}

std::pair<double, double> Expressions::bounds(NodeId id, int depth) {
    constexpr double inf = std::numeric_limits<double>::infinity();
    const ExpressionNode n = node(id);
    if (n.op == Op::constant) return {n.value, n.value};
    if (depth > kMaxFormulaVariables + kMaxDepth) return {-inf, inf};
    const auto known = bounds_.find(id);
    if (known != bounds_.end()) return known->second;
    std::pair<double, double> r{-inf, inf};
    const auto of = [&](NodeId x) { return bounds(x, depth + 1); };
    switch (n.op) {
        case Op::neg: r = {-of(n.a).second, -of(n.a).first}; break;
        case Op::add: r = {of(n.a).first + of(n.b).first, of(n.a).second + of(n.b).second}; break;
        case Op::sub: r = {of(n.a).first - of(n.b).second, of(n.a).second - of(n.b).first}; break;
        case Op::mul:
            if (const double k = node(n.a).value; is_constant(n.a) && k != 0.0) {
                const auto [low, high] = of(n.b);
                r = k > 0.0 ? std::pair{k * low, k * high} : std::pair{k * high, k * low};
            }
            break;
        case Op::pow:
            if (is_constant(n.b) && std::fmod(node(n.b).value, 2.0) == 0.0) r = {0.0, inf};
            break;
        case Op::exp:
        case Op::sqrt:
        case Op::abs: r = {0.0, inf}; break;
        case Op::sin:
        case Op::cos:
        case Op::tanh:
        case Op::erf: r = {-1.0, 1.0}; break;
        default: break;
    }
    bounds_.emplace(id, r);
    return r;
}

// The constant summand of an expression.
double Expressions::constant_part(NodeId id) const {
    const ExpressionNode& n = node(id);
    if (n.op == Op::constant) return n.value;
    if (n.op == Op::add && is_constant(n.b)) return node(n.b).value;
    if (n.op == Op::sub && is_constant(n.a)) return node(n.a).value;
    if (n.op == Op::neg) return -constant_part(n.a);
    return 0.0;
}

// −(a + c) is taken apart, too.
NodeId Expressions::plus_constant(NodeId id, double k) {
    if (k == 0.0) return id;
    const ExpressionNode n = node(id);
    return n.op == Op::neg ? sub(constant(k), n.a) : add(id, constant(k));
}

Expressions::Scaled Expressions::times(const Scaled& a, const Scaled& b) {
    const NodeId exponent = a.exponent < 0   ? b.exponent
                            : b.exponent < 0 ? a.exponent
                                             : add(a.exponent, b.exponent);
    return {exponent, mul(a.rest, b.rest)};
}

Expressions::Scaled Expressions::over(const Scaled& a, const Scaled& b) {
    const NodeId exponent = b.exponent < 0   ? a.exponent
                            : a.exponent < 0 ? neg(b.exponent)
                                             : sub(a.exponent, b.exponent);
    return {exponent, div(a.rest, b.rest)};
}

// The terms of a sum, those of one exponent together; those without one under exponent 0.
std::vector<Expressions::Scaled> Expressions::exponential_terms(NodeId id, int depth) {
    const NodeId zero = constant(0.0);
    std::vector<Scaled> terms{{zero, zero}};
    std::vector<std::pair<NodeId, bool>> stack{{id, false}};  // and whether it is subtracted
    while (!stack.empty()) {
        const auto [next, minus] = stack.back();
        stack.pop_back();
        const ExpressionNode n = node(next);
        if (n.op == Op::add || n.op == Op::sub) {
            stack.emplace_back(n.b, minus != (n.op == Op::sub));
            stack.emplace_back(n.a, minus);
            continue;
        }
        if (n.op == Op::neg) {
            stack.emplace_back(n.a, !minus);
            continue;
        }
        const Scaled s = scaled(next, depth + 1);
        const NodeId exponent = s.exponent < 0 ? zero : s.exponent;
        const NodeId rest = minus ? neg(s.rest) : s.rest;
        std::size_t t = 0;
        while (t < terms.size() && terms[t].exponent != exponent) ++t;
        if (t == terms.size())
            terms.push_back({exponent, rest});
        else
            terms[t].rest = add(terms[t].rest, rest);
    }
    std::erase_if(terms, [this](const Scaled& t) { return is_constant(t.rest, 0.0); });
    return terms;
}

// A constant and terms that stay within reach of it.
bool Expressions::is_moderate(const std::vector<Scaled>& terms) {
    constexpr double kModerate = 60;
    bool has_constant = false;
    for (const Scaled& term : terms) {
        if (is_constant(term.exponent, 0.0) && is_constant(term.rest))
            has_constant = node(term.rest).value > std::exp(-kModerate);
        if (!(bounds(term.exponent, 0).second <= kModerate)) return false;
    }
    return has_constant;
}

Expressions::Scaled Expressions::scaled_sum(NodeId id, int depth) {
    std::vector<Scaled> terms = exponential_terms(id, depth);
    if (terms.empty() || is_moderate(terms)) return {-1, id};
    if (terms.size() == 1) return terms[0];
    double shift = -std::numeric_limits<double>::infinity();
    for (Scaled& t : terms) {
        // A positive factor goes into the exponent, which then says how large the term is.
        if (is_constant(t.rest) && node(t.rest).value > 0.0) {
            t.exponent = plus_constant(t.exponent, std::log(node(t.rest).value));
            t.rest = constant(1.0);
        }
        shift = std::max(shift, constant_part(t.exponent));
    }
    NodeId greatest = -1;
    for (Scaled& t : terms) {
        t.exponent = plus_constant(t.exponent, -shift);
        greatest = greatest < 0 ? t.exponent : binary(Op::max, greatest, t.exponent);
    }
    greatest = fixed(greatest);
    NodeId sum = constant(0.0);
    for (const Scaled& t : terms)
        sum = add(sum, mul(t.rest, shifted_exp(sub(t.exponent, greatest))));
    return {plus_constant(greatest, shift), sum};
}

Expressions::Scaled Expressions::scaled(NodeId id, int depth) {
    if (!(traits(id) & kExponential) || depth > kMaxDepth) return {-1, id};
    const auto known = scaled_.find(id);
    if (known != scaled_.end()) return known->second;
    const ExpressionNode n = node(id);
    Scaled result{-1, id};
    switch (n.op) {
        case Op::exp: result = {n.a, constant(1.0)}; break;
        case Op::neg:
            result = scaled(n.a, depth + 1);
            result.rest = neg(result.rest);
            break;
        case Op::sqrt:
        case Op::pow: {
            const double k = n.op == Op::sqrt ? 0.5 : node(n.b).value;
            const Scaled s = scaled(n.a, depth + 1);
            if (s.exponent >= 0)
                result = {mul(constant(k), s.exponent), pow(s.rest, constant(k))};
            break;
        }
        case Op::mul: result = times(scaled(n.a, depth + 1), scaled(n.b, depth + 1)); break;
        case Op::div: result = over(scaled(n.a, depth + 1), scaled(n.b, depth + 1)); break;
        case Op::add:
        case Op::sub: result = scaled_sum(id, depth); break;
        default: break;
    }
    scaled_.emplace(id, result);
    return result;
}

// Exponentials with a fixed exponent taken out of a product.
Expressions::Scaled Expressions::without_shifted(NodeId id, int depth) {
    const ExpressionNode n = node(id);
    if (!(traits(id) & kShifted) || depth > kMaxFactors) return {-1, id};
    switch (n.op) {
        case Op::exp: return {n.a, constant(1.0)};
        case Op::neg: {
            const Scaled s = without_shifted(n.a, depth + 1);
            return s.exponent < 0 ? Scaled{-1, id} : Scaled{s.exponent, neg(s.rest)};
        }
        case Op::mul: {
            const Scaled a = without_shifted(n.a, depth + 1), b = without_shifted(n.b, depth + 1);
            return a.exponent < 0 && b.exponent < 0 ? Scaled{-1, id} : times(a, b);
        }
        case Op::div: {
            const Scaled a = without_shifted(n.a, depth + 1);
            return a.exponent < 0 ? Scaled{-1, id} : over(a, {-1, n.b});
        }
        default: return {-1, id};
    }
}

NodeId Expressions::product_of(const Scaled& s) {
    if (s.exponent < 0) return s.rest;
    return mul(shifted_exp(s.exponent), s.rest);
}

NodeId Expressions::log_of_exponentials(NodeId a) {
    const Scaled outer = scaled(a, 0), inner = without_shifted(outer.rest, 0);
    if (outer.exponent < 0 && inner.exponent < 0) return -1;
    NodeId sum = is_constant(inner.rest, 1.0) ? constant(0.0) : intern(Op::log, inner.rest, -1);
    if (is_constant(inner.rest)) sum = constant(std::log(node(inner.rest).value));
    if (inner.exponent >= 0) sum = add(inner.exponent, sum);
    return outer.exponent >= 0 ? add(outer.exponent, sum) : sum;
}

NodeId Expressions::quotient_of_exponentials(NodeId a, NodeId b) {
    if (!(traits(b) & (kSum | kShifted))) return -1;
    const Nested nested(rewriting_);
    if (nested.too_deep()) return -1;
    const Scaled outer = scaled(b, 0), inner = without_shifted(outer.rest, 0);
    if (inner.exponent < 0)
        return outer.exponent < 0 ? -1 : product_of(over(scaled(a, 0), outer));
    const Scaled above = scaled(a, 0), more = without_shifted(above.rest, 0);
    return product_of(over(times({above.exponent, constant(1.0)}, more),
                           times({outer.exponent, constant(1.0)}, inner)));
}

NodeId Expressions::power_of_exponentials(NodeId a, double n) {
    if (!(traits(a) & kSum)) return -1;
    const Nested nested(rewriting_);
    if (nested.too_deep()) return -1;
    const Scaled s = scaled(a, 0);
    if (s.exponent < 0) return -1;
    return product_of({mul(constant(n), s.exponent), pow(s.rest, constant(n))});
}

NodeId Expressions::product_of_exponentials(NodeId a, NodeId b) {
    const Nested nested(rewriting_);
    if (nested.too_deep()) return -1;
    const auto one_of = [&](NodeId x, NodeId y) {
        if (!(traits(x) & kExponential) || !(traits(y) & kShifted)) return NodeId{-1};
        const Scaled inner = without_shifted(y, 0);
        if (inner.exponent < 0) return NodeId{-1};
        const Scaled outer = scaled(x, 0);
        return outer.exponent < 0 ? NodeId{-1} : product_of(times(outer, inner));
    };
    const NodeId product = one_of(a, b);
    return product >= 0 ? product : one_of(b, a);
}

}  // namespace microlift
