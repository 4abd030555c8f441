// Do collective variables jump? A bias feels nothing of a jump, so trajectories cross it at will, and
// each window holds what belongs to another. Between samples that follow each other in a trajectory the
// way is halved again and again, towards the larger difference: of a continuous function it vanishes.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>
#include <random>

#include "sampling/run/checks.h"
#include "sampling/run/stages/jumps.h"

namespace microlift {

namespace {

constexpr index kPieces = 32, kPiece = 128;  // pairs of samples, in pieces that lie together
constexpr int kHalvings = 48;
constexpr double kOfWindow = 1e-2;  // of the width of a window: what a jump has to be

// Samples and those that follow them: two sets of states, (variable, pair).
struct Pairs {
    StateRows first, second;
    std::size_t count() const { return first[0].size(); }
};

Pairs draw_pairs(Run& run) {
    const SampleSet& samples = run.samples;
    const auto dims = static_cast<std::size_t>(run.model.dim());
    Pairs pairs{StateRows(dims), StateRows(dims)};
    std::mt19937_64 random(1);
    for (index p = 0; p < kPieces; ++p) {
        const SampleBlock& block =
            samples.blocks[static_cast<std::size_t>(p) % samples.blocks.size()];
        if (block.samples < 2) continue;
        const index n = std::min(kPiece, block.trajectories());
        const auto below = [&](index many) {
            return static_cast<index>(random() % static_cast<uint64>(many));
        };
        const index time = below(block.samples - 1), who = below(block.trajectories() - n + 1);
        const index column = block.first + time * block.trajectories() + who;
        std::vector<float> states(static_cast<std::size_t>(n));
        for (std::size_t d = 0; d < dims; ++d)
            for (StateRows* to : {&pairs.first, &pairs.second}) {
                const index shift = to == &pairs.second ? block.trajectories() : 0;
                const index from = static_cast<index>(d) * samples.row + column + shift;
                copy_to_host(run.stream, states.data(), samples.x.span().subspan(from, n));
                (*to)[d].insert((*to)[d].end(), states.begin(), states.end());
            }
    }
    return pairs;
}

std::vector<double> values(const BatchEvaluator& xi, const StateRows& x) {
    const std::size_t n = x[0].size();
    std::vector<double> flat, out(n);
    for (const auto& row : x) flat.insert(flat.end(), row.begin(), row.end());
    xi(flat.data(), n, n, out.data());
    return out;
}

// What is left of the differences of ξ at the end of all halvings.
std::vector<double> remaining(const BatchEvaluator& xi, double period, Pairs pairs) {
    const auto apart = [&](double a, double b) {
        return std::fabs(period > 0 ? std::remainder(b - a, period) : b - a);
    };
    std::vector<double> low = values(xi, pairs.first), high = values(xi, pairs.second);
    StateRows middle = pairs.first;
    for (int step = 0; step < kHalvings; ++step) {
        for (std::size_t d = 0; d < middle.size(); ++d)
            for (std::size_t i = 0; i < pairs.count(); ++i)
                middle[d][i] = 0.5 * (pairs.first[d][i] + pairs.second[d][i]);
        const std::vector<double> at = values(xi, middle);
        for (std::size_t i = 0; i < pairs.count(); ++i) {
            const bool before = apart(low[i], at[i]) > apart(at[i], high[i]);
            (before ? high : low)[i] = at[i];
            for (std::size_t d = 0; d < middle.size(); ++d)
                (before ? pairs.second : pairs.first)[d][i] = middle[d][i];
        }
    }
    for (std::size_t i = 0; i < low.size(); ++i) low[i] = apart(low[i], high[i]);
    return low;
}

bool may_jump(const Expressions& graph, NodeId xi) {
    const std::vector<NodeId> nodes = graph.reachable({&xi, 1});
    return std::ranges::any_of(nodes, [&](NodeId id) {
        const Op op = graph.node(id).op;
        return op == Op::sign || op == Op::less || op == Op::div || op == Op::tan || op == Op::atan;
    });
}

}  // namespace

void check_jumps(Run& run) {
    const FormulaSystem& system = run.model.formulas();
    const Checking check(run, "jumps");
    std::optional<Pairs> pairs;
    for (std::size_t k = 0; k < system.cv_nodes.size(); ++k) {
        const CvVariable& variable = run.config.cv.variables[k];
        if (!variable.file.empty() || !may_jump(system.graph, system.cv_nodes[k])) continue;
        if (!pairs) pairs = draw_pairs(run);
        if (pairs->count() == 0) return;
        const BatchEvaluator xi(system.graph, {system.cv_nodes[k]});
        // Windows on a part of the turn have no period, but the way between two states may go all round.
        const double period = variable.kind == "dihedral" ? 2 * std::numbers::pi : variable.period;
        const std::vector<double> left = remaining(xi, period, *pairs);
        double stiffest = 0;
        for (const CvValue& stiffness : run.windows.stiffness)
            stiffest = std::max(stiffest, stiffness[k]);
        const double least =
            kOfWindow / std::sqrt(std::max(run.model.cv_beta()[k] * stiffest, 1e-300));
        double most = 0, crossed = 0;
        for (const double jump : left) {
            if (!(jump > least)) continue;
            ++crossed;
            most = std::max(most, jump);
        }
        if (crossed > 0)
            run.warn("the collective variable " + run.model.cv_names()[k] + " jumps, by up to " +
                     number(most) + ", between " +
                     number(100 * crossed / static_cast<double>(left.size())) +
                     " % of the samples and those that follow them: a bias does not feel a jump, so "
                     "that its windows and its free energy are wrong; choose a variable without one");
    }
}

}  // namespace microlift
