// What tests/engine/dispatch/main.cpp runs, compiled once for each instruction set.
#include "tests/engine/dispatch/kernels.h"

#include <cmath>

#include "engine/launch/lanes.h"
#include "kernels/dynamics/systems.h"
#include "nn/layers/gemm.h"

namespace microlift {

void dispatch_test_paths(const PathArgs& args) {
    const float dt = 1e-4f;
    const PathBody<MullerBrown, CoordinateCv<0, 2>, HarmonicBias, LeimkuhlerMatthews, Portable> body{
        {{std::sqrt(2.0f * 15.0f)}}, {}, {dt, std::sqrt(dt)}, args};
    run_lanes<float, kNativeWidth>(0, args.trajectories, body);
}

std::vector<float> dispatch_test_arithmetic() {
    constexpr uint32 special[] = {0u, 0x80000000u, 0x7f800000u, 0xff800000u, 0x7fc00000u, 1u,
                                  0x807fffffu, 0x00800000u, 0x7f7fffffu, 0x3f800000u, 0xbf800000u};
    uint32 state = 1;
    const auto bits = [&] {
        state = state * 1664525u + 1013904223u;
        return state >> 16 | state << 16;
    };
    const auto number = [&] {
        const uint32 kind = bits() % 4, u = bits();
        if (kind == 0) return as_float(u);
        if (kind == 1)  // few bits, moderate exponents: sums cancel and tie
            return as_float((u & 0x80000000u) | (100 + u % 54) << 23 | (bits() & 0x7ff000u));
        if (kind == 2)  // small: results are subnormal
            return as_float((u & 0x80000000u) | u % 40 << 23 | (bits() & 0x7fffffu));
        return as_float(special[u % 11]);
    };
    std::vector<float> all;
    for (int i = 0; i < 100000; ++i) {
        const float x = number(), y = number();
        float z = number();
        if (bits() % 3 == 0)  // close to −xy
            z = static_cast<float>(-static_cast<double>(x) * static_cast<double>(y) *
                                   (1 + (static_cast<double>(bits() % 5) - 2) * 0x1p-24));
        const NativeLane wide = fma(broadcast<NativeLane>(x), broadcast<NativeLane>(y),
                                    broadcast<NativeLane>(z));
        for (const float value :
             {get_lane(wide, i % kNativeWidth), fma(x, y, z),
              get_lane(sqrt_exact(broadcast<NativeLane>(x)), i % kNativeWidth)})
            all.push_back(value == value ? value : 0.0f);
    }
    return all;
}

template <class Real>
std::vector<Real> products() {
    constexpr index m = 83, n = 112, k = 71, lda = 80;
    std::vector<Real> a(m * lda), b(k * n), c(m * n), d(lda * n), bias(n, Real(0.25)), sums(n), all;
    uint32 state = 1;
    const auto fill = [&](std::vector<Real>& to) {
        for (Real& value : to) {
            state = state * 1664525u + 1013904223u;
            value = static_cast<Real>(state >> 8) / Real(1 << 24) - Real(0.5);
        }
    };
    const auto keep = [&](const std::vector<Real>& from, index rows, index columns) {
        for (index row = 0; row < rows; ++row)
            for (index column = 0; column < columns; ++column)
                all.push_back(from[static_cast<std::size_t>(row * n + column)]);
    };
    fill(a);
    fill(b);
    Gemm<Real> g{a.data(), b.data(), bias.data(), c.data(), m, n, k, lda, n, n};
    gemm_on_cpu(g);
    keep(c, m, n);
    g.columns = 3;
    gemm_on_cpu(g);
    keep(c, m, 3);
    // A weight gradient: d (k, n) += aᵀ c.
    gemm_on_cpu(Gemm<Real>{a.data(), c.data(), nullptr, d.data(), k, n, m, lda, n, n, true, true});
    keep(d, k, n);
    add_column_sums_on_cpu(b.data(), n, k, n, sums.data());
    keep(sums, 1, n);
    return all;
}

std::vector<float> dispatch_test_products() { return products<float>(); }
std::vector<double> dispatch_test_products_double() { return products<double>(); }

}  // namespace microlift
