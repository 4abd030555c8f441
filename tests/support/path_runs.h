// Trajectories of test systems on any device, for tests/kernels/test_integrators.cpp. The systems here are
// written as a user of the library writes one.
#pragma once

#include "engine/device/buffer.h"
#include "kernels/dynamics/path.h"
#include "kernels/dynamics/systems.h"

namespace microlift {

// V = stiffness/2 x².
struct HarmonicWell : ThermalNoise {
    static constexpr int dim = 1, n_observed = 0;
    static constexpr bool gradient = true;
    float stiffness;

    template <class M, class L>
    LANE_FN void force(const L (&x)[1], L (&f)[1]) const {
        f[0] = broadcast<L>(-stiffness) * x[0];
    }
};

// V = x²/2 + x⁴/4.
struct QuarticWell : ThermalNoise {
    static constexpr int dim = 1, n_observed = 0;
    static constexpr bool gradient = true;

    template <class M, class L>
    LANE_FN void force(const L (&x)[1], L (&f)[1]) const {
        f[0] = -(x[0] * fma(x[0], x[0], broadcast<L>(1.0f)));
    }
};

// ξ = x_0, harmonic bias (stiffness 0: none), portable mathematics.
void run_path(Stream& stream, const HarmonicWell& system, const EulerMaruyama& scheme,
              const PathArgs& a);
void run_path(Stream& stream, const HarmonicWell& system, const LeimkuhlerMatthews& scheme,
              const PathArgs& a);
void run_path(Stream& stream, const HarmonicWell& system, const Baoab& scheme, const PathArgs& a);
void run_path(Stream& stream, const QuarticWell& system, const EulerMaruyama& scheme,
              const PathArgs& a);
void run_path(Stream& stream, const QuarticWell& system, const LeimkuhlerMatthews& scheme,
              const PathArgs& a);
void run_path(Stream& stream, const QuarticWell& system, const Baoab& scheme, const PathArgs& a);
void run_path(Stream& stream, const HarmonicWell& system, const Heun& scheme, const PathArgs& a);
void run_path(Stream& stream, const QuarticWell& system, const Heun& scheme, const PathArgs& a);
void run_path(Stream& stream, const DoubleWell& system, const EulerMaruyama& scheme,
              const PathArgs& a);
void run_path(Stream& stream, const FastSlow& system, const EulerMaruyama& scheme,
              const PathArgs& a);
void run_path(Stream& stream, const MullerBrown& system, const LeimkuhlerMatthews& scheme,
              const PathArgs& a);
// Held on the level set ξ = center.
void run_constrained(Stream& stream, const Channel& system, const LeimkuhlerMatthews& scheme,
                     const PathArgs& a);

}  // namespace microlift
