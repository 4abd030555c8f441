// Elementary functions in double precision without branches, so that 32 lanes are computed side by
// side; to 1e-13, far below half a unit of single precision.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace emulator {

inline double power_of_two(double whole) {  // −1000 < whole < 1000
    return std::bit_cast<double>(static_cast<std::uint64_t>(static_cast<std::int64_t>(whole) + 1023)
                                 << 52);
}

// 2^x for single precision's x: beyond ±200 it is 0 or infinite there.
inline double exp2_double(double x) {
    const double held = x < -200.0 ? -200.0 : x > 200.0 ? 200.0 : x;
    const double n = std::nearbyint(held), t = (held - n) * 0.693147180559945309;
    double p = 1.0 / 479001600;
    p = p * t + 1.0 / 39916800;
    p = p * t + 1.0 / 3628800;
    p = p * t + 1.0 / 362880;
    p = p * t + 1.0 / 40320;
    p = p * t + 1.0 / 5040;
    p = p * t + 1.0 / 720;
    p = p * t + 1.0 / 120;
    p = p * t + 1.0 / 24;
    p = p * t + 1.0 / 6;
    p = p * t + 0.5;
    p = p * t + 1.0;
    p = p * t + 1.0;
    return x == x ? p * power_of_two(held == held ? n : 0.0) : x;
}

inline double log2_double(double x) {
    const auto bits = std::bit_cast<std::uint64_t>(x);
    // x = 2^e m with m in [sqrt(1/2), sqrt(2)).
    const std::uint64_t shifted = bits - 0x3fe6a09e667f3bcdu;
    const double e = static_cast<double>(static_cast<std::int64_t>(shifted) >> 52);
    const double m = std::bit_cast<double>((shifted & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu);
    const double s = (m - 1.0) / (m + 1.0), q = s * s;
    double p = 1.0 / 19;
    p = p * q + 1.0 / 17;
    p = p * q + 1.0 / 15;
    p = p * q + 1.0 / 13;
    p = p * q + 1.0 / 11;
    p = p * q + 1.0 / 9;
    p = p * q + 1.0 / 7;
    p = p * q + 1.0 / 5;
    p = p * q + 1.0 / 3;
    p = p * q + 1.0;
    const double r = e + 2.88539008177792681 * s * p;  // 2/ln 2
    constexpr double infinity = std::numeric_limits<double>::infinity();
    return x > 0.0    ? (x < infinity ? r : x)
           : x == 0.0 ? -infinity
                      : std::numeric_limits<double>::quiet_NaN();
}

// sin (quarter 0) or cos (quarter 1) of x. Reduction in three parts: exact enough to |x| = 1e9.
inline double sine_double(double x, int quarter) {
    const double n = std::nearbyint(x * 0.636619772367581343);
    const double held = std::fabs(n) < 1e9 ? n : 0.0;
    double r = std::fabs(n) < 1e9 ? x : x - x;  // beyond, NaN for infinities, 0 for the rest
    r -= held * 0x1.921fb544p+0;
    r -= held * 0x1.0b4611a6p-34;
    r -= held * 0x1.3198a2e037073p-69;
    const double q = r * r;
    double s = 1.0 / 355687428096000.0;
    s = s * q - 1.0 / 1307674368000.0;
    s = s * q + 1.0 / 6227020800.0;
    s = s * q - 1.0 / 39916800;
    s = s * q + 1.0 / 362880;
    s = s * q - 1.0 / 5040;
    s = s * q + 1.0 / 120;
    s = s * q - 1.0 / 6;
    s = s * q * r + r;
    double c = 1.0 / 20922789888000.0;
    c = c * q - 1.0 / 87178291200.0;
    c = c * q + 1.0 / 479001600;
    c = c * q - 1.0 / 3628800;
    c = c * q + 1.0 / 40320;
    c = c * q - 1.0 / 720;
    c = c * q + 1.0 / 24;
    c = c * q - 0.5;
    c = c * q + 1.0;
    const std::int64_t k = static_cast<std::int64_t>(held) + quarter;
    const double v = k & 1 ? c : s;
    return k & 2 ? -v : v;
}

inline double tanh_double(double x) {
    const double a = std::fabs(x), held = a < 20.0 ? a : 20.0;
    const double e = exp2_double(held * 2.88539008177792681);
    const double far = 1.0 - 2.0 / (e + 1.0), near = a - a * a * a * (1.0 / 3);
    const double r = a < 1e-3 ? near : far;
    return x == x ? std::copysign(r, x) : x;
}

}  // namespace emulator
