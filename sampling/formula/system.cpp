#include "sampling/formula/system.h"

#include <algorithm>
#include <cmath>

#include "sampling/formula/mobility.h"

namespace microlift {

namespace {

std::string indexed(const std::string& key, std::size_t i) {
    return key + "[" + std::to_string(i) + "]";
}

// What FormulaSystem::force computes, in its order; the system is told where each stands.
std::vector<NodeId> place_force_outputs(FormulaSystem& system) {
    std::vector<NodeId> outputs = system.drift_nodes;
    if (!system.noise_constant) {
        system.noise_output = static_cast<int>(outputs.size());
        outputs.insert(outputs.end(), system.noise_nodes.begin(), system.noise_nodes.end());
    }
    for (std::size_t k = 0; k < system.cvs.size(); ++k) {
        FormulaSystem::Cv& cv = system.cvs[k];
        if (!cv.linear) {
            cv.value_output = static_cast<int>(outputs.size());
            outputs.push_back(system.cv_nodes[k]);
        }
        if (!cv.pull.empty()) continue;
        cv.pull_output = static_cast<int>(outputs.size());
        const auto first = system.pull_nodes.begin() + static_cast<std::ptrdiff_t>(k) * system.dim;
        outputs.insert(outputs.end(), first, first + system.dim);
    }
    return outputs;
}

// Runs `work`; an error it throws without a key gets this one.
template <class Work>
auto with_key(const std::string& key, const Work& work) {
    try {
        return work();
    } catch (const FormulaError& error) {
        if (!error.key().empty()) throw;
        throw error.with_key(key);
    }
}

class Builder {
public:
    explicit Builder(const FormulaSystemText& text)
        : text_(text), symbols_{text.variables, text.parameters}, graph_(system_.graph) {}

    FormulaSystem build() {
        check();
        system_.dim = static_cast<int>(text_.variables.size());
        system_.variables = text_.variables;
        system_.elsewhere = text_.elsewhere;
        if (text_.elsewhere) {
            system_.gradient = true;
            system_.beta = text_.beta;
        }
        // The inputs come first in the graph, whatever the formulas use.
        for (int d = 0; d < system_.dim; ++d) graph_.variable(d);
        if (!text_.elsewhere) drift();
        noise();
        observe();
        features();
        cvs();
        if (!text_.elsewhere) closure();
        pull();
        if (!text_.elsewhere) {
            force();
            fixman();
        }
        return std::move(system_);
    }

private:
    std::size_t dim() const { return text_.variables.size(); }

    [[noreturn]] static void fail(const std::string& key, const std::string& message) {
        throw FormulaError(message, 0, key);
    }

    void check() const {
        if (text_.variables.empty())
            fail("system.variables", "no variables; name at least one, as in [\"x\", \"y\"]");
        if (dim() > static_cast<std::size_t>(kMaxFormulaVariables) && !text_.elsewhere)
            fail("system.variables", std::to_string(dim()) + " variables; at most " +
                                         std::to_string(kMaxFormulaVariables) + " are supported");
        with_key("system.variables", [&] { check_names({text_.variables, {}}); });
        with_key("system.parameters", [&] { check_names(symbols_); });
        if (text_.elsewhere) return;
        const bool has_noise = !text_.diffusion.empty() || !text_.diffusion_matrix.empty();
        if (!text_.potential.empty()) {
            if (!text_.drift.empty())
                fail("system.drift", "a system has either a potential or a drift, not both");
            if (has_noise)
                fail("system.diffusion",
                     "the noise of a system with a potential is sqrt(2/beta); for other noise, "
                     "write the drift instead of the potential");
            if (!(text_.beta > 0.0) || !std::isfinite(text_.beta))
                fail("system.beta", "a system with a potential needs beta > 0");
            return;
        }
        if (text_.drift.empty())
            fail("system.potential", "no dynamics; give a potential, or a drift and a diffusion");
        count("system.drift", text_.drift.size());
        if (!has_noise)
            fail("system.diffusion",
                 "a system with a drift needs a diffusion, one formula a variable or a matrix");
        if (!text_.diffusion.empty() && !text_.diffusion_matrix.empty())
            fail("system.diffusion", "either a list or a matrix, not both");
        if (!text_.diffusion.empty()) {
            count("system.diffusion", text_.diffusion.size());
        } else {
            count("system.diffusion", text_.diffusion_matrix.size());
            for (std::size_t i = 0; i < dim(); ++i)
                count(indexed("system.diffusion", i), text_.diffusion_matrix[i].size());
        }
    }

