// Lowering: expression graph -> instructions.
//   1. Sums and products that nothing else uses are flattened, common factors taken out greedily
//      (e·u·a + e·w·b -> e·(a·u + b·w)), and rebuilt from fused multiply-adds with immediates.
//      The exponential of a quadratic form becomes a power of two that shares its parts with its own
//      gradient (GradientForms).
//   2. What the outputs need is put in order, depth first, so that values die young.
//   3. Values get slots; a dying operand's slot is reused for the result.
#include <algorithm>
#include <bit>
#include <cfloat>
#include <cmath>
#include <cstdio>
#include <map>
#include <numeric>
#include <tuple>

#include "sampling/formula/program.h"

namespace microlift {

namespace {

// A number k, or the result of an instruction (numbered after the inputs) divided by k.
struct Operand {
    bool constant = true;
    double k = 0.0;
    int id = -1;
};

struct Factor {
    NodeId id;
    int power;
};

struct Term {
    double k = 1.0;
    std::vector<Factor> factors;
    int inner = -1;  // one more factor, already lowered: the sum left when a factor was taken out
};

// e = exp(q), q = Σ u_i ℓ_i + constant with ℓ_i = ½ ∂q/∂u_i = Σ_j a_ij u_j. So the gradient of e is
// 2 e ℓ_i: what q is made of serves it again.
struct GradientForms {
    struct Form {
        std::map<NodeId, double> weights;  // a_ij by u_j
        int id = -1;                       // the instruction of ℓ_i log₂e
    };
    std::map<NodeId, Form> forms;  // by u_i
    double constant = 0.0;
};

constexpr double kLog2E = 1.4426950408889634;
constexpr double kSameConstant = 1e-12;  // relative: constants equal up to rounding
constexpr std::size_t kMaxFormVariables = 8;
constexpr std::size_t kMaxFactoredTerms = 256;
constexpr int kMaxFactoringDepth = 32;

class Lowering {
public:
    Lowering(const Expressions& graph, std::span<const NodeId> outputs, int inputs)
        : graph_(graph), outputs_(outputs), inputs_(inputs) {}

    Program run() {
        count_uses();
        for (NodeId output : outputs_) {
            double constant = 0.0;
            output_terms_.push_back(flattened(output, constant));
        }
        for (NodeId id : ids_) {
            if (!absorbed_[at(id)]) value_[at(id)] = lower_node(id);
        }
        for (NodeId id : outputs_)
            if (!value_[at(id)].constant) value_[at(id)] = result(id_of(id));
        return schedule();
    }

private:
    static std::size_t at(NodeId id) { return static_cast<std::size_t>(id); }

    // --- which nodes become values of their own ------------------------------------------------

    bool is_sum(const ExpressionNode& n) const { return n.op == Op::add || n.op == Op::sub; }
    // x + constant stays one value: taken apart, x − 1000 would lose its small difference.
    bool is_shift(const ExpressionNode& n) const {
        return n.op == Op::add && graph_.is_constant(n.b) && graph_.node(n.a).op == Op::variable;
    }
    bool is_scaled(const ExpressionNode& n) const {
        return n.op == Op::neg || (n.op == Op::mul && graph_.is_constant(n.a));
    }
    bool is_integer_power(const ExpressionNode& n) const {
        if (n.op != Op::pow || !graph_.is_constant(n.b)) return false;
        const double k = graph_.node(n.b).value;
        return k >= 2.0 && k <= kMaxIntegerPower && std::nearbyint(k) == k;
    }
    bool is_product(const ExpressionNode& n) const {
        return n.op == Op::mul || is_integer_power(n);
    }
    // The coefficient of such an argument goes into the exp instruction.
    bool is_scaled_argument(const ExpressionNode& n) const {
        return is_scaled(n) && !(n.op == Op::neg && is_sum(graph_.node(n.a)));
    }

