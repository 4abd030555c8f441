// Compiled first-passage kernels of the built-in systems and of tables, and the detection for paths
// that were stored.
#include "kernels/dynamics/systems.h"
#include "sampling/closure/first_passage.h"
#include "sampling/closure/first_passage_kernels.h"

namespace microlift {

struct PassageStartBody {
    int dim;
    index slots, total;
    const float* start;
    float* x;
    LANE_FN void operator()(index i) const {
        for (int d = 0; d < dim; ++d) x[d * slots + i] = start[d * total + i];
    }
};

// One slot: the crossings of a stored path. Column s · slots + i is the state after step s; what a slot
// did after its passage is thrown away, and its next trajectory starts after the last step.
struct StoredPassageBody {
    static constexpr index kGrain = 64;
    PassageArgs a;
    StoredPath p;

    LANE_FN float distance(const PassageSet& set, const float* x, index row, index column,
                           const float* xi, index xi_row) const {
        if (set.kind == PassageSet::ball) {
            float r2 = 0.0f;
            for (int d = 0; d < p.dim; ++d) {
                const float e = x[d * row + column] - set.center[d];
                r2 = fma(e, e, r2);
            }
            return sqrt_exact(r2) - set.radius;
        }
        if (set.kind == PassageSet::none) return 1e30f;
        if (set.kind == PassageSet::ellipse) {
            float r2 = 1e-12f;
            for (int k = 0; k < p.cvs; ++k) {
                const float u = (xi[k * xi_row + column] - set.center[k]) * set.inverse_radius[k];
                r2 = fma(u, u, r2);
            }
            return sqrt_exact(r2) - 1.0f;
        }
        return set.sign * (set.bound - xi[set.k * xi_row + column]);
    }

    // ½|σᵀ∇d|² of the distance d, after a step: D_kl = ½ σᵀ∇ξ_k · σᵀ∇ξ_l follow the drifts in the
    // closure program's outputs.
    LANE_FN float half_noise(const PassageSet& set, index column) const {
        if (set.kind == PassageSet::ball) return p.ball_diffusion;
        if (set.kind == PassageSet::cv) return p.closure[(p.cvs + 2 * set.k) * p.row + column];
        float g[kMaxCvs], r2 = 1e-12f, sum = 0.0f;
        for (int k = 0; k < p.cvs; ++k) {
            const float u = (p.xi[k * p.row + column] - set.center[k]) * set.inverse_radius[k];
            g[k] = u * set.inverse_radius[k];
            r2 = fma(u, u, r2);
        }
        for (int k = 0, o = p.cvs; k < p.cvs; ++k)
            for (int l = k; l < p.cvs; ++l, ++o)
                sum = fma((k == l ? 1.0f : 2.0f) * g[k] * g[l], p.closure[o * p.row + column], sum);
        return sum / r2;
    }