    void count(const std::string& key, std::size_t given) const {
        if (given == dim()) return;
        fail(key, std::to_string(given) + (given == 1 ? " formula" : " formulas") + " for " +
                      std::to_string(dim()) + (dim() == 1 ? " variable" : " variables") +
                      "; one a variable is needed");
    }

    NodeId parse(const std::string& key, const std::string& formula) {
        return with_key(key, [&] { return parse_formula(graph_, formula, symbols_); });
    }

    std::vector<NodeId> gradient(const std::string& key, NodeId f) {
        return with_key(key, [&] { return graph_.gradient(f, system_.dim); });
    }

    Program lowered(const std::string& key, const std::vector<NodeId>& outputs) {
        return with_key(key, [&] { return lower(graph_, outputs, system_.dim); });
    }

    void drift() {
        if (!text_.potential.empty()) {
            system_.gradient = true;
            system_.beta = text_.beta;
            system_.potential_node = parse("system.potential", text_.potential);
            system_.potential = lowered("system.potential", {system_.potential_node});
            for (NodeId g : gradient("system.potential", system_.potential_node))
                system_.drift_nodes.push_back(graph_.neg(g));
            return;
        }
        for (std::size_t d = 0; d < dim(); ++d)
            system_.drift_nodes.push_back(parse(indexed("system.drift", d), text_.drift[d]));
    }

    void noise() {
        std::vector<NodeId>& nodes = system_.noise_nodes;
        if (system_.gradient) {
            nodes.assign(dim(), graph_.constant(std::sqrt(2.0 / system_.beta)));
        } else if (!text_.diffusion.empty()) {
            for (std::size_t d = 0; d < dim(); ++d)
                nodes.push_back(parse(indexed("system.diffusion", d), text_.diffusion[d]));
        } else {
            system_.noise = FormulaSystem::Noise::matrix;
            for (std::size_t i = 0; i < dim(); ++i) {
                for (std::size_t j = 0; j < dim(); ++j)
                    nodes.push_back(parse(indexed(indexed("system.diffusion", i), j),
                                          text_.diffusion_matrix[i][j]));
            }
        }
        system_.noise_constant = std::all_of(nodes.begin(), nodes.end(), [this](NodeId id) {
            return graph_.is_constant(id);
        });
        if (system_.noise_constant) {
            for (NodeId id : nodes) system_.noise_values.push_back(graph_.node(id).value);
        } else if (system_.noise == FormulaSystem::Noise::diagonal) {
            noise_slope();
        }
    }

    void noise_slope() {
        std::vector<NodeId> slopes;
        for (std::size_t d = 0; d < dim(); ++d) {
            const NodeId sigma = system_.noise_nodes[d];
            for (NodeId id : graph_.reachable({&sigma, 1}))
                if (graph_.node(id).op == Op::variable && graph_.node(id).a != static_cast<int>(d))
                    return;
            slopes.push_back(graph_.mul(
                graph_.constant(0.5),
                graph_.mul(sigma, graph_.derivative(sigma, static_cast<int>(d)))));
        }
        system_.noise_slope = lowered("system.diffusion", slopes);
    }

    void observe() {
        for (std::size_t i = 0; i < text_.observe.size(); ++i)
            system_.observe_nodes.push_back(parse(indexed("system.observe", i), text_.observe[i]));
        system_.observe = lowered("system.observe", system_.observe_nodes);
    }

    void features() {
        std::vector<NodeId> nodes;
        for (const std::string& formula : text_.features) nodes.push_back(parse("system.features", formula));
        system_.features = lowered("system.features", nodes);
    }

    void cvs() {
        std::vector<NodeId> outputs;
        for (std::size_t k = 0; k < text_.cv.size(); ++k) {
            const std::string key = indexed("cv.variables", k);
            const bool built = k < text_.cv_builders.size() && text_.cv_builders[k];
            const NodeId xi =
                built ? with_key(key, [&] { return text_.cv_builders[k](graph_); })
                      : parse(key, text_.cv[k]);
            system_.cv_nodes.push_back(xi);
            cv_gradients_.push_back(gradient(key, xi));
            const std::vector<NodeId>& g = cv_gradients_.back();
            FormulaSystem::Cv cv;
            cv.linear = std::all_of(g.begin(), g.end(),
                                    [this](NodeId id) { return graph_.is_constant(id); });
            if (cv.linear) {
                for (NodeId id : g) cv.weights.push_back(graph_.node(id).value);
                if (std::all_of(cv.weights.begin(), cv.weights.end(),
                                [](double w) { return w == 0.0; }))
                    fail(key, "this collective variable does not depend on the state");
                cv.offset = graph_.evaluate(xi, std::vector<double>(dim(), 0.0));
            }
            system_.cvs.push_back(std::move(cv));
        }
        outputs = system_.cv_nodes;
        for (const std::vector<NodeId>& g : cv_gradients_)
            outputs.insert(outputs.end(), g.begin(), g.end());
        system_.cv = lowered("cv.variables", outputs);
    }

