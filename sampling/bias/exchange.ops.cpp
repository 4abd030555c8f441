#include "sampling/bias/exchange.h"

#include "engine/launch/lanes.h"
#include "kernels/dynamics/bias.h"
#include "kernels/lane/whole.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"

namespace microlift {

struct ExchangeBody {
    static constexpr index kGrain = 64;
    ExchangeGrid grid;
    int dim, cvs, axis;
    index first, n;
    uint64 seed, attempt;
    const float* xi;
    WindowView windows;
    float* x;
    float* v;
    uint64* accepted;

    // β U of variable k under the bias of trajectory `of`.
    LANE_FN float energy(int k, index of, float value) const {
        return PeriodicBias<float, 1>(windows.variable(k), of)
            .times({grid.beta[k]})
            .energy({value}, 0.0f);
    }

    // i counts (other axis window, pair along the axis, replica).
    LANE_FN void operator()(index i) const {
        const index pairs = grid.pairs(axis, first);
        const index both = quotient(i, grid.replicas), r = i - both * grid.replicas;
        const index other = quotient(both, pairs), pair = both - other * pairs;
        const index lower = grid.lower(axis, first, pair), upper = grid.upper(axis, lower);
        const auto trajectory = [&](index w) {
            return (axis == 0 ? w * grid.windows[1] + other : other * grid.windows[1] + w) *
                       grid.replicas + r;
        };
        const index a = trajectory(lower), b = trajectory(upper);
        float change = 0;
        for (int k = 0; k < cvs; ++k) {
            const float xa = xi[k * n + a], xb = xi[k * n + b];
            change += energy(k, a, xb) + energy(k, b, xa) - energy(k, a, xa) - energy(k, b, xb);
        }
        const PhiloxStream<float> rng(seed, kStreamAccept, a);
        uint32 u[4];
        rng.draw(attempt, u);
        atomic_add(&accepted[1], 1);
        if (!(log<Portable>(uniform_open<float>(u[0])) < -change)) return;
        atomic_add(&accepted[0], 1);
        for (int d = 0; d < dim; ++d) {
            const float keep = x[d * n + a];
            x[d * n + a] = x[d * n + b];
            x[d * n + b] = keep;
            if (v) {
                const float keep_v = v[d * n + a];
                v[d * n + a] = v[d * n + b];
                v[d * n + b] = keep_v;
            }
        }
    }
};

HOST_PASS_BEGIN

void exchange_neighbours(Stream& stream, Ensemble& ensemble, const ExchangeGrid& grid, int axis,
                         index first, uint64 seed, uint64 attempt, Span<const float> xi,
                         Span<uint64> accepted) {
    const index pairs = grid.pairs(axis, first);
    const index others = grid.windows[1 - axis];
    for_each_index(stream, pairs * others * grid.replicas,
                   ExchangeBody{grid, ensemble.kernel().dim(), ensemble.kernel().n_cvs(), axis,
                                first, ensemble.size(), seed, attempt, xi.data,
                                ensemble.windows(), ensemble.x().data,
                                ensemble.kernel().has_velocity() ? ensemble.v().data : nullptr,
                                accepted.data});
}

HOST_PASS_END

}  // namespace microlift