    void count_uses() {
        ids_ = graph_.reachable(outputs_);
        const std::size_t n = ids_.empty() ? 0 : at(ids_.back()) + 1;
        std::vector<int> uses(n, 0);
        absorbed_.assign(n, 0);
        value_.resize(n);
        for (NodeId id : outputs_) ++uses[at(id)];
        for (NodeId id : ids_) {
            const ExpressionNode& e = graph_.node(id);
            const int operands = operand_count(e.op);
            if (operands > 0) ++uses[at(e.a)];
            if (operands > 1) ++uses[at(e.b)];
        }
        for (NodeId id : ids_) {
            const ExpressionNode& parent = graph_.node(id);
            // A scaled node with several uses is looked through at each, its operand is shared.
            const bool shared_scale = is_scaled(parent) && uses[at(id)] > 1;
            for (int operand = 0; operand < operand_count(parent.op); ++operand) {
                const NodeId child = operand == 0 ? parent.a : parent.b;
                const ExpressionNode& e = graph_.node(child);
                if (uses[at(child)] != 1 || shared_scale) continue;
                const bool in_sum = is_sum(parent) || parent.op == Op::neg;
                if (((is_sum(e) || e.op == Op::neg) && !is_shift(e) && in_sum) ||
                    (is_product(e) && (in_sum || parent.op == Op::mul)) ||
                    (is_scaled_argument(e) && parent.op == Op::exp))
                    absorbed_[at(child)] = 1;
            }
        }
    }

    // --- instructions, equal ones shared ---------------------------------------------------------

    static Operand number(double k) { return {true, k, -1}; }
    static Operand result(int id) { return {false, 1.0, id}; }

    // A factor must not vanish or overflow in single precision; a summand may vanish.
    static float single(double k, bool factor) {
        const auto f = static_cast<float>(k);
        if (!std::isfinite(k) || !std::isfinite(f) || (factor && f == 0.0f && k != 0.0)) {
            char text[32];
            std::snprintf(text, sizeof text, "%g", k);
            throw FormulaError(std::string("the constant ") + text +
                               " does not fit single precision; choose other units");
        }
        return f;
    }

    int emit(Instruction in) {
        const auto key =
            std::make_tuple(in.code, in.a, in.b, in.c, std::bit_cast<std::uint32_t>(in.k),
                            std::bit_cast<std::uint32_t>(in.l), std::bit_cast<std::uint32_t>(in.m));
        const auto [place, is_new] =
            known_.emplace(key, inputs_ + static_cast<int>(instructions_.size()));
        if (is_new) {
            if (instructions_.size() >= 4u * kMaxFormulaNodes)
                throw FormulaError("the formula, with its derivatives, is too large");
            instructions_.push_back(in);
        }
        return place->second;
    }
    int emit(Code code, int a, int b = -1, int c = -1) { return emit({code, -1, -1, a, b, c}); }
    int emit_k(Code code, int a, double k) { return emit({code, -1, -1, a, -1, -1, factor(k)}); }
    static float factor(double k) { return single(k, true); }
    static float summand(double k) { return single(k, false); }

    int multiply(int a, int b) { return emit(Code::mul, std::min(a, b), std::max(a, b)); }
    int scale(int a, double k) {
        if (k == 1.0) return a;
        if (k == -1.0) return emit(Code::neg, a);
        return emit_k(Code::mul_k, a, k);
    }
    int scaled_product(int a, int b, double k) {
        if (k == 1.0) return multiply(a, b);
        return emit({Code::mul_kab, -1, -1, std::min(a, b), std::max(a, b), -1, factor(k)});
    }
    int shift(int a, double k, double c) {  // a*k + c
        if (k == 1.0) return emit({Code::add_k, -1, -1, a, -1, -1, summand(c)});
        if (k == -1.0) return emit({Code::k_sub, -1, -1, a, -1, -1, summand(c)});
        return emit({Code::fma_akl, -1, -1, a, -1, -1, factor(k), summand(c)});
    }
    int power(int x, int n) {
        if (n == 1) return x;
        if (n % 2 == 1) return multiply(power(x, n - 1), x);
        const int half = power(x, n / 2);
        return multiply(half, half);
    }