    void force() {
        system_.force = lowered(system_.gradient ? "system.potential" : "system.drift", place_force_outputs(system_));
    }

    NodeId dot(const std::vector<NodeId>& a, const std::vector<NodeId>& b) {
        NodeId sum = graph_.constant(0.0);
        for (std::size_t i = 0; i < a.size(); ++i) sum = graph_.add(sum, graph_.mul(a[i], b[i]));
        return sum;
    }

    // ½ σσᵀ:∇∇ξ for the gradient g of ξ.
    NodeId half_noise_hessian(const std::vector<NodeId>& g) {
        NodeId sum = graph_.constant(0.0);
        if (system_.noise == FormulaSystem::Noise::diagonal) {
            for (std::size_t d = 0; d < dim(); ++d) {
                const NodeId variance = system_.gradient
                                            ? graph_.constant(2.0 / system_.beta)
                                            : graph_.pow(system_.noise_nodes[d],
                                                         graph_.constant(2.0));
                const NodeId second = graph_.derivative(g[d], static_cast<int>(d));
                sum = graph_.add(sum, graph_.mul(variance, second));
            }
            return graph_.mul(graph_.constant(0.5), sum);
        }
        // Σ_j σ_jᵀ H σ_j, with the rows of the Hessian H from one reverse sweep each.
        std::vector<std::vector<NodeId>> hessian;
        for (NodeId id : g) hessian.push_back(graph_.gradient(id, system_.dim));
        for (std::size_t j = 0; j < dim(); ++j) {
            std::vector<NodeId> column, product;
            for (std::size_t i = 0; i < dim(); ++i)
                column.push_back(system_.noise_nodes[i * dim() + j]);
            for (std::size_t i = 0; i < dim(); ++i) product.push_back(dot(hessian[i], column));
            sum = graph_.add(sum, dot(column, product));
        }
        return graph_.mul(graph_.constant(0.5), sum);
    }

    void closure() {
        with_key("cv.variables", [&] {
            for (const std::vector<NodeId>& g : cv_gradients_)
                system_.closure_nodes.push_back(
                    graph_.add(dot(system_.drift_nodes, g), half_noise_hessian(g)));
            for (std::size_t k = 0; k < cv_gradients_.size(); ++k) {
                for (std::size_t l = k; l < cv_gradients_.size(); ++l) {
                    if (system_.gradient) {
                        system_.closure_nodes.push_back(
                            graph_.mul(graph_.constant(1.0 / system_.beta),
                                       dot(cv_gradients_[k], cv_gradients_[l])));
                    } else {
                        system_.closure_nodes.push_back(graph_.mul(
                            graph_.constant(0.5),
                            dot(noise_transposed_times(system_, cv_gradients_[k]),
                                noise_transposed_times(system_, cv_gradients_[l]))));
                    }
                }
            }
        });
        system_.closure = lowered("cv.variables", system_.closure_nodes);
    }

    // D∇ξ_k and the direction of the pull on each CV. Where no noise acts on ξ_k, no bias has a known law;
    // then ∇ξ_k serves.
    void pull() {
        system_.pull.inputs = system_.pull.slots = system_.dim;
        with_key("cv.variables", [&] {
            for (std::size_t k = 0; k < system_.cvs.size(); ++k) pull_of(k);
        });
        if (!system_.gradient) system_.pull = lowered("cv.variables", system_.pull_nodes);
    }

