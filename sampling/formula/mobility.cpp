#include "sampling/formula/mobility.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>

namespace microlift {

namespace {

// States of all sizes, every second one of positive numbers, for expressions that need those.
class RandomStates {
public:
    explicit RandomStates(int dim) : x_(static_cast<std::size_t>(dim)) {}
    const std::vector<double>& next() {
        const double scale = std::pow(10.0, 12.0 * symmetric());
        for (double& x : x_) x = scale * symmetric();
        if (++drawn_ % 2 == 0)
            for (double& x : x_) x = std::fabs(x);
        return x_;
    }

private:
    double symmetric() { return 2.0 * static_cast<double>(engine_() >> 11) * 0x1p-53 - 1.0; }
    std::mt19937_64 engine_{1};
    std::vector<double> x_;
    int drawn_ = 0;
};

constexpr int kStates = 256, kLeastStates = 16;

}  // namespace

std::vector<NodeId> noise_transposed_times(FormulaSystem& system, const std::vector<NodeId>& g) {
    Expressions& graph = system.graph;
    const std::size_t dim = g.size();
    std::vector<NodeId> result;
    for (std::size_t j = 0; j < dim; ++j) {
        if (system.noise == FormulaSystem::Noise::diagonal) {
            result.push_back(graph.mul(system.noise_nodes[j], g[j]));
            continue;
        }
        NodeId sum = graph.constant(0.0);
        for (std::size_t i = 0; i < dim; ++i)
            sum = graph.add(sum, graph.mul(system.noise_nodes[i * dim + j], g[i]));
        result.push_back(sum);
    }
    return result;
}

std::vector<NodeId> mobility_times(FormulaSystem& system, const std::vector<NodeId>& g) {
    Expressions& graph = system.graph;
    const std::size_t dim = g.size();
    const std::vector<NodeId> noise = noise_transposed_times(system, g);
    std::vector<NodeId> result;
    for (std::size_t i = 0; i < dim; ++i) {
        NodeId sum = graph.constant(0.0);
        if (system.noise == FormulaSystem::Noise::diagonal)
            sum = graph.mul(system.noise_nodes[i], noise[i]);
        else
            for (std::size_t j = 0; j < dim; ++j)
                sum = graph.add(sum, graph.mul(system.noise_nodes[i * dim + j], noise[j]));
        result.push_back(graph.mul(graph.constant(0.5), sum));
    }
    return result;
}

std::optional<double> constant_value(const Expressions& graph, NodeId f, int dim) {
    constexpr double kRounding = 1e-9;
    if (graph.is_constant(f)) return graph.node(f).value;
    RandomStates states(dim);
    std::vector<double> values;
    for (int s = 0; s < kStates; ++s) {
        const double value = graph.evaluate(f, states.next());
        if (!std::isfinite(value)) continue;
        if (!values.empty() && !(std::fabs(value - values[0]) <= kRounding * std::fabs(values[0])))
            return std::nullopt;
        values.push_back(value);
    }
    if (values.size() < static_cast<std::size_t>(kLeastStates)) return std::nullopt;
    const std::size_t middle = values.size() / 2;
    std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(middle),
                     values.end());
    return values[middle];
}

namespace {

// (u·∇) v
std::vector<NodeId> derivative_along(Expressions& graph, const std::vector<NodeId>& u,
                                     const std::vector<NodeId>& v) {
    std::vector<NodeId> result;
    for (const NodeId component : v) {
        const std::vector<NodeId> slope = graph.gradient(component, static_cast<int>(v.size()));
        NodeId sum = graph.constant(0.0);
        for (std::size_t j = 0; j < u.size(); ++j) sum = graph.add(sum, graph.mul(u[j], slope[j]));
        result.push_back(sum);
    }
    return result;
}

// The inverse of a symmetric matrix of one or two rows, by its entries k ≤ l; so is the result.
std::vector<NodeId> inverse(Expressions& graph, const std::vector<NodeId>& g) {
    const NodeId one = graph.constant(1.0);
    if (g.size() == 1) return {graph.div(one, g[0])};
    const NodeId determinant = graph.sub(graph.mul(g[0], g[2]), graph.mul(g[1], g[1]));
    return {graph.div(g[2], determinant), graph.neg(graph.div(g[1], determinant)),
            graph.div(g[0], determinant)};
}

}  // namespace

