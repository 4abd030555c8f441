#include "sampling/rates/coordinate.h"

#include <array>

#include "engine/at.h"
#include "engine/config/value.h"

namespace microlift {

namespace {

// Names that formulas can have; cv_1 and cv_2 for others.
Symbols names_of(const Model& model) {
    Symbols symbols;
    for (const std::string& name : model.cv_names()) {
        const std::string plain = "cv_" + std::to_string(symbols.variables.size() + 1);
        symbols.variables.push_back(name);
        try {
            check_names(symbols);
        } catch (const FormulaError&) {
            symbols.variables.back() = plain;
        }
    }
    return symbols;
}

NodeId parse(Expressions& graph, const std::string& key, const std::string& text, const Symbols& symbols) {
    try {
        return parse_formula(graph, text, symbols);
    } catch (const FormulaError& error) {
        std::string known;
        for (const std::string& name : symbols.variables) known += (known.empty() ? "" : ", ") + name;
        throw KeyError(key, "key '" + key + "': " + error.message(),
                       "write a formula of the collective variables: " + known);
    }
}

Program program_of(const Model& model, const RatesConfig& rates) {
    const Symbols symbols = names_of(model);
    const LevelLadder ladder = ladder_of(rates);
    Expressions graph;
    const NodeId progress =
        graph.mul(graph.constant(ladder.sign), rates.progress.empty()
                                                   ? graph.variable(0)
                                                   : parse(graph, "rates.progress", rates.progress, symbols));
    std::array<NodeId, RateCoordinate::rows> outputs{progress, 0, 0};
    for (const auto& [key, state, row, side] :
         {std::tuple{"rates.from", &rates.from, RateCoordinate::from, 1.0},
          std::tuple{"rates.to", &rates.to, RateCoordinate::to, -1.0}})
        outputs[at(row)] =
            state->value ? graph.mul(graph.constant(side),
                                     graph.sub(progress, graph.constant(ladder.sign * *state->value)))
                         : parse(graph, key, distance_formula(key, state->formula), symbols);
    return lower(graph, outputs, model.n_cvs());
}

// Whether the progress coordinate has this variable in it.
bool goes_along(const Model& model, const RatesConfig& rates, int variable) {
    if (rates.progress.empty()) return variable == 0;
    Expressions graph;
    (void)parse(graph, "rates.progress", rates.progress, names_of(model));
    for (NodeId id = 0; id < graph.size(); ++id)
        if (graph.node(id).op == Op::variable && graph.node(id).a == variable) return true;
    return false;
}

}  // namespace

RateCoordinate::RateCoordinate(const Device& device, const Model& model, const RatesConfig& rates)
    : by_value_(rates.from.value && rates.to.value && rates.progress.empty()),
      program_(device, program_of(model, rates)) {}

void check_rates(const RatesConfig& rates, const ModelConfig& config, const Model& model) {
    if (!rates.enabled) return;
    (void)program_of(model, rates);
    const CvVariable& cv = config.cv.variables[0];
    int turning = -1;  // the variable with a period that states by value are counted along
    for (int k = model.n_cvs() - 1; k >= 0; --k) {
        const bool turns = config.cv.variables[at(k)].period > 0 || model.turn(k) > 0;
        if (turns && goes_along(model, rates, k)) turning = k;
    }
    for (const auto& [key, state] : {std::pair{"rates.from", &rates.from}, std::pair{"rates.to", &rates.to}}) {
        if (!state->value) continue;
        if (turning >= 0)
            throw KeyError(key,
                           "key '" + std::string(key) + "' is a value along " + model.cv_names()[at(turning)] +
                               ", which goes all round: a state up to a value has no other end",
                           "give the states by formulas, and a progress coordinate that grows between them: from = "
                           "\"abs(phi) > 2.6\", to = \"abs(phi) < 1.5\", progress = \"cos(phi)\", levels = [-0.6, -0.2]");
        if (!rates.progress.empty()) continue;
        const bool positive = cv.kind == "distance" || cv.kind == "coordination" || cv.kind == "gyration" ||
                              cv.kind == "rmsd" || cv.kind == "angle";
        constexpr double kHalfTurn = 3.141592653589793;
        if ((positive && *state->value < 0) || (cv.kind == "angle" && *state->value > kHalfTurn))
            throw KeyError(key,
                           "key '" + std::string(key) + "' is " + toml_number(*state->value) + ", which " +
                               model.cv_names()[0] + ", " + (cv.kind == "angle" ? "an angle" : "a " + cv.kind) +
                               ", never is",
                           cv.kind == "angle" ? "give a value from 0 to pi" : "give a value above 0");
    }
}

}  // namespace microlift
