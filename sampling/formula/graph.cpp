// Building the expression graph: hash-consing and algebraic simplification.
#include <bit>
#include <cmath>
#include <sstream>

#include "sampling/formula/formula.h"

namespace microlift {

namespace {

std::string with_position(const std::string& message, int column, const std::string& key) {
    std::string text = key;
    if (column > 0) text += (text.empty() ? "column " : ": column ") + std::to_string(column);
    return text.empty() ? message : text + ": " + message;
}

bool is_integer(double x) { return std::nearbyint(x) == x && std::fabs(x) <= kMaxIntegerPower; }

double sign_of(double x) { return x > 0.0 ? 1.0 : x < 0.0 ? -1.0 : x; }

double apply(Op op, double a, double b) {
    switch (op) {
        case Op::neg: return -a;
        case Op::add: return a + b;
        case Op::sub: return a - b;
        case Op::mul: return a * b;
        case Op::div: return a / b;
        case Op::pow: return std::pow(a, b);
        case Op::min: return a < b ? a : b;
        case Op::max: return a > b ? a : b;
        case Op::less: return a < b ? 1.0 : 0.0;
        case Op::exp: return std::exp(a);
        case Op::log: return std::log(a);
        case Op::sqrt: return std::sqrt(a);
        case Op::sin: return std::sin(a);
        case Op::cos: return std::cos(a);
        case Op::tan: return std::tan(a);
        case Op::tanh: return std::tanh(a);
        case Op::sinh: return std::sinh(a);
        case Op::cosh: return std::cosh(a);
        case Op::atan: return std::atan(a);
        case Op::erf: return std::erf(a);
        case Op::abs: return std::fabs(a);
        case Op::sign: return sign_of(a);
        case Op::fixed: return a;
        case Op::constant:
        case Op::variable: break;
    }
    return 0.0;
}

const char* op_name(Op op) {
    switch (op) {
        case Op::min: return "min";
        case Op::max: return "max";
        case Op::less: return "less";
        case Op::exp: return "exp";
        case Op::log: return "log";
        case Op::sqrt: return "sqrt";
        case Op::sin: return "sin";
        case Op::cos: return "cos";
        case Op::tan: return "tan";
        case Op::tanh: return "tanh";
        case Op::sinh: return "sinh";
        case Op::cosh: return "cosh";
        case Op::atan: return "atan";
        case Op::erf: return "erf";
        case Op::abs: return "abs";
        case Op::sign: return "sign";
        case Op::add: return " + ";
        case Op::sub: return " - ";
        case Op::mul: return "*";
        case Op::div: return "/";
        case Op::pow: return "^";
        default: return "";
    }
}

bool is_odd(Op op) {
    return op == Op::sin || op == Op::tan || op == Op::tanh || op == Op::sinh || op == Op::atan ||
           op == Op::erf || op == Op::sign;
}

bool is_even(Op op) { return op == Op::cos || op == Op::cosh || op == Op::abs; }

}  // namespace

FormulaError::FormulaError(std::string message, int column, std::string key)
    : InputError(with_position(message, column, key)),
      message_(std::move(message)),
      key_(std::move(key)),
      column_(column) {}

int operand_count(Op op) {
    switch (op) {
        case Op::constant:
        case Op::variable: return 0;
        case Op::add:
        case Op::sub:
        case Op::mul:
        case Op::div:
        case Op::pow:
        case Op::min:
        case Op::max:
        case Op::less: return 2;
        default: return 1;
    }
}

std::size_t Expressions::KeyHash::operator()(const Key& key) const {
    std::uint64_t h = key.bits ^ (static_cast<std::uint64_t>(key.op) << 56);
    h ^= (static_cast<std::uint64_t>(static_cast<std::uint32_t>(key.a)) << 32) |
         static_cast<std::uint32_t>(key.b);
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ull;  // the finaliser of splitmix64
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebull;
    return static_cast<std::size_t>(h ^ (h >> 31));
}

NodeId Expressions::intern(Op op, NodeId a, NodeId b, double value) {
    Key key{op, a, b, std::bit_cast<std::uint64_t>(value)};
    const bool commutes = op == Op::add || op == Op::mul;
    if (commutes && a > b) std::swap(key.a, key.b);
    const auto found = known_.find(key);
    if (found != known_.end()) return found->second;
    if (size() >= kMaxFormulaNodes)
        throw FormulaError("the formula, with its derivatives, is too large (more than " +
                           std::to_string(kMaxFormulaNodes) + " operations)");
    const NodeId id = size();
    nodes_.push_back({op, a, b, value});
    traits_.push_back(static_cast<unsigned char>(traits_of(op, a, b)));
    known_.emplace(key, id);
    return id;
}

NodeId Expressions::constant(double value) {
    return intern(Op::constant, -1, -1, value == 0.0 ? 0.0 : value);  // no -0
}

NodeId Expressions::variable(int number) { return intern(Op::variable, number, -1); }

std::pair<double, NodeId> Expressions::split(NodeId id) const {
    const ExpressionNode& n = node(id);
    if (n.op == Op::neg) return {-1.0, n.a};
    if (n.op == Op::mul && is_constant(n.a)) return {node(n.a).value, n.b};
    return {1.0, id};
}

NodeId Expressions::neg(NodeId a) {
    const ExpressionNode n = node(a);
    if (n.op == Op::constant) return constant(-n.value);
    if (n.op == Op::neg) return n.a;
    if (n.op == Op::sub) return sub(n.b, n.a);
    if (n.op == Op::mul && is_constant(n.a)) return mul(constant(-node(n.a).value), n.b);
    return intern(Op::neg, a, -1);
}

const TurnArguments* Expressions::turn(NodeId id) const {
    const auto found = turns_.find(id);
    return found == turns_.end() ? nullptr : &found->second;
}

NodeId Expressions::combine(double ca, NodeId a, double cb, NodeId b) {
    if (a == b) return mul(constant(ca + cb), a);
    if (cb < 0.0) {
        const NodeId left = ca == 1.0 ? a : mul(constant(ca), a);
        const NodeId right = cb == -1.0 ? b : mul(constant(-cb), b);
        if (ca == -1.0) return neg(add(a, right));
        return intern(Op::sub, left, right);
    }
    if (ca == -1.0) return intern(Op::sub, cb == 1.0 ? b : mul(constant(cb), b), a);
    return intern(Op::add, ca == 1.0 ? a : mul(constant(ca), a),
                  cb == 1.0 ? b : mul(constant(cb), b));
}

NodeId Expressions::add(NodeId a, NodeId b) {
    if (is_constant(a)) std::swap(a, b);
    if (is_constant(b)) {
        const double k = node(b).value;
        const ExpressionNode n = node(a);
        if (n.op == Op::constant) return constant(n.value + k);
        if (k == 0.0) return a;
        if (n.op == Op::add && is_constant(n.b)) return add(n.a, constant(node(n.b).value + k));
        if (n.op == Op::sub && is_constant(n.a)) return sub(constant(node(n.a).value + k), n.b);
        if (n.op == Op::neg) return intern(Op::sub, b, n.a);
        return intern(Op::add, a, b);
    }
    const auto [ca, ra] = split(a);
    const auto [cb, rb] = split(b);
    return combine(ca, ra, cb, rb);
}

NodeId Expressions::sub(NodeId a, NodeId b) {
    if (is_constant(b)) return add(a, constant(-node(b).value));
    if (is_constant(a)) {
        if (node(a).value == 0.0) return neg(b);
        const ExpressionNode n = node(b);
        if (n.op == Op::neg) return add(n.a, a);
        if (n.op == Op::add && is_constant(n.b))
            return sub(constant(node(a).value - node(n.b).value), n.a);
        if (n.op == Op::mul && is_constant(n.a) && node(n.a).value < 0.0) return add(neg(b), a);
        return intern(Op::sub, a, b);
    }
    const auto [ca, ra] = split(a);
    const auto [cb, rb] = split(b);
    return combine(ca, ra, -cb, rb);
}

// base^n with a whole n >= 1; every node is at least its own first power.
bool Expressions::integer_power(NodeId id, NodeId& base, int& n) const {
    const ExpressionNode& e = node(id);
    base = id;
    n = 1;
    if (e.op != Op::pow || !is_constant(e.b) || !is_integer(node(e.b).value)) return false;
    base = e.a;
    n = static_cast<int>(node(e.b).value);
    return true;
}

NodeId Expressions::mul(NodeId a, NodeId b) {
    if (is_constant(b)) std::swap(a, b);
    const ExpressionNode na = node(a), nb = node(b);
    if (na.op == Op::constant) {
        const double k = na.value;
        if (nb.op == Op::constant) return constant(k * nb.value);
        if (k == 0.0) return constant(0.0);
        if (k == 1.0) return b;
        if (nb.op == Op::neg) return mul(constant(-k), nb.a);
        if (nb.op == Op::mul && is_constant(nb.a))
            return mul(constant(k * node(nb.a).value), nb.b);
        if (nb.op == Op::div && is_constant(nb.a))
            return div(constant(k * node(nb.a).value), nb.b);
        if (k == -1.0) return neg(b);
        return intern(Op::mul, a, b);
    }
    if (const NodeId product = product_of_exponentials(a, b); product >= 0) return product;
    // Constants and signs move outwards.
    const auto [ca, ra] = split(a);
    const auto [cb, rb] = split(b);
    if (ra != a || rb != b) return mul(constant(ca * cb), mul(ra, rb));
    NodeId base_a, base_b;
    int n, m;
    integer_power(a, base_a, n);
    integer_power(b, base_b, m);
    if (base_a == base_b && n + m <= kMaxIntegerPower) return pow(base_a, constant(n + m));
    return intern(Op::mul, a, b);
}

NodeId Expressions::div(NodeId a, NodeId b) {
    if (is_constant(b)) {
        const double k = node(b).value;
        if (is_constant(a)) return constant(node(a).value / k);
        if (k != 0.0 && std::isfinite(1.0 / k)) return mul(constant(1.0 / k), a);
        return intern(Op::div, a, b);
    }
    if (is_constant(a, 0.0)) return a;
    if (a == b) return constant(1.0);
    // A sign, and known as one that jumps.
    for (const auto& [x, size] : {std::pair{a, b}, std::pair{b, a}})
        if (node(size).op == Op::abs && node(size).a == x) return unary(Op::sign, x);
    if (const NodeId quotient = quotient_of_exponentials(a, b); quotient >= 0) return quotient;
    const auto [ca, ra] = split(a);
    const auto [cb, rb] = split(b);
    if ((ra != a || rb != b) && std::isfinite(ca / cb)) {
        if (is_constant(ra)) return div(constant(node(ra).value / cb), rb);
        return mul(constant(ca / cb), div(ra, rb));
    }
    return intern(Op::div, a, b);
}

NodeId Expressions::pow(NodeId a, NodeId b) {
    if (!is_constant(b)) {
        if (is_constant(a, 1.0)) return a;
        // As exponentials they are kept from overflow in sums.
        if (is_constant(a) && node(a).value > 0.0)
            return unary(Op::exp, mul(constant(std::log(node(a).value)), b));
        return intern(Op::pow, a, b);
    }
    const double n = node(b).value;
    if (is_constant(a)) return constant(std::pow(node(a).value, n));
    if (n == 0.0) return constant(1.0);
    if (n == 1.0) return a;
    if (n == 0.5) return unary(Op::sqrt, a);
    if (n < 0.0) return div(constant(1.0), pow(a, constant(-n)));
    if (is_integer(n)) {
        const ExpressionNode e = node(a);
        const bool even = std::fmod(n, 2.0) == 0.0;
        if (e.op == Op::abs && even) return pow(e.a, b);
        NodeId base;
        int m;
        if (integer_power(a, base, m) && m * n <= kMaxIntegerPower)
            return pow(base, constant(m * n));
        const auto [c, rest] = split(a);
        const double scale = std::pow(c, n);
        if (rest != a && std::isfinite(scale) && scale != 0.0)
            return mul(constant(scale), pow(rest, b));
        if (e.op == Op::div && is_constant(e.a)) {
            const double top = std::pow(node(e.a).value, n);
            if (std::isfinite(top) && top != 0.0) return div(constant(top), pow(e.b, b));
        }
    } else if (const NodeId power = power_of_exponentials(a, n); power >= 0) {
        return power;
    }
    return intern(Op::pow, a, b);
}

NodeId Expressions::unary(Op op, NodeId a) {
    if (op == Op::neg) return neg(a);
    const ExpressionNode n = node(a);
    if (n.op == Op::constant) return constant(apply(op, n.value, 0.0));
    if (is_odd(op) || is_even(op)) {
        const auto [c, rest] = split(a);
        if (rest != a && c < 0.0) {
            const NodeId f = unary(op, mul(constant(-c), rest));
            return is_odd(op) ? neg(f) : f;
        }
    }
    if (op == Op::log)
        if (const NodeId sum = log_of_exponentials(a); sum >= 0) return sum;
    if (op == Op::sqrt)
        if (const NodeId root = power_of_exponentials(a, 0.5); root >= 0) return root;
    if (op == Op::abs && (n.op == Op::abs || n.op == Op::exp || n.op == Op::sqrt)) return a;
    if (op == Op::sqrt && n.op == Op::pow && is_constant(n.b, 2.0)) return unary(Op::abs, n.a);
    return intern(op, a, -1);
}

NodeId Expressions::binary(Op op, NodeId a, NodeId b) {
    switch (op) {
        case Op::add: return add(a, b);
        case Op::sub: return sub(a, b);
        case Op::mul: return mul(a, b);
        case Op::div: return div(a, b);
        case Op::pow: return pow(a, b);
        default: break;
    }
    if (is_constant(a) && is_constant(b)) return constant(apply(op, node(a).value, node(b).value));
    if (a == b) return op == Op::less ? constant(0.0) : a;
    return intern(op, a, b);
}

std::vector<NodeId> Expressions::reachable(std::span<const NodeId> roots) const {
    NodeId top = -1;
    for (NodeId root : roots) top = std::max(top, root);
    std::vector<char> wanted(static_cast<std::size_t>(top + 1), 0);
    for (NodeId root : roots) wanted[static_cast<std::size_t>(root)] = 1;
    std::vector<NodeId> ids;
    for (NodeId id = top; id >= 0; --id) {
        if (!wanted[static_cast<std::size_t>(id)]) continue;
        ids.push_back(id);
        const ExpressionNode& n = node(id);
        const int operands = operand_count(n.op);
        if (operands > 0) wanted[static_cast<std::size_t>(n.a)] = 1;
        if (operands > 1) wanted[static_cast<std::size_t>(n.b)] = 1;
    }
    return {ids.rbegin(), ids.rend()};
}

BatchEvaluator::BatchEvaluator(const Expressions& graph, std::vector<NodeId> outputs)
    : outputs_(std::move(outputs)) {
    const std::vector<NodeId> ids = graph.reachable(outputs_);
    std::unordered_map<NodeId, NodeId> place;
    for (NodeId id : ids) {
        ExpressionNode n = graph.node(id);
        const int operands = operand_count(n.op);
        if (operands > 0) n.a = place.at(n.a);
        if (operands > 1) n.b = place.at(n.b);
        place.emplace(id, static_cast<NodeId>(tape_.size()));
        tape_.push_back(n);
    }
    for (NodeId& id : outputs_) id = place.at(id);
}

void BatchEvaluator::operator()(const double* x, std::size_t stride, std::size_t points,
                                double* values) const {
    constexpr std::size_t kBlock = 64;  // 512 bytes a tape entry
    std::vector<double> memory(tape_.size() * kBlock);
    for (std::size_t first = 0; first < points; first += kBlock) {
        const std::size_t count = std::min(kBlock, points - first);
        for (std::size_t t = 0; t < tape_.size(); ++t) {
            const ExpressionNode& n = tape_[t];
            double* out = &memory[t * kBlock];
            if (n.op == Op::constant) {
                if (first == 0) std::fill(out, out + kBlock, n.value);
                continue;
            }
            if (n.op == Op::variable) {
                const double* in = x + static_cast<std::size_t>(n.a) * stride + first;
                std::copy(in, in + count, out);
                continue;
            }
            const double* a = &memory[static_cast<std::size_t>(n.a) * kBlock];
            const double* b = n.b < 0 ? a : &memory[static_cast<std::size_t>(n.b) * kBlock];
            switch (n.op) {  // the cheap ones as loops that vectorise
                case Op::add:
                    for (std::size_t i = 0; i < count; ++i) out[i] = a[i] + b[i];
                    break;
                case Op::sub:
                    for (std::size_t i = 0; i < count; ++i) out[i] = a[i] - b[i];
                    break;
                case Op::mul:
                    for (std::size_t i = 0; i < count; ++i) out[i] = a[i] * b[i];
                    break;
                case Op::div:
                    for (std::size_t i = 0; i < count; ++i) out[i] = a[i] / b[i];
                    break;
                default:
                    for (std::size_t i = 0; i < count; ++i) out[i] = apply(n.op, a[i], b[i]);
                    break;
            }
        }
        for (std::size_t o = 0; o < outputs_.size(); ++o) {
            const double* from = &memory[static_cast<std::size_t>(outputs_[o]) * kBlock];
            std::copy(from, from + count, values + o * points + first);
        }
    }
}

double Expressions::evaluate(NodeId f, std::span<const double> variables) const {
    std::vector<double> values(static_cast<std::size_t>(f) + 1);
    for (NodeId id : reachable({&f, 1})) {
        const ExpressionNode& n = node(id);
        double& value = values[static_cast<std::size_t>(id)];
        if (n.op == Op::constant) {
            value = n.value;
        } else if (n.op == Op::variable) {
            value = variables[static_cast<std::size_t>(n.a)];
        } else {
            const double a = values[static_cast<std::size_t>(n.a)];
            value = apply(n.op, a, n.b < 0 ? a : values[static_cast<std::size_t>(n.b)]);
        }
    }
    return values[static_cast<std::size_t>(f)];
}

std::string Expressions::to_string(NodeId f, std::span<const std::string> variables) const {
    if (reachable({&f, 1}).size() > 200) return "(large expression)";  // a shared graph explodes
    const ExpressionNode& n = node(f);
    std::ostringstream text;
    text.imbue(std::locale::classic());
    text.precision(17);
    switch (operand_count(n.op)) {
        case 0:
            if (n.op == Op::constant) {
                text << n.value;
            } else {
                text << variables[static_cast<std::size_t>(n.a)];
            }
            break;
        case 1:
            text << (n.op == Op::neg ? "-" : op_name(n.op)) << '(' << to_string(n.a, variables)
                 << ')';
            break;
        default: {
            const bool call = n.op == Op::min || n.op == Op::max || n.op == Op::less;
            text << (call ? op_name(n.op) : "") << '(' << to_string(n.a, variables)
                 << (call ? ", " : op_name(n.op)) << to_string(n.b, variables) << ')';
        }
    }
    return text.str();
}

}  // namespace microlift
