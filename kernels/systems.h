// The built-in systems: drift, potential, noise and observation, per lane.
//
// A system is a struct with
//   static constexpr int dim, n_observed;  static constexpr bool gradient (drift = −∇V, noise from β);
//   force<M>(x, f)      f = drift at unit mobility (for gradient systems −∇V; energy / length)
//   potential<M>(x)     V, gradient systems only
//   add_noise(x, z, s, f)  f += σ(x)·z·s: the diffusion applied to standard normals z, s = sqrt(dt)
//   observe<M>(x, y)    what is measured instead of the state, n_observed values (0: the state itself)
// and its parameters as plain floats. To add one: write the struct here, add its line to
// sampling/systems.cpp.
#pragma once

#include "kernels/math.h"

namespace microlift {

// Overdamped Langevin noise dX = … + sqrt(2/β) dW, shared by the gradient systems.
struct ThermalNoise {
    float sigma;  // sqrt(2/β)
    template <class L, int D>
    LANE_FN void add_noise(const L (&)[D], const L (&z)[D], float s, L (&f)[D]) const {
        const L scale = broadcast<L>(sigma * s);
LANE_UNROLL
        for (int d = 0; d < D; ++d) f[d] = fma(scale, z[d], f[d]);
    }
    template <class M, class L, int D>
    LANE_FN void observe(const L (&)[D], L (&)[1]) const {}
};

// V = height (x² − 1)².
struct DoubleWell : ThermalNoise {
    static constexpr int dim = 1, n_observed = 0;
    static constexpr bool gradient = true;
    float height;

    template <class M, class L>
    LANE_FN void force(const L (&x)[1], L (&f)[1]) const {
        f[0] = broadcast<L>(-4.0f * height) * x[0] * fma(x[0], x[0], broadcast<L>(-1.0f));
    }
    template <class M, class L>
    LANE_FN L potential(const L (&x)[1]) const {
        return broadcast<L>(height) * square(fma(x[0], x[0], broadcast<L>(-1.0f)));
    }
};

// V = (x² − 1)² + k/2 (y − x)².
struct Channel : ThermalNoise {
    static constexpr int dim = 2, n_observed = 0;
    static constexpr bool gradient = true;
    float k;

    template <class M, class L>
    LANE_FN void force(const L (&x)[2], L (&f)[2]) const {
        const L spring = broadcast<L>(k) * (x[1] - x[0]);
        f[0] = fma(broadcast<L>(-4.0f) * x[0], fma(x[0], x[0], broadcast<L>(-1.0f)), spring);
        f[1] = -spring;
    }
    template <class M, class L>
    LANE_FN L potential(const L (&x)[2]) const {
        return fma(broadcast<L>(0.5f * k), square(x[1] - x[0]),
                   square(fma(x[0], x[0], broadcast<L>(-1.0f))));
    }
};

// V = 3 (x² − 1)² + (½ + 10 x²)(y² − 1)² − 0.4 x y: a barrier in y that ξ = x does not see.
struct HiddenBarrier : ThermalNoise {
    static constexpr int dim = 2, n_observed = 0;
    static constexpr bool gradient = true;

    template <class M, class L>
    LANE_FN void force(const L (&x)[2], L (&f)[2]) const {
        const L a = fma(x[0], x[0], broadcast<L>(-1.0f));
        const L b = fma(x[1], x[1], broadcast<L>(-1.0f));
        const L height = fma(broadcast<L>(10.0f) * x[0], x[0], broadcast<L>(0.5f));
        const L gx = x[0] * fma(broadcast<L>(12.0f), a, broadcast<L>(20.0f) * square(b));
        f[0] = fma(broadcast<L>(0.4f), x[1], -gx);
        f[1] = fma(broadcast<L>(0.4f), x[0], broadcast<L>(-4.0f) * height * x[1] * b);
    }
    template <class M, class L>
    LANE_FN L potential(const L (&x)[2]) const {
        const L a = fma(x[0], x[0], broadcast<L>(-1.0f));
        const L b = fma(x[1], x[1], broadcast<L>(-1.0f));
        const L height = fma(broadcast<L>(10.0f) * x[0], x[0], broadcast<L>(0.5f));
        const L coupling = broadcast<L>(-0.4f) * x[0] * x[1];
        return fma(broadcast<L>(3.0f), square(a), fma(height, square(b), coupling));
    }
};

// Müller and Brown, Theor. Chim. Acta 53 (1979) 75: Σ_k A_k exp(a_k dx² + b_k dx dy + c_k dy²).
struct MullerBrown : ThermalNoise {
    static constexpr int dim = 2, n_observed = 0;
    static constexpr bool gradient = true;
    static constexpr int terms = 4;

