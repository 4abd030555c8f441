// Systems from formulas as C++ (declared in system.h).
#include <algorithm>
#include <optional>

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

// Whether dynamics that is held needs a correction of its force.
bool corrects_held(const FormulaSystem& system) {
    return std::ranges::any_of(system.fixman.outputs, [](const ProgramOutput& out) {
        return out.kind != ProgramOutput::Kind::constant || out.value != 0.0f;
    });
}

// Targets of a program's outputs from `first` on; the others are not assigned.
std::vector<std::string> placed(const Program& program, int first,
                                const std::vector<std::string>& targets) {
    std::vector<std::string> all(program.outputs.size());
    std::copy(targets.begin(), targets.end(), all.begin() + first);
    return all;
}

// The noise of one variable after the other: of a matrix a row's sum over the normals comes first, as an
// integrator has combined them.
std::string noise_source(const FormulaSystem& system, const std::vector<std::string>& x) {
    const int dim = system.dim, entries = static_cast<int>(system.noise_nodes.size());
    const bool matrix = system.noise == FormulaSystem::Noise::matrix;
    // The functions in a state-dependent noise are always the portable ones: add_noise has no policy.
    std::string text = "    template <class L>\n    LANE_FN void add_noise(const " +
                       array_type("x", dim) + ", const " + array_type("z", dim) + ", float s, " +
                       array_type("f", dim) + ") const {\n        using M = Portable;\n";
    const auto constant = [&](int e) -> std::optional<float> {
        if (system.noise_constant)
            return static_cast<float>(system.noise_values[static_cast<std::size_t>(e)]);
        const auto output = static_cast<std::size_t>(system.noise_output + e);
        if (!system.force.is_constant(output)) return std::nullopt;
        return system.force.outputs[output].value;
    };
    const auto name = [](int e) { return std::string("n").append(std::to_string(e)); };
    if (!system.noise_constant) {
        std::vector<std::string> targets;
        for (int e = 0; e < entries; ++e)
            targets.push_back(constant(e) ? std::string() : "const L " + name(e));
        text += indent(
            source_statements(system.force, x, placed(system.force, system.noise_output, targets)));
    }
    for (int d = 0; d < dim; ++d) {
        const std::string f = "f[" + std::to_string(d) + "]";
        std::string sum = "broadcast<L>(0.0f)";
        for (int e = 0; e < (matrix ? dim : 1); ++e) {
            const int entry = matrix ? d * dim + e : d;
            const std::optional<float> value = constant(entry);
            if (value && *value == 0.0f) continue;
            const std::string sigma =
                value ? "broadcast<L>(" + source_literal(*value) + ")" : name(entry);
            const std::string z = "z[" + std::to_string(matrix ? e : d) + "]";
            if (matrix)
                sum = "fma(" + sigma + ", " + z + ", " + sum + ")";
            else
                text += "        " + f + " = fma(" +
                        (value ? "broadcast<L>(" + source_literal(*value) + " * s)"
                               : name(entry) + " * broadcast<L>(s)") +
                        ", " + z + ", " + f + ");\n";
        }
        if (matrix) text += "        " + f + " = fma(broadcast<L>(s), " + sum + ", " + f + ");\n";
    }
    return text + "    }\n";
}

