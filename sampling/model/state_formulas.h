// Energies, forces and collective variables of single states, in double precision.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "sampling/formula/formula.h"
#include "sampling/model/model_config.h"

namespace microlift {

// Potential or drift, and collective variables, as expressions. Of a molecule the latter alone.
class StateFormulas {
public:
    explicit StateFormulas(const ModelConfig& model);
    bool has_energy() const { return potential_.has_value(); }
    double energy(std::span<const double> x) const { return graph_.evaluate(*potential_, x); }
    // −∂V/∂x_d, or the drift of a system that has no potential.
    double force(std::span<const double> x, index d) const {
        const double f = graph_.evaluate(force_[static_cast<std::size_t>(d)], x);
        return has_energy() ? -f : f;
    }
    double cv(std::span<const double> x, index k) const {
        return graph_.evaluate(cvs_[static_cast<std::size_t>(k)], x);
    }

private:
    Symbols symbols_;
    Expressions graph_;
    std::optional<NodeId> potential_;
    std::vector<NodeId> force_, cvs_;
};

}  // namespace microlift
