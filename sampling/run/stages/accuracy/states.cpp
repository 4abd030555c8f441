#include "sampling/run/stages/accuracy/states.h"

#include <algorithm>

namespace microlift {

namespace {

constexpr index kStates = 131072, kWork = 20000000;  // of all windows together, about
constexpr index kFewest = 128, kMost = 8192;        // of one window
constexpr index kReplicas = 128;                    // of one window, at most

}  // namespace

std::vector<WindowStates> drawn_states(Run& run, Span<const float> x, index row,
                                       const std::vector<SampleBlock>& blocks, index operations) {
    const int dim = run.model.dim();
    const index all = std::min(kStates, kWork / std::max<index>(1, operations));
    const index each = std::clamp(all / std::max<index>(1, run.windows.size()), kFewest, kMost);
    std::vector<WindowStates> drawn;
    for (const SampleBlock& block : blocks) {
        const index replicas = std::min({block.replicas, kReplicas, each});
        const index times = std::min(block.samples, std::max<index>(1, each / replicas));
        const index trajectories = block.trajectories();
        const std::size_t first = drawn.size();
        for (index w = 0; w < block.windows; ++w)
            drawn.push_back({block.first_window + w, replicas, times,
                             std::vector<std::vector<double>>(static_cast<std::size_t>(dim))});
        std::vector<float> states(static_cast<std::size_t>(trajectories));
        for (int d = 0; d < dim; ++d)
            for (index t = 0; t < times; ++t) {
                const index at = block.first + (2 * t + 1) * block.samples / (2 * times) * trajectories;
                copy_to_host(run.stream, states.data(), x.subspan(d * row + at, trajectories));
                for (index w = 0; w < block.windows; ++w) {
                    auto& to = drawn[first + static_cast<std::size_t>(w)].x[static_cast<std::size_t>(d)];
                    const auto from = states.begin() + w * block.replicas;
                    to.insert(to.end(), from, from + replicas);
                }
            }
    }
    return drawn;
}

BiasedDrift::BiasedDrift(const Run& run) : run_(run) {
    const FormulaSystem& system = run.model.formulas();
    Expressions graph = system.graph;
    std::vector<NodeId> terms = system.drift_nodes;
    terms.insert(terms.end(), system.cv_nodes.begin(), system.cv_nodes.end());
    along_cv_.resize(dim());
    for (const NodeId xi : system.cv_nodes) {
        const std::vector<NodeId> gradient = graph.gradient(xi, system.dim);
        for (std::size_t d = 0; d < dim(); ++d)
            if (!graph.is_constant(gradient[d], 0.0)) along_cv_[d] = true;
    }
    terms.insert(terms.end(), system.pull_nodes.begin(), system.pull_nodes.end());
    terms_ = std::make_unique<BatchEvaluator>(graph, terms);
    operations_ = static_cast<index>(graph.reachable(terms).size());
    noise_ = std::make_unique<BatchEvaluator>(graph, system.noise_nodes);
    if (!has_energy()) return;
    std::vector<NodeId> energy{system.potential_node};
    energy.insert(energy.end(), system.cv_nodes.begin(), system.cv_nodes.end());
    energy_ = std::make_unique<BatchEvaluator>(graph, energy);
}

StateRows BiasedDrift::values(const BatchEvaluator& evaluator, const StateRows& x) {
    const std::size_t n = x[0].size();
    std::vector<double> flat, out(evaluator.outputs() * n);
    for (const auto& row : x) flat.insert(flat.end(), row.begin(), row.end());
    evaluator(flat.data(), n, n, out.data());
    StateRows rows;
    for (std::size_t o = 0; o < evaluator.outputs(); ++o)
        rows.emplace_back(out.begin() + static_cast<std::ptrdiff_t>(o * n),
                          out.begin() + static_cast<std::ptrdiff_t>((o + 1) * n));
    return rows;
}

StateRows BiasedDrift::drift(index window, const StateRows& x) const {
    const StateRows terms = values(*terms_, x);
    const auto w = static_cast<std::size_t>(window);
    StateRows drift(terms.begin(), terms.begin() + static_cast<std::ptrdiff_t>(dim()));
    for (std::size_t k = 0; k < cvs(); ++k)
        for (std::size_t d = 0; d < dim(); ++d) {
            const std::vector<double>&xi = terms[dim() + k], &pull = terms[dim() + cvs() + k * dim() + d];
            for (std::size_t i = 0; i < drift[d].size(); ++i)
                drift[d][i] +=
                    run_.windows.stiffness[w][k] *
                    run_.windows.apart(static_cast<int>(k), run_.windows.center[w][k], xi[i]) * pull[i];
        }
    return drift;
}

std::vector<double> BiasedDrift::energy(index window, const StateRows& x) const {
    const StateRows terms = values(*energy_, x);
    const auto w = static_cast<std::size_t>(window);
    std::vector<double> energy = terms[0];
    for (std::size_t k = 0; k < cvs(); ++k)
        for (std::size_t i = 0; i < energy.size(); ++i) {
            const double r =
                run_.windows.apart(static_cast<int>(k), terms[1 + k][i], run_.windows.center[w][k]);
            energy[i] += 0.5 * run_.windows.stiffness[w][k] * r * r;
        }
    return energy;
}

StateRows BiasedDrift::kicks(const StateRows& x) const {
    const StateRows sigma = values(*noise_, x);
    const std::size_t columns = sigma.size() / dim();
    StateRows kicks(dim(), std::vector<double>(x[0].size(), 0.0));
    for (std::size_t e = 0; e < sigma.size(); ++e)
        for (std::size_t i = 0; i < x[0].size(); ++i) {
            const std::size_t source = columns == 1 ? e : e % columns;
            const bool up = derived_seed(run_.config.seed + source, 9700 + i) & 1;
            kicks[e / columns][i] += up ? sigma[e][i] : -sigma[e][i];
        }
    return kicks;
}

StateRows BiasedDrift::noise(const StateRows& x) const {
    const StateRows sigma = values(*noise_, x);
    const std::size_t columns = sigma.size() / dim();  // 1, or dim
    StateRows square(dim(), std::vector<double>(x[0].size(), 0.0));
    for (std::size_t e = 0; e < sigma.size(); ++e)
        for (std::size_t i = 0; i < x[0].size(); ++i)
            square[e / columns][i] += sigma[e][i] * sigma[e][i];
    return square;
}

}  // namespace microlift