    LANE_FN void operator()(index i) const {
        const index current = i + static_cast<index>(a.turn[i]) * a.slots;
        if (current >= a.total) return;
        const PhiloxStream<float> bridge(a.seed, a.bridge_stream, i);
        float d0[2], d1[2];
        for (int b = 0; b < 2; ++b)
            d0[b] = distance(a.sets[b], p.begin_x, a.slots, i, p.begin_xi, a.slots);
        for (index s = 0; s < p.steps; ++s) {
            const index column = s * a.slots + i;
            const uint64 now = a.first_step + static_cast<uint64>(s);
            uint32 u[4], v[4];
            bool drawn = false;
            int which = -1;
            float moment = 2.0f;
            for (int b = 0; b < 2; ++b) {
                const PassageSet& set = a.sets[b];
                if (set.kind == PassageSet::none) continue;
                d1[b] = distance(set, p.x, p.row, column, p.xi, p.row);
                const float variance = 2.0f * half_noise(set, column) * a.dt;
                const float q = 2.0f * d0[b] * d1[b] / max(variance, 1e-30f);
                bool hit = d1[b] <= 0.0f || d0[b] <= 0.0f;
                if (!hit && !(q < 16.0f)) continue;
                if (!drawn) {
                    bridge.draw(2 * now, u);
                    bridge.draw(2 * now + 1, v);
                    drawn = true;
                }
                if (!hit) hit = uniform_open<float>(u[b]) <= exp<Portable>(-q);
                if (!hit) continue;
                float normal, other;
                box_muller<Portable, float>(v[2 * b], v[2 * b + 1], normal, other);
                const float m = bridge_moment(d0[b], d1[b], variance, normal,
                                              uniform_open<float>(u[2 + b]));
                if (m < moment) {
                    moment = m;
                    which = b;
                }
            }
            if (which >= 0) {
                a.time[current] = a.dt * (static_cast<float>(now - a.born[i]) + moment);
                a.entered[current] = which + 1;
                a.turn[i] += 1;
                a.born[i] = a.first_step + static_cast<uint64>(p.steps);
                atomic_add(&a.status[2], 1);
                const index next = current + a.slots;
                if (next < a.total)
                    for (int d = 0; d < p.dim; ++d)
                        a.x[d * a.slots + i] = a.start[d * a.total + next];
                return;
            }
            for (int b = 0; b < 2; ++b) d0[b] = d1[b];
        }
    }
};

HOST_PASS_BEGIN

void start_passages(Stream& stream, int dim, index slots, index total, Span<const float> start,
                    Span<float> x) {
    for_each_index(stream, slots, PassageStartBody{dim, slots, total, start.data, x.data});
}

void find_stored_passages(Stream& stream, const PassageArgs& args, const StoredPath& path) {
    for_each_index(stream, args.slots, StoredPassageBody{args, path});
}

std::unique_ptr<PassageKernel> table_passage_kernel(double from, double to, Span<const float> drift,
                                                    Span<const float> sigma) {
    const double points = static_cast<double>(drift.size);
    LinearCv<1, 1> cv{};
    cv.weight[0][0] = 1.0f;
    const TableSystem system{static_cast<float>(from),
                             static_cast<float>((points - 1) / (to - from)),
                             static_cast<int>(drift.size), drift.data, sigma.data};
    return std::make_unique<TypedPassageKernel<TableSystem, LinearCv<1, 1>>>(system, cv, false);
}

std::unique_ptr<PassageKernel> plane_passage_kernel(const std::array<double, 2>& from,
                                                    const std::array<double, 2>& to,
                                                    const std::array<index, 2>& points,
                                                    Span<const float> table) {
    PlaneTableSystem system{};
    LinearCv<2, 2> cv{};
    for (std::size_t k = 0; k < 2; ++k) {
        system.from[k] = static_cast<float>(from[k]);
        system.inverse_width[k] =
            static_cast<float>(static_cast<double>(points[k] - 1) / (to[k] - from[k]));
        system.points[k] = static_cast<int>(points[k]);
        cv.weight[k][k] = 1.0f;
    }
    system.table = table.data;
    return std::make_unique<TypedPassageKernel<PlaneTableSystem, LinearCv<2, 2>>>(system, cv, false);
}

std::unique_ptr<PassageKernel> builtin_passage_kernel(const std::string& name,
                                                      std::span<const double> p,
                                                      const PathSetup& s) {
    const ThermalNoise noise{static_cast<float>(std::sqrt(2 / s.beta))};
    const auto f = [&](std::size_t i) { return static_cast<float>(p[i]); };
    if (name == "double_well") return make_passage_kernel(DoubleWell{noise, f(0)}, s);
    if (name == "channel") return make_passage_kernel(Channel{noise, f(0)}, s);
    if (name == "hidden_barrier") return make_passage_kernel(HiddenBarrier{noise}, s);
    if (name == "muller_brown") return make_passage_kernel(MullerBrown{noise}, s);
    if (name == "fast_slow") return make_passage_kernel(FastSlow{f(0), f(1), f(2), f(3)}, s);
    return nullptr;
}

HOST_PASS_END

}  // namespace microlift