    struct Term {
        float amplitude, a, b, c, x0, y0;
    };
    static LANE_FN constexpr Term term(int k) {
        constexpr Term table[terms] = {{-200.0f, -1.0f, 0.0f, -10.0f, 1.0f, 0.0f},
                                       {-100.0f, -1.0f, 0.0f, -10.0f, 0.0f, 0.5f},
                                       {-170.0f, -6.5f, 11.0f, -6.5f, -0.5f, 1.5f},
                                       {15.0f, 0.7f, 0.6f, 0.7f, -1.0f, 1.0f}};
        return table[k];
    }

    template <class M, class L>
    LANE_FN void force(const L (&x)[2], L (&f)[2]) const {
        f[0] = f[1] = broadcast<L>(0.0f);
LANE_UNROLL
        for (int k = 0; k < terms; ++k) {
            const Term t = term(k);
            const L dx = x[0] - broadcast<L>(t.x0), dy = x[1] - broadcast<L>(t.y0);
            // The gradient of the quadratic form q; q itself is half of it times (dx, dy).
            L qx = broadcast<L>(2.0f * t.a) * dx, qy = broadcast<L>(2.0f * t.c) * dy;
            if (t.b != 0.0f) {
                qx = fma(broadcast<L>(t.b), dy, qx);
                qy = fma(broadcast<L>(t.b), dx, qy);
            }
            const L q = fma(qx, dx, qy * dy) * broadcast<L>(0.5f);
            const L e = broadcast<L>(-t.amplitude) * exp<M>(q);
            f[0] = fma(e, qx, f[0]);
            f[1] = fma(e, qy, f[1]);
        }
    }
    template <class M, class L>
    LANE_FN L potential(const L (&x)[2]) const {
        L v = broadcast<L>(0.0f);
LANE_UNROLL
        for (int k = 0; k < terms; ++k) {
            const Term t = term(k);
            const L dx = x[0] - broadcast<L>(t.x0), dy = x[1] - broadcast<L>(t.y0);
            const L q = fma(broadcast<L>(t.a) * dx, dx,
                            fma(broadcast<L>(t.b) * dx, dy, broadcast<L>(t.c) * dy * dy));
            v = fma(broadcast<L>(t.amplitude), exp<M>(q), v);
        }
        return v;
    }
};

// dx1 = a1 dt + a2 dW1, dx2 = a3 (1 − x2) dt + a4 dW2, seen as y = x2 (cos, sin)(x1 + x2 − 1).
struct FastSlow {
    static constexpr int dim = 2, n_observed = 2;
    static constexpr bool gradient = false;
    float a1, a2, a3, a4;

    template <class M, class L>
    LANE_FN void force(const L (&x)[2], L (&f)[2]) const {
        f[0] = broadcast<L>(a1);
        f[1] = fma(broadcast<L>(-a3), x[1], broadcast<L>(a3));
    }
    template <class L>
    LANE_FN void add_noise(const L (&)[2], const L (&z)[2], float s, L (&f)[2]) const {
        f[0] = fma(broadcast<L>(a2 * s), z[0], f[0]);
        f[1] = fma(broadcast<L>(a4 * s), z[1], f[1]);
    }
    template <class M, class L>
    LANE_FN void observe(const L (&x)[2], L (&y)[2]) const {
        L s, c;
        sincos<M>(x[0] + x[1] - broadcast<L>(1.0f), s, c);
        y[0] = x[1] * c;
        y[1] = x[1] * s;
    }
};

}  // namespace microlift
