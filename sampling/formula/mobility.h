// How noise and collective variables of a system go together: D = ½σσᵀ, the directions D∇ξ, and what a
// bias or a constraint along them needs to have a known law.
#pragma once

#include <optional>
#include <vector>

#include "sampling/formula/system.h"

namespace microlift {

// σᵀ g and D g, of a vector of expressions of the system's graph.
std::vector<NodeId> noise_transposed_times(FormulaSystem& system, const std::vector<NodeId>& g);
std::vector<NodeId> mobility_times(FormulaSystem& system, const std::vector<NodeId>& g);

// The value of an expression that is the same at all states: a constant of the graph, or equal within
// rounding at many random states of all sizes. Nothing where it is not.
std::optional<double> constant_value(const Expressions& graph, NodeId f, int dim);

// What a system given by drift and noise leaves to subtract from its drift where ξ is held, so that it
// samples the conditional measure: Σ_kl (G⁻¹)_kl (D∇ξ_l·∇) D∇ξ_k, with G_kl = ∇ξ_k·D∇ξ_l. It is the
// gradient of (1/2β) ln det(∇ξ_k·∇ξ_l) where D = 1/β. `along` are the D∇ξ_k, `g` the G_kl with k ≤ l.
// Empty where it is zero: constant D∇ξ, or one ξ with constant D and G.
std::vector<NodeId> held_correction(FormulaSystem& system,
                                    const std::vector<std::vector<NodeId>>& along,
                                    const std::vector<NodeId>& g);

// Does a system given by drift and noise have a stationary law without currents, b = −D∇V + ∇·D for some
// V? Tried at random states, to a thousandth; unknown for a matrix of noise that depends on the state.
enum class DetailedBalance { holds, broken, unknown };
DetailedBalance detailed_balance(const FormulaSystem& system);

}  // namespace microlift