    int as_id(Operand x) {
        // Constants fold in the graph, so only a degenerate one gets here, such as 0 * x at infinity.
        if (x.constant) throw FormulaError("the formula divides or multiplies by a constant that "
                                           "is not finite");
        return scale(x.id, 1.0 / x.k);
    }
    int id_of(NodeId id) { return as_id(value_[at(id)]); }

    // --- sums and products -----------------------------------------------------------------------

    void collect_product(NodeId root, double k, std::vector<Term>& terms, double& constant) const {
        Term term;
        term.k = k;
        std::vector<NodeId> stack{root};
        while (!stack.empty()) {
            const NodeId id = stack.back();
            stack.pop_back();
            const ExpressionNode& n = graph_.node(id);
            const bool open = id == root || absorbed_[at(id)];
            if (n.op == Op::constant) {
                term.k *= n.value;
            } else if (n.op == Op::neg) {
                term.k = -term.k;
                stack.push_back(n.a);
            } else if (n.op == Op::mul && (open || graph_.is_constant(n.a))) {
                stack.push_back(n.b);
                stack.push_back(n.a);
            } else if (is_integer_power(n) && open) {
                add_factor(term, n.a, static_cast<int>(graph_.node(n.b).value));
            } else {
                add_factor(term, id, 1);
            }
        }
        if (term.factors.empty()) {
            constant += term.k;
        } else if (term.k != 0.0) {
            terms.push_back(std::move(term));
        }
    }

    static void add_factor(Term& term, NodeId id, int power) {
        for (Factor& f : term.factors) {
            if (f.id == id) {
                f.power += power;
                return;
            }
        }
        term.factors.push_back({id, power});
    }

    Operand lower_flattened(NodeId root) {
        double constant = 0.0;
        std::vector<Term> terms = flattened(root, constant);
        return lower_sum(std::move(terms), constant, 0);
    }

    std::vector<Term> flattened(NodeId root, double& constant) const {
        std::vector<Term> terms;
        std::vector<std::pair<NodeId, double>> stack{{root, 1.0}};
        while (!stack.empty()) {
            const auto [id, k] = stack.back();
            stack.pop_back();
            const ExpressionNode& n = graph_.node(id);
            const bool open = id == root || absorbed_[at(id)];
            if (n.op == Op::constant) {
                constant += k * n.value;
            } else if (is_sum(n) && open) {
                stack.emplace_back(n.b, n.op == Op::sub ? -k : k);
                stack.emplace_back(n.a, k);
            } else if (n.op == Op::neg) {
                stack.emplace_back(n.a, -k);
            } else {
                collect_term(id, k, id == root, terms, constant);
            }
        }
        return terms;
    }

    void collect_term(NodeId id, double k, bool is_root, std::vector<Term>& terms,
                      double& constant) const {
        const ExpressionNode& n = graph_.node(id);
        if (is_root || absorbed_[at(id)] || is_scaled(n)) {
            collect_product(id, k, terms, constant);
        } else {
            terms.push_back({k, {{id, 1}}, -1});
        }
    }

    static int power_of(const Term& term, NodeId id) {
        for (const Factor& f : term.factors) {
            if (f.id == id) return f.power;
        }
        return 0;
    }

    // The factor that most terms share; -1 if none is shared. Of equals the latest node: it stands
    // for the largest expression.
    static NodeId common_factor(const std::vector<Term>& terms) {
        std::map<NodeId, int> count;
        for (const Term& term : terms) {
            for (const Factor& f : term.factors) ++count[f.id];
        }
        NodeId best = -1;
        int most = 1;
        for (const auto& [id, n] : count) {
            if (n >= 2 && n >= most) {
                best = id;
                most = n;
            }
        }
        return best;
    }

