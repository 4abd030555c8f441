#include "engine/launch/lanes.h"
#include "sampling/lift/relax.h"

namespace microlift {

struct DescendBody {
    const float* force;
    float* x;
    float step;
    LANE_FN void operator()(index i) const { x[i] = fma(step, force[i], x[i]); }
};

// Only states with a larger step than `limit` in some variable move, by no more than it in each.
struct CalmBody {
    const float* force;
    float* x;
    float step, limit;
    int dim;
    index n;
    LANE_FN void operator()(index i) const {
        float most = 0.0f;
        for (int d = 0; d < dim; ++d) most = max(abs(step * force[d * n + i]), most);
        if (!(most > limit)) return;
        for (int d = 0; d < dim; ++d)
            x[d * n + i] += min(max(step * force[d * n + i], -limit), limit);
    }
};

HOST_PASS_BEGIN

void descend(Stream& stream, Span<const float> force, float step, Span<float> x) {
    for_each_index(stream, x.size, DescendBody{force.data, x.data, step});
}

void calm_step(Stream& stream, Span<const float> force, float step, float limit, int dim, index n,
               Span<float> x) {
    for_each_index(stream, n, CalmBody{force.data, x.data, step, limit, dim, n});
}

HOST_PASS_END

}  // namespace microlift
