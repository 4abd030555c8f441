#include "sampling/bias/cv_checks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>

#include "engine/config/checks.h"
#include "engine/config/value.h"
#include "sampling/formula/cuts.h"

namespace microlift {
namespace {

// Squared sine between gradients whose directions are the same, or single precision's same.
constexpr double kParallel = 1e-7;
constexpr int kDecades = 12;         // of lengths, on both sides of 1, since no unit is known
constexpr int kStatesOfDecade = 8;
constexpr double kOfPeriod = 1e-3;   // digits of a period that may be left out

// Trajectories of a window reach this far beyond its centre, and seldom further.
double reach_of_window(const Model& model, const UmbrellaConfig& umbrella, std::size_t k) {
    return 4.0 / std::sqrt(std::max(model.cv_beta()[k] * umbrella.stiffness[k], 1e-300));
}

// All round a period ξ may jump by whole periods, and by nothing else.
void find_jumps(const CvVariable& variable, std::size_t k, const Model& model) {
    for (const double jump : jumps_of(model.formulas().graph, model.formulas().cv_nodes[k])) {
        const double periods = jump / variable.period;
        if (std::fabs(periods - std::round(periods)) < kOfPeriod && periods > 0.5) continue;
        throw KeyError("cv.variables[" + std::to_string(k) + "]",
                       "the collective variable '" + printable(model.cv_names()[k], 80) + "' jumps by " +
                           (std::isinf(jump) ? "a number that depends on the state"
                                             : toml_number(jump)) +
                           " at a cut, which is no multiple of its period " +
                           toml_number(variable.period),
                       "give the period that it has, or a shorter range of windows");
    }
}

// A bias pulls along ξ, not across the cut of an angle, and trajectories that cross one are driven round.
// Where an inverse sine or cosine ends, its slope is infinite, and single precision loses it before.
void find_cuts(const ModelConfig& config, const UmbrellaConfig& umbrella, const Model& model) {
    for (std::size_t k = 0; k < config.cv.variables.size(); ++k) {
        if (model.all_round(k)) {
            find_jumps(config.cv.variables[k], k, model);
            continue;
        }
        const std::optional<Cut> cut =
            cut_of(model.formulas().graph, model.formulas().cv_nodes[k]);
        const bool periodic = config.cv.variables[k].period > 0;
        if (!cut || (std::isinf(cut->low) && !periodic)) continue;
        const double reach = reach_of_window(model, umbrella, k);
        const double from = umbrella.from[k], to = umbrella.to[k];
        if (!std::isinf(cut->low) && from - reach >= cut->low && to + reach <= cut->high) continue;
        const std::string places =
            std::isinf(cut->low) ? "somewhere"
                                 : "at " + toml_number(cut->low) + " and " + toml_number(cut->high);
        const std::string fault =
            cut->ends ? "' ends " + places + ", where its slope is infinite"
                      : "' has a cut " + places + ", where it jumps";
        const std::string room =
            umbrella.shared ? std::string("choose another variable, or ")
                            : "leave room beside them, by a shorter range or a larger 'umbrella.stiffness', or ";
        throw KeyError("cv.variables[" + std::to_string(k) + "]",
                       "the collective variable '" + printable(model.cv_names()[k], 80) + fault +
                           (umbrella.shared ? ", and nothing keeps walkers from there"
                                            : "; the windows cover " + toml_number(from) + " to " + toml_number(to) +
                                                  ", and their samples reach " + toml_number(reach) + " further"),
                       room + (cut->ends ? "write the angle as atan2(y, x) of two lengths, which has "
                                           "no such ends: acos(x/r) is atan2(sqrt(r^2 - x^2), x)"
                                         : "turn the angle so that its cut lies elsewhere, or give "
                                           "its 'period' and let 'umbrella.from' and 'umbrella.to' be "
                                           "one apart, all round"));
    }
}

// The largest squared sine between the two gradients at states of every length; negative if it has no value
// at any of them.
double largest_sine(Expressions& graph, const std::array<NodeId, 2>& xi, int dim) {
    const auto D = static_cast<std::size_t>(dim);
    std::vector<NodeId> gradients;
    for (const NodeId f : xi)
        for (const NodeId g : graph.gradient(f, dim)) gradients.push_back(g);
    const BatchEvaluator evaluate(graph, gradients);
    std::mt19937_64 random(1);
    double largest = -1;
    std::vector<double> x(D), g(gradients.size());
    for (int decade = -kDecades; decade <= kDecades; ++decade)
        for (int i = 0; i < kStatesOfDecade; ++i) {
            for (double& v : x)
                v = std::pow(10.0, decade) * (static_cast<double>(random() >> 11) * 0x1p-52 - 1.0);
            evaluate(x.data(), 1, 1, g.data());
            double a = 0, b = 0;
            for (std::size_t d = 0; d < D; ++d) {
                a = std::hypot(a, g[d]);
                b = std::hypot(b, g[D + d]);
            }
            double along = 0;
            for (std::size_t d = 0; d < D; ++d) along += g[d] / a * (g[D + d] / b);
            double across = 0;
            for (std::size_t d = 0; d < D; ++d)
                across += std::pow(g[D + d] / b - along * (g[d] / a), 2);
            if (std::isfinite(across)) largest = std::max(largest, across);
        }
    return largest;
}

void find_dependent(const ModelConfig& config) {
    const CvVariable &a = config.cv.variables[0], &b = config.cv.variables[1];
    bool dependent = !a.file.empty() && a.file == b.file && a.coordinate == b.coordinate;
    // Far from its landmarks a learned coordinate is flat: states of any length say nothing of it.
    if (a.file.empty() && b.file.empty()) {
        Expressions graph;
        const Symbols symbols = symbols_of(config.system);
        const std::array<NodeId, 2> xi{parse_formula(graph, a.formula, symbols),
                                       parse_formula(graph, b.formula, symbols)};
        const double sine = largest_sine(graph, xi, static_cast<int>(symbols.variables.size()));
        dependent = xi[0] == xi[1] || (sine >= 0 && sine < kParallel);
    }
    if (!dependent) return;
    throw KeyError("cv.variables[1]",
                   "the collective variables '" + printable(a.name, 80) + "' and '" +
                       printable(b.name, 80) +
                       "' depend on one another: their gradients have the same direction everywhere, as "
                       "far as single precision tells",
                   "leave one of them out, or choose another");
}

}  // namespace

void check_single_precision(Checks& checks, const char* key, const std::vector<double>& values,
                            bool may_vanish) {
    checks.with({key}, [&] {
        for (const double value : values) {
            const float single = static_cast<float>(value);
            const bool lost = !may_vanish && value != 0 &&
                              std::fabs(single) < std::numeric_limits<float>::min();
            if (!std::isfinite(single) || lost)
                throw KeyError(key,
                               "key '" + std::string(key) + "' is " + toml_number(value) +
                                   ", beyond single precision, in which it is used",
                               "choose other units");
        }
    });
}

void check_independent(Checks& checks, const ModelConfig& config) {
    if (config.cv.count() != 2) return;
    checks.with({"system", "cv.variables"}, [&] { find_dependent(config); });
}

void check_cuts(Checks& checks, const ModelConfig& config, const UmbrellaConfig& umbrella,
                const Model& model) {
    checks.with({"umbrella", "cv.variables"}, [&] { find_cuts(config, umbrella, model); });
}

}  // namespace microlift