    void take_out(NodeId factor_id, std::vector<Term>& terms, int depth) {
        int lowest = kMaxIntegerPower * 64;
        for (const Term& term : terms) {
            const int p = power_of(term, factor_id);
            if (p > 0) lowest = std::min(lowest, p);
        }
        std::vector<Term> inside, rest;
        double inside_constant = 0.0;
        std::size_t place = 0;
        for (Term& term : terms) {
            if (power_of(term, factor_id) == 0) {
                rest.push_back(std::move(term));
                continue;
            }
            if (inside.empty() && inside_constant == 0.0) place = rest.size();
            for (Factor& f : term.factors) {
                if (f.id == factor_id) f.power -= lowest;
            }
            std::erase_if(term.factors, [](const Factor& f) { return f.power == 0; });
            if (term.factors.empty() && term.inner < 0) {
                inside_constant += term.k;
            } else {
                inside.push_back(std::move(term));
            }
        }
        const Operand inner = lower_sum(std::move(inside), inside_constant, depth + 1);
        Term term{inner.constant ? inner.k : 1.0, {{factor_id, lowest}}, inner.id};
        if (term.k != 0.0)
            rest.insert(rest.begin() + static_cast<std::ptrdiff_t>(place), std::move(term));
        terms = std::move(rest);
    }

    Operand lower_sum(std::vector<Term> terms, double constant, int depth) {
        if (depth == 0)
            for (const auto& [e, quadratic] : quadratics_) use_forms(e, quadratic, terms);
        if (terms.size() <= kMaxFactoredTerms && depth < kMaxFactoringDepth) {
            for (NodeId f = common_factor(terms); f >= 0; f = common_factor(terms))
                take_out(f, terms, depth);
        }
        std::vector<std::pair<double, int>> linear;       // k * value
        std::vector<std::tuple<double, int, int>> pairs;  // k * value * value
        for (const Term& term : terms) {
            std::vector<int> values;
            double k = term.k;
            for (const Factor& f : term.factors) {
                const Operand& value = value_[at(f.id)];
                const int x = value.constant ? as_id(value) : value.id;
                k /= std::pow(value.k, f.power);
                if (f.power % 2 == 0 && term.factors.size() == 1 && term.inner < 0) {
                    values = {power(x, f.power / 2), power(x, f.power / 2)};
                } else {
                    values.push_back(power(x, f.power));
                }
            }
            if (term.inner >= 0) values.push_back(term.inner);
            if (std::fabs(std::fabs(k) - 1.0) < kSameConstant) k = std::copysign(1.0, k);
            if (values.size() == 1) {
                linear.emplace_back(k, values[0]);
                continue;
            }
            int left = values[0];
            for (std::size_t i = 1; i + 1 < values.size(); ++i) {
                left = std::fabs(k) == 1.0 ? multiply(left, values[i])
                                           : scaled_product(left, values[i], k);
                if (std::fabs(k) != 1.0) k = 1.0;
            }
            pairs.emplace_back(k, left, values.back());
        }
        return accumulate(linear, pairs, constant);
    }