// The directions that a bias acts along, where they are not evaluate()'s gradients or these are not those
// of the bytecode, which computes them together with the force; of held variables, on their own.
std::string pull_source(const FormulaSystem& system, const std::string& signature,
                        Directions directions) {
    const int dim = system.dim, n = static_cast<int>(system.cvs.size());
    const bool held = directions == Directions::held || directions == Directions::in_place;
    if (system.gradient && (held || system.linear_cvs())) return "";
    const auto unit_of = [&](int k) {
        return directions == Directions::of_one_bias ? system.pull_unit(static_cast<std::size_t>(k)) : 1.0;
    };
    const auto row = [&](int k) { return elements("pull[" + std::to_string(k) + "]", dim); };
    std::string text;
    std::vector<std::string> targets(system.force.outputs.size()), all;
    for (int k = 0; k < n; ++k) {
        const FormulaSystem::Cv& cv = system.cvs[static_cast<std::size_t>(k)];
        const std::string xi = "xi[" + std::to_string(k) + "]";
        const std::vector<std::string> of = row(k);
        all.insert(all.end(), of.begin(), of.end());
        if (cv.linear)
            text += linear_value(cv, xi);
        else if (held)
            text += xi + " = broadcast<L>(0.0f);\n";  // nobody asks
        else
            targets[static_cast<std::size_t>(cv.value_output)] = xi;
        if (held) continue;
        const double unit = unit_of(k);
        if (cv.pull.empty())
            std::copy(of.begin(), of.end(), targets.begin() + cv.pull_output);
        for (std::size_t d = 0; d < cv.pull.size(); ++d)
            text += of[d] + " = broadcast<L>(" +
                    source_literal(static_cast<float>(unit * cv.pull[d])) + ");\n";
    }
    text += held ? source_statements(system.pull, elements("x", dim), all)
                 : source_statements(system.force, elements("x", dim), targets);
    for (int k = 0; k < n; ++k) {
        const FormulaSystem::Cv& cv = system.cvs[static_cast<std::size_t>(k)];
        const double unit = unit_of(k);
        if (held || !cv.pull.empty() || unit == 1.0) continue;
        for (const std::string& element : row(k))
            text += element + " = " + element + " * broadcast<L>(" +
                    source_literal(static_cast<float>(unit)) + ");\n";
    }
    return signature + indent(text) + "    }\n";
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

    text += "    template <class M, class L>\n    LANE_FN void force(const " +
            array_type("x", dim) + ", " + array_type("f", dim) + ") const {\n" +
            indent(source_statements(system.force, x, placed(system.force, 0, elements("f", dim))));
    if (constrained && corrects_held(system))
        text += "        L c[" + std::to_string(dim) + "];\n        {\n" +
                indent(source_statements(system.fixman, x, elements("c", dim))) +
                "        }\nLANE_UNROLL\n        for (int d = 0; d < dim; ++d) f[d] = f[d] - c[d];\n";
    text += "    }\n";

    text += "    template <class M, class L>\n    LANE_FN L potential(const " +
            array_type(system.gradient ? "x" : "", dim) + ") const {\n";
    if (system.gradient) {
        const auto last = static_cast<int>(system.potential.outputs.size()) - 1;
        text += indent(source_statements(system.potential, x, placed(system.potential, last, {"L v"}))) +
                "        return v;\n    }\n";
    } else {
        text += "        return broadcast<L>(0.0f);\n    }\n";
    }

    text += noise_source(system, x);
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

std::string cv_source(const FormulaSystem& system, const std::string& name,
                      Directions directions) {
    const int dim = system.dim, n = static_cast<int>(system.cvs.size());
    const auto signature = [&](const std::string& called, const std::string& vectors) {
        return "    template <class M, class L>\n    LANE_FN void " + called + "(const " +
               array_type("x", dim) + ", " + array_type("xi", n) + ", L (&" + vectors + ")[" +
               std::to_string(n) + "][" + std::to_string(dim) + "]) const {\n";
    };
    std::vector<std::string> targets = elements("xi", n);
    std::string linear;
    for (int k = 0; k < n; ++k) {
        const FormulaSystem::Cv& cv = system.cvs[static_cast<std::size_t>(k)];
        if (!cv.linear) continue;
        linear += linear_value(cv, targets[static_cast<std::size_t>(k)]);
        targets[static_cast<std::size_t>(k)].clear();
    }
    for (int k = 0; k < n; ++k)
        for (std::string& element : elements("gradient[" + std::to_string(k) + "]", dim))
            targets.push_back(std::move(element));
    return "struct " + name + " {\n    static constexpr int n = " + std::to_string(n) + ";\n" +
           (system.linear_cvs() ? "    static constexpr bool linear = true;\n" : "") +
           (directions == Directions::in_place
                ? "    static constexpr int held_coordinate = " + std::to_string(system.held_coordinate()) + ";\n"
                : std::string()) +
           signature("evaluate", "gradient") +
           indent(linear + source_statements(system.cv, elements("x", dim), targets)) + "    }\n" +
           pull_source(system, signature("evaluate_pull", "pull"), directions) +
           (system.gradient ? add_gradient_source(system) : std::string()) + "};\n";
}

}  // namespace microlift
