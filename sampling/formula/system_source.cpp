// Systems from formulas as C++ (declared in system.h).
#include <algorithm>

#include "sampling/formula/system.h"

namespace microlift {

namespace {

std::vector<std::string> elements(const std::string& name, int count) {
    std::vector<std::string> result;
    for (int i = 0; i < count; ++i) result.push_back(name + "[" + std::to_string(i) + "]");
    return result;
}

std::string indent(const std::string& statements) {
    std::string result;
    for (std::size_t start = 0; start < statements.size();) {
        const std::size_t end = statements.find('\n', start);
        result += "        " + statements.substr(start, end - start) + "\n";
        start = end + 1;
    }
    return result;
}

std::string array_type(const std::string& name, int n) {
    return "L (&" + name + ")[" + std::to_string(n) + "]";
}

// A linear CV as a statement: the sum in the order of the bytecode's.
std::string linear_value(const FormulaSystem::Cv& cv, const std::string& target) {
    const auto offset = static_cast<float>(cv.offset);
    std::string sum = "broadcast<L>(" + source_literal(offset) + ")";
    bool bare = offset == 0.0f;  // a coordinate needs no sum
    for (std::size_t d = 0; d < cv.weights.size(); ++d) {
        const auto w = static_cast<float>(cv.weights[d]);
        if (w == 0.0f) continue;
        const std::string x = "x[" + std::to_string(d) + "]";
        sum = bare && w == 1.0f ? x
                                : "fma(broadcast<L>(" + source_literal(w) + "), " + x + ", " + sum + ")";
        bare = false;
    }
    return target + " = " + sum + ";\n";
}

// add_gradient() of a CV struct, where elements of the gradients are 0: these are left out.
std::string add_gradient_source(const FormulaSystem& system) {
    const int dim = system.dim, n = static_cast<int>(system.cvs.size());
    bool sparse = false;
    std::string sums;
    for (int k = 0; k < n; ++k) {
        std::string one;
        for (int d = 0; d < dim; ++d) {
            const auto o = static_cast<std::size_t>(n + k * dim + d);
            if (system.cv.is_constant(o) && system.cv.outputs[o].value == 0.0f) {
                sparse = true;
                continue;
            }
            const std::string f = "f[" + std::to_string(d) + "]";
            one += " " + f + " = fma(a, gradient[k][" + std::to_string(d) + "], " + f + ");";
        }
        sums += "        if (k == " + std::to_string(k) + ") {" + one + " }\n";
    }
    const std::string size = "[" + std::to_string(n) + "][" + std::to_string(dim) + "]";
    if (!sparse) return {};
    return "    template <class L>\n    static LANE_FN void add_gradient(L a, const L (&gradient)" + size +
           ", int k, " + array_type("f", dim) + ") {\n" + sums + "    }\n";
}

}  // namespace

std::string system_source(const FormulaSystem& system, const std::string& name, bool constrained) {
    const int dim = system.dim, observed = system.observe.outputs.empty()
                                               ? 0
                                               : static_cast<int>(system.observe.outputs.size());
    const std::vector<std::string> x = elements("x", dim);
    std::string text = "struct " + name + " {\n    static constexpr int dim = " +
                       std::to_string(dim) + ", n_observed = " + std::to_string(observed) +
                       ";\n    static constexpr bool gradient = " +
                       (system.gradient ? "true" : "false") + ";\n\n";

    std::vector<NodeId> drift = system.drift_nodes;
    Expressions graph = system.graph;
    if (constrained && !system.fixman_nodes.empty()) {
        for (std::size_t d = 0; d < drift.size(); ++d)
            drift[d] = graph.sub(drift[d], system.fixman_nodes[d]);
    }
    text += "    template <class M, class L>\n    LANE_FN void force(const " +
            array_type("x", dim) + ", " + array_type("f", dim) + ") const {\n" +
            indent(source_statements(lower(graph, drift, dim), x, elements("f", dim))) + "    }\n";

    text += "    template <class M, class L>\n    LANE_FN L potential(const " +
            array_type(system.gradient ? "x" : "", dim) + ") const {\n";
    if (system.gradient) {
        const std::vector<std::string> v{"L v"};
        text += indent(source_statements(system.potential, x, v)) + "        return v;\n    }\n";
    } else {
        text += "        return broadcast<L>(0.0f);\n    }\n";
    }

    // The functions in a state-dependent noise are always the portable ones: add_noise has no policy.
    text += "    template <class L>\n    LANE_FN void add_noise(const " + array_type("x", dim) +
            ", const " + array_type("z", dim) + ", float s, " + array_type("f", dim) +
            ") const {\n        using M = Portable;\n";
    const Program noise = lower(system.graph, system.noise_nodes, dim);
    const int entries = static_cast<int>(system.noise_nodes.size());
    const auto entry_name = [](int e) { return std::string("n").append(std::to_string(e)); };
    std::vector<std::string> targets;
    for (int e = 0; e < entries; ++e)
        targets.push_back(noise.is_constant(static_cast<std::size_t>(e))
                              ? std::string()
                              : "const L " + entry_name(e));
    text += indent(source_statements(noise, x, targets));
    for (int e = 0; e < entries; ++e) {
        const bool matrix = system.noise == FormulaSystem::Noise::matrix;
        const int row = matrix ? e / dim : e, column = matrix ? e % dim : e;
        const std::size_t entry = static_cast<std::size_t>(e);
        std::string scale;
        if (noise.is_constant(entry)) {
            if (noise.outputs[entry].value == 0.0f) continue;
            scale = "broadcast<L>(" + source_literal(noise.outputs[entry].value) + " * s)";
        } else {
            scale = entry_name(e) + " * broadcast<L>(s)";
        }
        const std::string f = "f[" + std::to_string(row) + "]";
        text += "        " + f + " = fma(" + scale + ", z[" + std::to_string(column) + "], " + f +
                ");\n";
    }
    text += "    }\n";
    if (system.milstein_fits()) {
        text += "    template <class L>\n    LANE_FN void add_noise_slope(const " + array_type("x", dim) +
                ", const " + array_type("z", dim) + ", float s, " + array_type("f", dim) +
                ") const {\n        using M = Portable;\n        L slope[" + std::to_string(dim) +
                "];\n" +
                indent(source_statements(system.noise_slope, x, elements("slope", dim))) +
                "LANE_UNROLL\n        for (int d = 0; d < dim; ++d) f[d] = fma(slope[d] * "
                "broadcast<L>(s), z[d], f[d]);\n    }\n";
    }
    if (const float sigma = system.noise_amplitude(); sigma > 0.0f)
        text += "    LANE_FN float noise_amplitude() const { return " + source_literal(sigma) + "; }\n";

    text += "    template <class M, class L>\n    LANE_FN void observe(const " +
            array_type("x", dim) + ", " + array_type("y", std::max(observed, 1)) + ") const {\n" +
            indent(source_statements(system.observe, x, elements("y", observed))) + "    }\n};\n";
    return text;
}

std::string cv_source(const FormulaSystem& system, const std::string& name, bool one_unit) {
    const int dim = system.dim, n = static_cast<int>(system.cvs.size());
    const std::string size = "[" + std::to_string(n) + "][" + std::to_string(dim) + "]";
    // A function of x that gives ξ and a vector for each, the outputs of `program`.
    const auto function = [&](const std::string& called, const std::string& vectors,
                              const Program& program) {
        std::vector<std::string> targets = elements("xi", n);
        std::string linear;
        for (int k = 0; k < n; ++k) {
            const FormulaSystem::Cv& cv = system.cvs[static_cast<std::size_t>(k)];
            if (!cv.linear) continue;
            linear += linear_value(cv, targets[static_cast<std::size_t>(k)]);
            targets[static_cast<std::size_t>(k)].clear();
        }
        for (int k = 0; k < n; ++k)
            for (std::string& element : elements(vectors + "[" + std::to_string(k) + "]", dim))
                targets.push_back(std::move(element));
        return "    template <class M, class L>\n    LANE_FN void " + called + "(const " +
               array_type("x", dim) + ", " + array_type("xi", n) + ", L (&" + vectors + ")" + size +
               ") const {\n" +
               indent(linear + source_statements(program, elements("x", dim), targets)) + "    }\n";
    };
    std::string text = "struct " + name + " {\n    static constexpr int n = " + std::to_string(n) +
                       ";\n" + function("evaluate", "gradient", system.cv);
    if (!system.gradient) {
        Expressions graph = system.graph;
        std::vector<NodeId> outputs = system.cv_nodes;
        for (std::size_t o = 0; o < system.pull_nodes.size(); ++o) {
            const double unit = system.pull_unit(o / static_cast<std::size_t>(dim));
            outputs.push_back(one_unit
                                  ? graph.mul(graph.constant(unit), system.pull_nodes[o])
                                  : system.pull_nodes[o]);
        }
        text += function("evaluate_pull", "pull", lower(graph, outputs, dim));
    } else {
        text += add_gradient_source(system);
    }
    return text + "};\n";
}

}  // namespace microlift