    Operand accumulate(std::vector<std::pair<double, int>>& linear,
                       std::vector<std::tuple<double, int, int>>& pairs, double constant) {
        if (linear.empty() && pairs.empty()) return number(constant);
        int sum = -1;
        std::size_t next = 0;
        const bool has_constant = constant != 0.0;
        if (linear.size() >= 2) {
            const auto [k, a] = linear[0];
            const auto [l, b] = linear[1];
            next = 2;
            if (has_constant) {
                sum = emit({Code::linear_m, -1, -1, a, b, -1, factor(k), factor(l),
                            summand(constant)});
            } else if (k == 1.0 && l == 1.0) {
                sum = emit(Code::add, std::min(a, b), std::max(a, b));
            } else if (k == 1.0 && l == -1.0) {
                sum = emit(Code::sub, a, b);
            } else if (k == -1.0 && l == 1.0) {
                sum = emit(Code::sub, b, a);
            } else {
                sum = emit({Code::linear, -1, -1, a, b, -1, factor(k), factor(l)});
            }
        } else if (linear.size() == 1 && has_constant) {
            sum = shift(linear[0].second, linear[0].first, constant);
            next = 1;
        } else if (pairs.empty()) {
            return result(scale(linear[0].second, linear[0].first));
        } else if (linear.size() == 1 && linear[0].first == 1.0) {
            sum = linear[0].second;
            next = 1;
        } else {
            // Start from a product; one with a coefficient costs nothing extra here.
            std::size_t start = 0;
            for (std::size_t i = 0; i < pairs.size(); ++i) {
                const double k = std::get<0>(pairs[i]);
                const double best = std::get<0>(pairs[start]);
                const bool plain = std::fabs(k) == 1.0, best_plain = std::fabs(best) == 1.0;
                if ((!plain && best_plain) || (plain && best_plain && k > best)) start = i;
            }
            const auto [k, a, b] = pairs[start];
            pairs.erase(pairs.begin() + static_cast<std::ptrdiff_t>(start));
            if (has_constant && k == 1.0) {
                sum = emit({Code::fma_k, -1, -1, std::min(a, b), std::max(a, b), -1,
                            summand(constant)});
            } else if (has_constant && k == -1.0) {
                sum = emit({Code::fnma_k, -1, -1, std::min(a, b), std::max(a, b), -1,
                            summand(constant)});
            } else if (has_constant) {
                sum = emit({Code::fma_k, -1, -1, scale(a, k), b, -1, summand(constant)});
            } else if (linear.size() == 1 && linear[0].first == -1.0 && k == 1.0) {
                sum = emit(Code::fms, std::min(a, b), std::max(a, b), linear[0].second);
                next = 1;
            } else {
                sum = scaled_product(a, b, k);
            }
        }
        for (; next < linear.size(); ++next) {
            const auto [k, a] = linear[next];
            if (k == 1.0) {
                sum = emit(Code::add, sum, a);
            } else if (k == -1.0) {
                sum = emit(Code::sub, sum, a);
            } else {
                sum = emit({Code::fma_ak, -1, -1, a, sum, -1, factor(k)});
            }
        }
        for (const auto& [k, a, b] : pairs) {
            if (k == 1.0) {
                sum = emit(Code::fma, std::min(a, b), std::max(a, b), sum);
            } else if (k == -1.0) {
                sum = emit(Code::fnma, std::min(a, b), std::max(a, b), sum);
            } else {
                sum = emit(Code::fma, scale(a, k), b, sum);
            }
        }
        return result(sum);
    }

    // --- exponentials of quadratic forms ---------------------------------------------------------

    // e^argument as a quadratic form; no forms if it is none.
    GradientForms quadratic_form(NodeId argument) const {
        GradientForms q;
        const ExpressionNode& n = graph_.node(argument);
        if (!is_sum(n) && !is_scaled(n) && !is_integer_power(n)) return q;
        for (const Term& term : flattened(argument, q.constant)) {
            const std::vector<Factor>& f = term.factors;
            if (f.size() == 1 && f[0].power == 2) {
                q.forms[f[0].id].weights[f[0].id] += term.k;
            } else if (f.size() == 2 && f[0].power == 1 && f[1].power == 1) {
                q.forms[f[0].id].weights[f[1].id] += 0.5 * term.k;
                q.forms[f[1].id].weights[f[0].id] += 0.5 * term.k;
            } else {
                return {};
            }
        }
        return q.forms.size() <= kMaxFormVariables ? q : GradientForms{};
    }

    // The variable u of a term k·e·u; −1 if it is none. Shared products are looked through.
    NodeId other_factor(const Term& term, NodeId e) const {
        const std::vector<Factor>& f = term.factors;
        if (term.inner >= 0 || f.size() > 2 || f.front().power != 1 || f.back().power != 1)
            return -1;
        NodeId a = f.front().id, b = f.back().id;
        if (f.size() == 1) {
            const ExpressionNode& n = graph_.node(a);
            if (n.op != Op::mul) return -1;
            a = n.a;
            b = n.b;
        }
        return a == e ? b : b == e ? a : -1;
    }

    // Where the terms of e are k e ℓ_i: that k and the form; else no form.
    std::pair<double, const GradientForms::Form*> matching_form(
        NodeId e, const GradientForms& quadratic, const std::vector<Term>& terms) const {
        std::map<NodeId, double> weights;
        for (const Term& term : terms)
            if (const NodeId u = other_factor(term, e); u >= 0) weights[u] += term.k;
        if (weights.empty()) return {0.0, nullptr};
        for (const auto& [u, form] : quadratic.forms) {
            if (form.weights.size() != weights.size()) continue;
            const double k = weights.begin()->second / form.weights.begin()->second;
            if (std::equal(weights.begin(), weights.end(), form.weights.begin(),
                           [k](const auto& a, const auto& b) {
                               return a.first == b.first &&
                                      std::fabs(a.second - k * b.second) <=
                                          kSameConstant * std::fabs(a.second);
                           }))
                return {k, &form};
        }
        return {0.0, nullptr};
    }

