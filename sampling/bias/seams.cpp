// Windows all round a periodic variable take the system for the same a period on: forces have to be,
// and no work may be done on the way round, else a current goes round and no law exp(−V/kT) holds.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>

#include "engine/config/checks.h"
#include "engine/config/value.h"
#include "engine/text.h"
#include "sampling/bias/cv_checks.h"
#include "sampling/formula/cuts.h"

namespace microlift {
namespace {

constexpr int kStates = 16;          // of each length
constexpr double kUnlike = 0.01;     // of the forces' size: periods are given with a few digits
constexpr double kMostWork = 0.05;   // kT
// Over a turn that is too short forces change little, and as much as anywhere within it.
constexpr double kOfChange = 0.25;
constexpr double kRounding = 1e-6;
constexpr std::array<double, 3> kWithin{0.146, 0.382, 0.618};  // of a turn
constexpr index kPartsOfTurn = 512;  // of the way round, for the work along it
constexpr double kOfSeam = 1e-3;   // digits of a period that may be left out
constexpr int kScales = 48;          // halvings and doublings of a turn that is looked for

StateRows evaluated(const Expressions& graph, const std::vector<NodeId>& nodes, const StateRows& x) {
    const std::size_t n = x[0].size();
    const BatchEvaluator evaluate(graph, nodes);
    std::vector<double> flat, out(nodes.size() * n);
    for (const auto& row : x) flat.insert(flat.end(), row.begin(), row.end());
    evaluate(flat.data(), n, n, out.data());
    StateRows rows;
    for (std::size_t o = 0; o < nodes.size(); ++o)
        rows.emplace_back(out.begin() + static_cast<std::ptrdiff_t>(o * n),
                          out.begin() + static_cast<std::ptrdiff_t>((o + 1) * n));
    return rows;
}

// Along one variable, which changes by `turn` where ξ does by its period.
class Seam {
public:
    Seam(const FormulaSystem& system, std::size_t variable, double turn, double begin)
        : system_(system), terms_(system.drift_nodes), variable_(variable), turn_(turn), begin_(begin) {
        terms_.insert(terms_.end(), system.noise_nodes.begin(), system.noise_nodes.end());
    }

    // Whether forces and noise are the same a turn on, at states of several lengths of the other variables.
    bool forces_meet() const {
        for (const double length : {0.01, 0.1, 1.0, 10.0}) {
            const StateRows x = states(length);
            const StateRows here = evaluated(system_.graph, terms_, x),
                       there = evaluated(system_.graph, terms_, moved(x, turn_));
            std::vector<StateRows> within;
            for (const double part : kWithin)
                within.push_back(evaluated(system_.graph, terms_, moved(x, part * turn_)));
            for (std::size_t d = 0; d < here.size(); ++d) {
                double size = 0, change = 0, inside = 0;
                for (std::size_t i = 0; i < here[d].size(); ++i) {
                    const double difference = there[d][i] - here[d][i];
                    if (!std::isfinite(difference)) continue;
                    size += here[d][i] * here[d][i] + there[d][i] * there[d][i];
                    change += difference * difference;
                    for (const StateRows& w : within)
                        if (std::isfinite(w[d][i]))
                            inside = std::max(inside, std::pow(w[d][i] - here[d][i], 2));
                }
                if (change > kUnlike * kUnlike * size) return false;
                if (change > kRounding * kRounding * size && change > kOfChange * inside) return false;
            }
        }
        return true;
    }