    void pull_of(std::size_t k) {
        FormulaSystem::Cv& cv = system_.cvs[k];
        const std::vector<NodeId>& g = cv_gradients_[k];
        std::vector<NodeId> direction = g;
        if (system_.gradient) {
            cv.diffusion = 1.0 / system_.beta;
        } else {
            along_.push_back(mobility_times(system_, g));
            const NodeId d = system_.closure_nodes[diffusion_place(k, k)];
            cv.diffusion = constant_value(graph_, d, system_.dim);
            const NodeId unit = cv.diffusion ? graph_.constant(*cv.diffusion) : d;
            if (!graph_.is_constant(unit, 0.0))
                for (std::size_t i = 0; i < dim(); ++i)
                    direction[i] = graph_.div(along_[k][i], unit);
        }
        const bool constant = std::all_of(direction.begin(), direction.end(),
                                          [this](NodeId id) { return graph_.is_constant(id); });
        if (cv.linear && constant)
            for (NodeId id : direction) cv.pull.push_back(graph_.node(id).value);
        system_.pull_nodes.insert(system_.pull_nodes.end(), direction.begin(), direction.end());
    }

    // Of ∇ξ_k·D∇ξ_l, k ≤ l, in closure_nodes.
    std::size_t diffusion_place(std::size_t k, std::size_t l) const {
        const std::size_t K = system_.cvs.size();
        return K + k * K - k * (k + 1) / 2 + l;
    }

    void fixman() {
        system_.fixman.inputs = system_.fixman.slots = system_.dim;
        if (!system_.gradient) {
            const std::vector<NodeId> g(
                system_.closure_nodes.begin() + static_cast<std::ptrdiff_t>(system_.cvs.size()),
                system_.closure_nodes.end());
            with_key("cv.variables",
                     [&] { system_.fixman_nodes = held_correction(system_, along_, g); });
            system_.fixman = lowered("cv.variables", system_.fixman_nodes);
            return;
        }
        if (system_.linear_cvs() || system_.cvs.size() > 2) return;
        with_key("cv.variables", [&] {
            NodeId determinant = dot(cv_gradients_[0], cv_gradients_[0]);
            if (cv_gradients_.size() == 2) {
                const NodeId mixed = dot(cv_gradients_[0], cv_gradients_[1]);
                determinant =
                    graph_.sub(graph_.mul(determinant, dot(cv_gradients_[1], cv_gradients_[1])),
                               graph_.pow(mixed, graph_.constant(2.0)));
            }
            for (NodeId g : graph_.gradient(determinant, system_.dim))
                system_.fixman_nodes.push_back(
                    graph_.mul(graph_.constant(0.5 / system_.beta), graph_.div(g, determinant)));
        });
        system_.fixman = lowered("cv.variables", system_.fixman_nodes);
    }

    const FormulaSystemText& text_;
    Symbols symbols_;
    FormulaSystem system_;
    Expressions& graph_;
    std::vector<std::vector<NodeId>> cv_gradients_, along_;  // ∇ξ_k; D∇ξ_k, without a potential
};

}  // namespace

FormulaSystem make_formula_system(const FormulaSystemText& text) { return Builder(text).build(); }

bool FormulaSystem::linear_cvs() const {
    return std::all_of(cvs.begin(), cvs.end(), [](const Cv& cv) { return cv.linear; });
}

int FormulaSystem::held_coordinate() const {
    if (!gradient || cvs.size() != 1 || !cvs[0].linear || cvs[0].offset != 0) return -1;
    const std::vector<double>& w = cvs[0].weights;
    const auto one = std::find(w.begin(), w.end(), 1.0);
    if (std::count(w.begin(), w.end(), 0.0) + 1 != std::ssize(w) || one == w.end()) return -1;
    return static_cast<int>(one - w.begin());
}

float FormulaSystem::noise_amplitude() const {
    if (noise != Noise::diagonal || !noise_constant) return 0.0f;
    const double sigma = noise_values.front();
    const bool one = std::all_of(noise_values.begin(), noise_values.end(),
                                 [sigma](double other) { return other == sigma; });
    return one && sigma > 0.0 ? static_cast<float>(sigma) : 0.0f;
}

double FormulaSystem::pull_unit(std::size_t k) const {
    const std::optional<double>& first = cvs[0].diffusion;
    const std::optional<double>& own = cvs[k].diffusion;
    return first && own && *first > 0.0 ? *own / *first : 1.0;
}

FormulaSystem with_energy(const FormulaSystem& system) {
    FormulaSystem result = system;
    std::vector<NodeId> outputs = place_force_outputs(result);
    outputs.push_back(system.potential_node);
    result.force = result.potential = lower(system.graph, outputs, system.dim);
    return result;
}

}  // namespace microlift
