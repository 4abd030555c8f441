// The built-in systems: drift, potential, noise and observation, per lane.
//
// A system is a struct with
//   static constexpr int dim, n_observed;  static constexpr bool gradient (drift = −∇V, noise from β);
//   force<M>(x, f)      f = drift at unit mobility (for gradient systems −∇V; energy / length)
//   potential<M>(x)     V, gradient systems only
//   add_noise(x, z, s, f)  f += σ(x)·z·s: the diffusion applied to standard normals z, s = sqrt(dt)
//   noise_amplitude()   σ, only where it is one number for all variables and states
//   observe<M>(x, y)    what is measured instead of the state, n_observed values (0: the state itself)
// and its parameters as plain floats. To add one: write the struct here, add its line to
// sampling/dynamics/systems.cpp.
#pragma once

#include "kernels/lane/math.h"

namespace microlift {

// Overdamped Langevin noise dX = … + sqrt(2/β) dW, shared by the gradient systems.
struct ThermalNoise {
    float sigma;  // sqrt(2/β)
    // Of a system without an observation of its own, and σ = sqrt(2/β).
    LANE_FN float noise_amplitude() const { return sigma; }
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

    // A exp(a dx² + b dx dy + c dy²) about (x0, y0); A an energy.
    struct Term {
        float amplitude, a, b, c, x0, y0;
    };
    // The k-th of the four.
    static LANE_FN constexpr Term term(int k) {
        constexpr Term table[terms] = {{-200.0f, -1.0f, 0.0f, -10.0f, 1.0f, 0.0f},
                                       {-100.0f, -1.0f, 0.0f, -10.0f, 0.0f, 0.5f},
                                       {-170.0f, -6.5f, 11.0f, -6.5f, -0.5f, 1.5f},
                                       {15.0f, 0.7f, 0.6f, 0.7f, -1.0f, 1.0f}};
        return table[k];
    }

    // The exponents are sums of squares: −X² − Y² of scaled coordinates for the first two terms, and in
    // u = x + y − 1 and w = x − y + 2 (the axes of the other two) −U² − W² and U² + W²/30 (there u is
    // x + y). Scales hold log2(e), and each power of two the factor of its gradient, 2^offset.
    template <class M, class L>
    LANE_FN void force(const L (&x)[2], L (&f)[2]) const {
        constexpr float kX = 1.201122409f;      // sqrt(log2 e)
        constexpr float kY = 3.798282560f;      // sqrt(10 log2 e)
        constexpr float kU = 0.8493218003f;     // sqrt(log2(e) / 2)
        constexpr float kW = 2.942137020f;      // sqrt(6 log2 e)
        constexpr float kOffset[terms] = {8.379473003f, 7.379473003f, 7.645007750f, 4.142507409f};
        const auto k = [](float a) { return broadcast<L>(a); };
        const L x1 = fma(k(kX), x[0], k(-kX)), y1 = k(kY) * x[1];
        const L x2 = k(kX) * x[0], y2 = fma(k(kY), x[1], k(-0.5f * kY));
        const L sum = x[0] + x[1], w = fma(k(kW), x[0] - x[1], k(2.0f * kW));
        const L u3 = fma(k(kU), sum, k(-kU)), u4 = k(kU) * sum;
        const L e1 = exp2<M, true, false>(fnma(y1, y1, fnma(x1, x1, k(kOffset[0]))));
        const L e2 = exp2<M, true, false>(fnma(y2, y2, fnma(x2, x2, k(kOffset[1]))));
        const L e3 = exp2<M, true, false>(fnma(u3, u3, fnma(w, w, k(kOffset[2]))));
        const L e4 = exp2<M, false, true>(
            fma(u4, u4, fma(w * k(0.03333333333f), w, k(kOffset[3]))));
        const L fu = fma(e4, u4, e3 * u3);
        const L fw = fma(k(3.464101615f), e3, k(0.1154700538f) * e4);  // √12, 0.4/√12
        const L fx = fma(e2, x2, fma(e1, x1, fu));
        const L fy = fma(k(3.162277660f), fma(e2, y2, e1 * y1), fu);  // √10
        f[0] = fnms(w, fw, fx);
        f[1] = fms(w, fw, fy);
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