    // Of the drift on the way round in kT; of a matrix of noise it is not looked at.
    double work() const {
        double least = std::numeric_limits<double>::infinity();
        if (system_.noise != FormulaSystem::Noise::diagonal) return 0;
        for (const double length : {0.01, 0.1, 1.0}) {
            const StateRows x = states(length);
            std::vector<double> sum(x[0].size(), 0.0);
            for (index i = 0; i < kPartsOfTurn; ++i) {
                const double part = static_cast<double>(i) / static_cast<double>(kPartsOfTurn);
                const StateRows along = moved(x, part * turn_);
                const StateRows b = evaluated(system_.graph, {system_.drift_nodes[variable_]}, along),
                           sigma =
                               evaluated(system_.graph, {system_.noise_nodes[variable_]}, along);
                for (std::size_t j = 0; j < sum.size(); ++j)
                    sum[j] += 2 * b[0][j] / (sigma[0][j] * sigma[0][j]) * turn_ /
                              static_cast<double>(kPartsOfTurn);
            }
            for (const double work : sum)
                if (std::isfinite(work)) least = std::min(least, std::fabs(work));
        }
        return std::isfinite(least) ? least : 0;
    }

private:
    StateRows states(double length) const {
        std::mt19937_64 random(1);
        const auto between = [&] { return static_cast<double>(random() >> 11) * 0x1p-52 - 1.0; };
        StateRows x(static_cast<std::size_t>(system_.dim), std::vector<double>(kStates));
        for (std::size_t d = 0; d < x.size(); ++d)
            for (double& v : x[d])
                v = d == variable_ ? begin_ + 0.5 * turn_ * (1 + between()) : length * between();
        return x;
    }
    StateRows moved(StateRows x, double by) const {
        for (double& v : x[variable_]) v += by;
        return x;
    }

    const FormulaSystem& system_;
    std::vector<NodeId> terms_;
    std::size_t variable_;
    double turn_, begin_;
};

// ξ that is curved and has no cut, as the sum of a variable and a sine of it: a turn is a shift of one
// variable by which ξ changes by its period, wherever it begins.
class CurvedTurn {
public:
    CurvedTurn(const FormulaSystem& system, std::size_t k, std::size_t variable, double period)
        : system_(system), node_(system.cv_nodes[k]), variable_(variable), period_(period),
          states_(static_cast<std::size_t>(system.dim), std::vector<double>(kStates)) {
        std::mt19937_64 random(2);
        for (auto& row : states_)
            for (double& v : row) v = static_cast<double>(random() >> 11) * 0x1p-52 - 1.0;
    }

    // 0: there is none.
    double find() const {
        for (std::size_t i = 0; i < kStates; ++i)
            for (const double sign : {1.0, -1.0})
                if (const double shift = first_from(i, sign); shift != 0 && holds(shift)) return shift;
        return 0;
    }

private:
    // By how much ξ changes along a shift, from every state.
    std::vector<double> changes(double shift) const {
        StateRows there = states_;
        for (double& v : there[variable_]) v += shift;
        std::vector<double> after = evaluated(system_.graph, {node_}, there)[0];
        const std::vector<double> before = evaluated(system_.graph, {node_}, states_)[0];
        for (std::size_t i = 0; i < after.size(); ++i) after[i] -= before[i];
        return after;
    }
    // The first shift of a state after which ξ has changed by a period.
    double first_from(std::size_t state, double sign) const {
        const auto far = [&](double shift) { return std::fabs(changes(sign * shift)[state]) >= period_; };
        double low = 0, high = std::ldexp(period_, -kScales / 2);
        for (int i = 0; i < kScales && !far(high); ++i) low = high, high *= 2;
        if (!far(high)) return 0;
        constexpr int kSlices = 64;  // ξ may come back within the last doubling
        for (int i = 1; i < kSlices; ++i)
            if (const double at = low + (high - low) * i / kSlices; far(at)) {
                high = at;
                break;
            }
        for (int i = 0; i < 60; ++i) {
            const double middle = 0.5 * (low + high);
            (far(middle) ? high : low) = middle;
        }
        return sign * high;
    }
    bool holds(double shift) const {
        for (const double change : changes(shift))
            if (std::isfinite(change) && std::fabs(std::fabs(change) - period_) > kOfSeam * period_)
                return false;
        return true;
    }