    void use_forms(NodeId e, const GradientForms& quadratic, std::vector<Term>& terms) const {
        const auto [k, form] = matching_form(e, quadratic, terms);
        if (!form) return;
        Term whole{k / kLog2E, {{e, 1}}, form->id};
        const auto is_part = [&](const Term& term) { return other_factor(term, e) >= 0; };
        *std::find_if(terms.begin(), terms.end(), is_part) = std::move(whole);
        std::erase_if(terms, is_part);
    }

    // What ℓ_i log₂e e is multiplied by in an output; 0 where none uses it.
    double amplitude(NodeId e, const GradientForms& quadratic) const {
        for (const std::vector<Term>& terms : output_terms_) {
            const double k = std::fabs(matching_form(e, quadratic, terms).first) / kLog2E;
            if (k > 1e-30 && k < 1e30) return k;
        }
        return 0.0;
    }

    // 2^(Σ u_i ℓ_i log₂e + log₂(amplitude)): among the constants of a sum, neither factor costs anything.
    Operand lower_quadratic_exp(NodeId e, GradientForms quadratic, double amplitude) {
        std::vector<std::pair<double, int>> none;
        std::vector<std::tuple<double, int, int>> pairs;
        for (auto& [u, form] : quadratic.forms) {
            std::vector<Term> terms;
            for (const auto& [v, weight] : form.weights)
                terms.push_back({kLog2E * weight, {{v, 1}}, -1});
            form.id = as_id(lower_sum(std::move(terms), 0.0, 0));
            pairs.emplace_back(1.0, id_of(u), form.id);
        }
        const Operand power = accumulate(
            none, pairs, kLog2E * quadratic.constant + std::log2(amplitude));
        quadratics_.emplace(e, std::move(quadratic));
        return {false, amplitude, emit(Code::exp2, as_id(power))};
    }

    // --- one node --------------------------------------------------------------------------------

    Operand lower_node(NodeId id) {
        const ExpressionNode& n = graph_.node(id);
        switch (n.op) {
            case Op::constant: return number(n.value);
            case Op::variable:
                if (n.a >= inputs_) throw FormulaError("a formula uses an input it does not have");
                return result(n.a);
            case Op::neg:
            case Op::add:
            case Op::sub:
            case Op::mul: return lower_flattened(id);
            case Op::div:
                if (graph_.is_constant(n.a))
                    return result(emit_k(Code::k_div, id_of(n.b), graph_.node(n.a).value));
                return result(emit(Code::div, id_of(n.a), id_of(n.b)));
            case Op::pow: return lower_power(id);
            case Op::min: return two(Code::min, Code::min_k, Code::min_k, n);
            case Op::max: return two(Code::max, Code::max_k, Code::max_k, n);
            case Op::less: return two(Code::less, Code::less_k, Code::k_less, n);
            case Op::exp:
                if (GradientForms q = quadratic_form(n.a); !q.forms.empty())
                    if (const double k = amplitude(id, q); k > 0.0)
                        return lower_quadratic_exp(id, std::move(q), k);
                return result(lower_exp(n.a));
            case Op::log: return result(emit(Code::log, id_of(n.a)));
            case Op::sqrt: return result(emit(Code::sqrt, id_of(n.a)));
            case Op::sin: return result(emit(Code::sin, id_of(n.a)));
            case Op::cos: return result(emit(Code::cos, id_of(n.a)));
            case Op::tan: {
                const int x = id_of(n.a);
                const int s = emit(Code::sin, x);
                return result(emit(Code::div, s, emit(Code::cos, x)));
            }
            case Op::tanh: return result(emit(Code::tanh, id_of(n.a)));
            case Op::sinh: return result(emit(Code::sinh, id_of(n.a)));
            case Op::cosh: return result(emit(Code::cosh, id_of(n.a)));
            case Op::atan: return result(emit(Code::atan, id_of(n.a)));
            case Op::erf: return result(emit(Code::erf, id_of(n.a)));
            case Op::abs: return result(emit(Code::abs, id_of(n.a)));
            case Op::sign: return result(emit(Code::sign, id_of(n.a)));
            case Op::fixed: return value_[at(n.a)];
        }
        return number(0.0);
    }

