#include "sampling/run/stages/consistency/consistency.h"

#include <algorithm>
#include <cmath>

#include "sampling/lift/relax.h"
#include "sampling/run/lifted.h"

namespace microlift {

namespace {

constexpr index kMinimise = 3000;  // steps down the gradient, of dt each

class Starts {
public:
    Starts(Run& run, Lifter& lifter, const std::vector<CvValue>& values)
        : run_(run), lifter_(lifter), values_(values),
          moves_(run.stream, run.model, lifter, values, moves_config(run, 9000)),
          D_(static_cast<std::size_t>(run.model.dim())), V_(values.size()),
          block_(V_ * static_cast<std::size_t>(kConsistencyEach)) {
        out_.sources = {"lifted"};
        if (moves_.coordinates()) out_.sources.push_back("reweighted");
        out_.sources.insert(out_.sources.end(), {"nearest", "minimised"});
        out_.x.resize(D_ * out_.sources.size() * block_);
    }
    void lift();
    void take_stored(const StoredCvs& xi);
    StartingStates result() { return std::move(out_); }

private:
    void put(std::size_t source, const std::vector<float>& x);  // (dim, value, state)
    void spread(std::size_t source, const Buffer<float>& one_a_value);
    std::vector<float> nearest(const StoredCvs& xi);  // (dim, value)
    void minimise(const Buffer<float>& s, Buffer<float>& x);

    Run& run_;
    Lifter& lifter_;
    const std::vector<CvValue>& values_;
    LiftedMoves moves_;
    const std::size_t D_, V_, block_;
    StartingStates out_;
};

void Starts::put(std::size_t source, const std::vector<float>& x) {
    const std::size_t n = out_.sources.size() * block_;
    for (std::size_t d = 0; d < D_; ++d)
        std::copy_n(x.begin() + static_cast<std::ptrdiff_t>(d * block_), block_,
                    out_.x.begin() + static_cast<std::ptrdiff_t>(d * n + source * block_));
}

void Starts::lift() {
    const auto n = static_cast<index>(block_);
    const Buffer<float> s = conditions(run_, values_, kConsistencyEach);
    Buffer<float> x(run_.device, static_cast<index>(D_) * n);
    lifter_.lift(s.span(), n, derived_seed(run_.config.seed, 9001), 0, x.span());
    out_.lifted_residual = residual(run_, x, s, n);
    const std::vector<float> as_lifted = to_host(run_.stream, Span<const float>(x.span()));
    // As healing begins: outliers that no integrator bears are led back first.
    calm(run_.stream, run_.model, run_.config.integrator, s.span(), n, x.span());
    const std::vector<float> calmed = to_host(run_.stream, Span<const float>(x.span()));
    // More than a small part of a step's noise.
    const double outlier = 0.01 * std::sqrt(2 * run_.model.kt() * run_.config.integrator.dt);
    for (std::size_t i = 0; i < block_; ++i) {
        double moved = 0;
        for (std::size_t d = 0; d < D_; ++d)
            moved = std::max(moved, std::fabs(static_cast<double>(calmed[d * block_ + i]) -
                                              static_cast<double>(as_lifted[d * block_ + i])));
        out_.outliers += moved > outlier;
    }
    put(0, calmed);
    if (!moves_.coordinates()) return;
    moves_.start(kConsistencyEach, x.span(), true);
    put(1, to_host(run_.stream, Span<const float>(x.span())));
}

std::vector<float> Starts::nearest(const StoredCvs& xi) {
    const SampleSet& samples = run_.samples;
    std::vector<float> near(D_ * V_);
    for (std::size_t c = 0; c < V_; ++c) {
        index best = 0;
        double least = 1e300;
        for (index j = 0; j < samples.n; ++j) {
            double apart = 0;
            for (int k = 0; k < run_.grid.dims; ++k) {
                const double d =
                    run_.grid.apart(k, xi(k, j), values_[c][static_cast<std::size_t>(k)]) / run_.grid.width(k);
                apart += d * d;
            }
            if (apart < least) {
                least = apart;
                best = j;
            }
        }
        for (std::size_t d = 0; d < D_; ++d)
            copy_to_host(run_.stream, near.data() + d * V_ + c,
                         Span<const float>(samples.x.span().subspan(
                             static_cast<index>(d) * samples.row + best, 1)));
    }
    return near;
}

void Starts::spread(std::size_t source, const Buffer<float>& one_a_value) {
    const std::vector<float> host = to_host(run_.stream, Span<const float>(one_a_value.span()));
    std::vector<float> all(D_ * block_);
    for (std::size_t d = 0; d < D_; ++d)
        for (std::size_t i = 0; i < block_; ++i)
            all[d * block_ + i] =
                host[d * V_ + i / static_cast<std::size_t>(kConsistencyEach)];
    put(source, all);
}

// Noiseless: the drift at infinite β is the force; held on ξ by Newton steps.
void Starts::minimise(const Buffer<float>& s, Buffer<float>& x) {
    const auto n = static_cast<index>(V_);
    Buffer<float> f(run_.device, run_.model.force_rows() * n);
    for (index step = 0; step < kMinimise; ++step) {
        run_.model.forces(run_.stream, x.span(), n, n, f.span());
        descend(run_.stream, f.span(), static_cast<float>(run_.config.integrator.dt),
                x.span().subspan(0, static_cast<index>(D_) * n));
        if (step % 10 == 9 || step + 1 == kMinimise)
            run_.model.project(run_.stream, s.span(), n, n, x.span(), n, 1);
    }
}

// The stored sample whose ξ is nearest, moved onto the value; and the same, minimised.
void Starts::take_stored(const StoredCvs& xi) {
    const auto n = static_cast<index>(V_);
    const std::vector<float> near = nearest(xi);
    const Buffer<float> s = conditions(run_, values_, 1);
    Buffer<float> x(run_.device, static_cast<index>(D_) * n);
    copy_to_device(run_.stream, x.span(), near.data());
    run_.model.project(run_.stream, s.span(), n, n, x.span(), n, 10);
    spread(out_.sources.size() - 2, x);
    minimise(s, x);
    spread(out_.sources.size() - 1, x);
}

}  // namespace

StartingStates starting_states(Run& run, Lifter& lifter, const std::vector<CvValue>& values,
                               const StoredCvs& xi) {
    Starts starts(run, lifter, values);
    starts.lift();
    starts.take_stored(xi);
    return starts.result();
}

}  // namespace microlift