std::vector<NodeId> held_correction(FormulaSystem& system,
                                    const std::vector<std::vector<NodeId>>& along,
                                    const std::vector<NodeId>& g) {
    Expressions& graph = system.graph;
    const std::size_t K = along.size();
    const auto constant = [&](const std::vector<NodeId>& v) {
        return std::all_of(v.begin(), v.end(), [&](NodeId id) { return graph.is_constant(id); });
    };
    if (K > 2 || (K == 1 && system.noise_constant) || std::all_of(along.begin(), along.end(), constant))
        return {};
    const std::vector<NodeId> weight = inverse(graph, g);
    std::vector<NodeId> result(along[0].size(), graph.constant(0.0));
    for (std::size_t k = 0; k < K; ++k)
        for (std::size_t l = 0; l < K; ++l) {
            const std::vector<NodeId> term = derivative_along(graph, along[l], along[k]);
            for (std::size_t d = 0; d < term.size(); ++d)
                result[d] = graph.add(result[d], graph.mul(weight[k + l], term[d]));
        }
    return result;
}

namespace {

// A matrix that is symmetric exactly where there is detailed balance, by rows: (∂b) D of constant noise;
// of diagonal noise the Jacobian of (b − ∂D)/D, which then is −∇V.
std::vector<NodeId> balance_matrix(FormulaSystem& system) {
    Expressions& graph = system.graph;
    const auto dim = static_cast<std::size_t>(system.dim);
    std::vector<NodeId> matrix;
    for (std::size_t i = 0; i < dim; ++i) {
        const NodeId b = system.drift_nodes[i];
        if (system.noise_constant) {
            const std::vector<NodeId> row = mobility_times(system, graph.gradient(b, system.dim));
            matrix.insert(matrix.end(), row.begin(), row.end());
            continue;
        }
        const NodeId sigma = system.noise_nodes[i];
        const NodeId d = graph.mul(graph.constant(0.5), graph.mul(sigma, sigma));
        const NodeId slope = graph.derivative(d, static_cast<int>(i));
        const std::vector<NodeId> row =
            graph.gradient(graph.div(graph.sub(b, slope), d), system.dim);
        matrix.insert(matrix.end(), row.begin(), row.end());
    }
    return matrix;
}

bool asymmetric(const std::vector<double>& m, std::size_t dim) {
    // Drifts and noises are typed in with a few digits.
    constexpr double kTyped = 1e-3, kRounding = 1e-9;
    for (std::size_t i = 0; i < dim; ++i)
        for (std::size_t j = 0; j < i; ++j) {
            const double a = m[i * dim + j], b = m[j * dim + i];
            const double scale = std::sqrt(std::fabs(m[i * dim + i] * m[j * dim + j]));
            if (std::fabs(a - b) > kTyped * (std::fabs(a) + std::fabs(b)) + kRounding * scale)
                return true;
        }
    return false;
}

}  // namespace

DetailedBalance detailed_balance(const FormulaSystem& given) {
    constexpr double kEnough = 0.1;  // of the states: elsewhere sums may cancel
    const auto dim = static_cast<std::size_t>(given.dim);
    if (given.gradient || dim == 1) return DetailedBalance::holds;
    if (!given.noise_constant && given.noise == FormulaSystem::Noise::matrix)
        return DetailedBalance::unknown;
    try {
        FormulaSystem system = given;  // whose graph grows
        const BatchEvaluator evaluate(system.graph, balance_matrix(system));
        RandomStates states(given.dim);
        std::vector<double> m(dim * dim);
        int tried = 0, broken = 0;
        for (int s = 0; s < kStates; ++s) {
            evaluate(states.next().data(), 1, 1, m.data());
            const auto finite = [](double v) { return std::isfinite(v); };
            if (!std::all_of(m.begin(), m.end(), finite)) continue;
            ++tried;
            broken += asymmetric(m, dim) ? 1 : 0;
        }
        if (tried < kLeastStates) return DetailedBalance::unknown;
        return broken > kEnough * tried ? DetailedBalance::broken : DetailedBalance::holds;
    } catch (const FormulaError&) {
        return DetailedBalance::unknown;  // too large to derive
    }
}

}  // namespace microlift