    Operand two(Code code, Code slot_first, Code constant_first, const ExpressionNode& n) {
        if (graph_.is_constant(n.b))
            return result(emit({slot_first, -1, -1, id_of(n.a), -1, -1,
                                summand(graph_.node(n.b).value)}));
        if (graph_.is_constant(n.a))
            return result(emit({constant_first, -1, -1, id_of(n.b), -1, -1,
                                summand(graph_.node(n.a).value)}));
        return result(emit(code, id_of(n.a), id_of(n.b)));
    }

    int lower_exp(NodeId argument) {
        const ExpressionNode& n = graph_.node(argument);
        if (!is_scaled_argument(n)) return emit(Code::exp, id_of(argument));
        std::vector<Term> terms;
        double constant = 0.0;
        collect_product(argument, 1.0, terms, constant);
        if (terms.empty()) throw FormulaError("the formula multiplies by a constant that vanishes");
        const double k = terms[0].k;
        terms[0].k = 1.0;
        return emit_k(Code::exp_k, as_id(lower_sum(std::move(terms), 0.0, 0)), k);
    }

    Operand lower_power(NodeId id) {
        const ExpressionNode& n = graph_.node(id);
        if (is_integer_power(n)) return lower_flattened(id);
        if (graph_.is_constant(n.b)) {
            const double k = graph_.node(n.b).value;
            const int x = id_of(n.a);
            if (2.0 * k == std::nearbyint(2.0 * k) && k > 1.0 && k < kMaxIntegerPower)
                return result(multiply(power(x, static_cast<int>(k)), emit(Code::sqrt, x)));
            return result(emit_k(Code::exp_k, emit(Code::log, x), k));
        }
        if (graph_.is_constant(n.a))
            return result(emit_k(Code::exp_k, id_of(n.b), std::log(graph_.node(n.a).value)));
        const int logarithm = emit(Code::log, id_of(n.a));
        return result(emit(Code::exp, multiply(logarithm, id_of(n.b))));
    }

    // --- order and slots -------------------------------------------------------------------------

    const Instruction& instruction(int id) const {
        return instructions_[static_cast<std::size_t>(id - inputs_)];
    }

    Program schedule() {
        Program program;
        program.inputs = inputs_;
        // Depth first, operands in order; sin and cos of one angle become one instruction.
        std::map<int, std::pair<int, int>> angles;
        std::vector<int> order;
        std::vector<char> state(instructions_.size(), 0);  // 1: operands pushed, 2: placed
        const auto index_of = [this](int id) { return static_cast<std::size_t>(id - inputs_); };
        for (NodeId output : outputs_) {
            const Operand value = value_[at(output)];
            std::vector<int> stack;
            if (!value.constant && value.id >= inputs_) stack.push_back(value.id);
            while (!stack.empty()) {
                const int id = stack.back();
                if (state[index_of(id)] != 0) {
                    stack.pop_back();
                    if (state[index_of(id)] == 1) order.push_back(id);
                    state[index_of(id)] = 2;
                    continue;
                }
                state[index_of(id)] = 1;
                const Instruction& in = instruction(id);
                for (int operand : {in.c, in.b, in.a}) {
                    if (operand >= inputs_ && state[index_of(operand)] == 0)
                        stack.push_back(operand);
                }
            }
        }
        for (int id : order) {
            const Instruction& in = instruction(id);
            if (in.code == Code::sin) angles[in.a].first = id;
            if (in.code == Code::cos) angles[in.a].second = id;
        }
        std::vector<int> placed(instructions_.size(), 0);  // by a sincos before
        std::vector<std::pair<int, Instruction>> list;
        std::vector<int> second(instructions_.size(), -1);
        for (int id : order) {
            if (placed[index_of(id)]) continue;
            Instruction in = instruction(id);
            if (in.code == Code::sin || in.code == Code::cos) {
                const auto [s, c] = angles.at(in.a);
                if (s > 0 && c > 0) {
                    in.code = Code::sincos;
                    second[index_of(s)] = c;
                    placed[index_of(s)] = placed[index_of(c)] = 1;
                    id = s;
                }
            }
            list.emplace_back(id, in);
        }
        assign_slots(program, list, second);
        return program;
    }