    const FormulaSystem& system_;
    NodeId node_;
    std::size_t variable_;
    double period_;
    StateRows states_;
};

// An angle of two variables that jumps by two of the periods given takes states on opposite sides for one
// another: whether forces there are opposite, too.
bool opposite_sides_alike(const FormulaSystem& system, std::size_t k) {
    Expressions graph = system.graph;
    const std::vector<NodeId> slopes = graph.gradient(system.cv_nodes[k], system.dim);
    for (const double length : {0.1, 1.0, 10.0}) {
        std::mt19937_64 random(3);
        StateRows x(static_cast<std::size_t>(system.dim), std::vector<double>(kStates));
        for (auto& row : x)
            for (double& v : row) v = length * (static_cast<double>(random() >> 11) * 0x1p-52 - 1.0);
        StateRows there = x;
        std::vector<double> sign(x.size(), 1.0);
        for (std::size_t d = 0; d < x.size(); ++d) {
            if (graph.is_constant(slopes[d])) continue;
            sign[d] = -1;
            for (double& v : there[d]) v = -v;
        }
        const StateRows before = evaluated(graph, system.drift_nodes, x),
                   after = evaluated(graph, system.drift_nodes, there);
        for (std::size_t d = 0; d < x.size(); ++d)
            for (std::size_t i = 0; i < before[d].size(); ++i)
                if (std::fabs(after[d][i] - sign[d] * before[d][i]) > kUnlike * std::fabs(before[d][i]))
                    return false;
    }
    return true;
}

// A variable that may go round: by how much it changes in a turn, and where that begins.
struct Turn {
    std::size_t variable;
    double turn, begin;
};

std::vector<Turn> turns_of(const FormulaSystem& system, std::size_t k, double period, double from) {
    std::vector<Turn> found;
    const FormulaSystem::Cv& cv = system.cvs[k];
    for (std::size_t d = 0; d < static_cast<std::size_t>(system.dim); ++d) {
        if (!cv.linear) {
            if (const double turn = CurvedTurn(system, k, d, period).find(); turn != 0)
                found.push_back({d, turn, 0});
        } else if (cv.weights[d] != 0.0) {
            found.push_back({d, period / cv.weights[d], (from - cv.offset) / cv.weights[d]});
        }
    }
    return found;
}

// The cut of an angle is where its turn ends, in the same state; half a turn before it is in another.
void find_other_sides(const FormulaSystem& system, const std::vector<double>& jumps, double period,
                      std::size_t k, const Model& model) {
    const bool twice = std::any_of(jumps.begin(), jumps.end(), [&](double jump) {
        return std::round(jump / period) == 2;
    });
    // A molecule turned by half is another.
    if (!twice || (!model.molecule() && opposite_sides_alike(system, k))) return;
    throw KeyError("cv.variables[" + std::to_string(k) + "]",
                   "the windows go all round '" + printable(model.cv_names()[k], 80) +
                       "', which jumps by two of its periods: values a period apart are states on "
                       "opposite sides, where the forces are others, and windows do not lead from one to "
                       "the other",
                   "give the period " + toml_number(2 * period) + " and windows all round that");
}

void find_seam(const ModelConfig& config, const UmbrellaConfig& umbrella, const Model& model,
               std::size_t k) {
    const FormulaSystem& system = model.formulas();
    const double period = config.cv.variables[k].period;
    if (!umbrella.all_round(k)) return;
    const std::vector<double> jumps =
        system.cvs[k].linear ? std::vector<double>{} : jumps_of(system.graph, system.cv_nodes[k]);
    if (!jumps.empty()) return find_other_sides(system, jumps, period, k, model);
    const std::vector<Turn> turns = turns_of(system, k, period, umbrella.from[k]);
    const std::string name = printable(model.cv_names()[k], 80);
    if (turns.empty())
        throw KeyError("cv.variables[" + std::to_string(k) + "]",
                       "the windows go all round '" + name + "', but no shift of a variable changes it by "
                           "its period " + toml_number(period) + " wherever it begins",
                       "leave 'period' out, or give the one that it has");
    bool meets = false;
    double work = 0;
    for (std::size_t i = 0; i < turns.size() && !meets; ++i) {
        const Seam seam(system, turns[i].variable, turns[i].turn, turns[i].begin);
        meets = seam.forces_meet();
        if (meets) work = seam.work();
    }
    if (meets && work < kMostWork) return;
    throw KeyError("cv.variables[" + std::to_string(k) + "]",
                   "the windows go all round '" + name +
                       "', but the system is not the same a period on: " +
                       (meets ? "on the way round a work of " + number(work, 4) +
                                    " kT is done, so a current goes round, and the law is not "
                                    "exp(-V/kT) of any V"
                              : "its forces are others there"),
                   "correct 'period' or the formulas, or leave a part of the turn out");
}

}  // namespace

void check_seams(Checks& checks, const ModelConfig& config, const UmbrellaConfig& umbrella,
                 const Model& model) {
    checks.with({"umbrella", "cv.variables"}, [&] {
        for (std::size_t k = 0; k < config.cv.variables.size(); ++k)
            find_seam(config, umbrella, model, k);
    });
}

}  // namespace microlift
