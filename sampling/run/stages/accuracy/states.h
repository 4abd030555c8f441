// Stored states of every window, in double precision, and what moves them there.
#pragma once

#include "sampling/run/run.h"

namespace microlift {

// Of one window: replicas × times states. Column t·replicas + r is replica r at the t-th time, x[d][column].
struct WindowStates {
    index window = 0, replicas = 0, times = 0;
    StateRows x;
    index count() const { return replicas * times; }
};

// Of states x[d·row + j] in these blocks, evenly spaced in time; of every window a few thousand at most,
// and fewer where the formulas take many operations.
std::vector<WindowStates> drawn_states(Run& run, Span<const float> x, index row,
                                       const std::vector<SampleBlock>& blocks, index operations);

// The drift of the biased dynamics, and the energy behind it where there is one, in double precision.
class BiasedDrift {
public:
    explicit BiasedDrift(const Run& run);
    bool has_energy() const { return run_.model.gradient(); }
    index operations() const { return operations_; }  // of the formulas behind the drift
    // Whether a collective variable depends on it.
    bool along_cv(std::size_t variable) const { return along_cv_[variable]; }
    // drift[d][i] at the states x[d][i], under the bias of a window.
    StateRows drift(index window, const StateRows& x) const;
    // V + U.
    std::vector<double> energy(index window, const StateRows& x) const;
    // σ times random signs.
    StateRows kicks(const StateRows& x) const;
    // σσᵀ_dd.
    StateRows noise(const StateRows& x) const;

private:
    static StateRows values(const BatchEvaluator& evaluator, const StateRows& x);
    std::size_t dim() const { return static_cast<std::size_t>(run_.model.dim()); }
    std::size_t cvs() const { return static_cast<std::size_t>(run_.model.n_cvs()); }

    const Run& run_;
    std::vector<bool> along_cv_;
    index operations_ = 0;
    std::unique_ptr<BatchEvaluator> terms_;   // drift (dim), ξ (K), ∇ξ (K·dim)
    std::unique_ptr<BatchEvaluator> energy_;  // V, ξ (K)
    std::unique_ptr<BatchEvaluator> noise_;   // σ: dim, or dim·dim by rows
};

}  // namespace microlift