    void assign_slots(Program& program, const std::vector<std::pair<int, Instruction>>& list,
                      const std::vector<int>& second) {
        const std::size_t values = static_cast<std::size_t>(inputs_) + instructions_.size();
        constexpr int kForever = 1 << 30;
        std::vector<int> last_use(values, -1), slot(values, -1);
        for (int i = 0; i < inputs_; ++i) slot[static_cast<std::size_t>(i)] = i;
        for (std::size_t i = 0; i < list.size(); ++i) {
            for (int x : {list[i].second.a, list[i].second.b, list[i].second.c}) {
                if (x >= 0) last_use[static_cast<std::size_t>(x)] = static_cast<int>(i);
            }
        }
        for (int i = 0; i < inputs_; ++i) last_use[static_cast<std::size_t>(i)] = kForever;
        for (NodeId output : outputs_) {
            const Operand value = value_[at(output)];
            if (!value.constant) last_use[static_cast<std::size_t>(value.id)] = kForever;
        }
        std::vector<int> free;
        int slots = inputs_;
        const auto take = [&] {
            if (free.empty()) return slots++;
            const int s = free.back();
            free.pop_back();
            return s;
        };
        for (std::size_t i = 0; i < list.size(); ++i) {
            auto [id, in] = list[i];
            const int operands[] = {in.a, in.b, in.c};
            for (int o = 0; o < 3; ++o) {
                const int x = operands[o];
                if (x < 0 || last_use[static_cast<std::size_t>(x)] != static_cast<int>(i)) continue;
                if ((o > 0 && x == operands[0]) || (o > 1 && x == operands[1])) continue;
                free.push_back(slot[static_cast<std::size_t>(x)]);
            }
            const auto slot_of = [&](int x) { return x < 0 ? 0 : slot[static_cast<std::size_t>(x)]; };
            in.a = slot_of(in.a);
            in.b = slot_of(in.b);
            in.c = slot_of(in.c);
            in.destination = slot[static_cast<std::size_t>(id)] = take();
            if (in.code == Code::sincos) {
                const int other = second[static_cast<std::size_t>(id - inputs_)];
                in.second_destination = slot[static_cast<std::size_t>(other)] = take();
            }
            program.instructions.push_back(in);
        }
        program.slots = slots;
        for (NodeId output : outputs_) {
            const Operand value = value_[at(output)];
            ProgramOutput out;
            if (value.constant) {
                out.value = single(value.k, false);
            } else {
                out.kind = value.id < inputs_ ? ProgramOutput::Kind::input
                                              : ProgramOutput::Kind::slot;
                out.slot = slot[static_cast<std::size_t>(value.id)];
            }
            program.outputs.push_back(out);
        }
    }

    const Expressions& graph_;
    std::span<const NodeId> outputs_;
    int inputs_;
    std::vector<NodeId> ids_;
    std::vector<char> absorbed_;
    std::vector<Operand> value_;
    std::vector<std::vector<Term>> output_terms_;
    std::map<NodeId, GradientForms> quadratics_;  // of exponentials that were lowered
    std::vector<Instruction> instructions_;
    std::map<std::tuple<Code, int, int, int, std::uint32_t, std::uint32_t, std::uint32_t>, int>
        known_;
};

}  // namespace

Program lower(const Expressions& graph, std::span<const NodeId> outputs, int inputs) {
    return Lowering(graph, outputs, inputs).run();
}

}  // namespace microlift
