// Functions of distances and angles: errors over dense samples, and the same bits in every width.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <numbers>
#include <vector>

#include "kernels/lane/roots.h"

namespace microlift {
namespace {

// The largest error of f over points; `relative` to |exact|.
template <class T, class F, class Exact>
double largest_error(const std::vector<T>& points, bool relative, const F& f, const Exact& exact) {
    double most = 0;
    for (const T x : points) {
        const long double e = exact(static_cast<long double>(x));
        const double error = static_cast<double>(std::abs(static_cast<long double>(f(x)) - e));
        most = std::max(most, relative ? error / std::abs(static_cast<double>(e)) : error);
    }
    return most;
}

template <class T>
std::vector<T> even(double from, double to, int n) {
    std::vector<T> points;
    for (int k = 0; k <= n; ++k) points.push_back(static_cast<T>(from + (to - from) * k / n));
    return points;
}
template <class T>
std::vector<T> geometric(double from, double to, int n) {
    std::vector<T> points;
    for (int k = 0; k <= n; ++k) points.push_back(static_cast<T>(from * std::pow(to / from, 1.0 * k / n)));
    return points;
}

long double exact_ratio(long double c) {
    return c >= 1 ? 1 : std::acos(c) / std::sqrt((1 - c) * (1 + c));
}

// `ulp`: of the type at 1; bounds are those of a few roundings and of the fits.
template <class T>
void check_errors(double ulp) {
    CHECK(largest_error(even<T>(0, 1, 40000), false, [](T c) { return acos_over_sine(c); }, exact_ratio) <
          (sizeof(T) == 4 ? 4e-7 : 1e-15));
    const auto root = [](long double x) { return 1 / std::sqrt(x); };
    CHECK(largest_error(geometric<T>(1e-12, 1e12, 20000), true,
                        [](T x) { return inverse_sqrt<Portable>(x); }, root) < 1.5 * ulp);
    CHECK(largest_error(geometric<T>(1e-8, 1e8, 20000), true,
                        [](T x) { return inverse_roots<Portable>(x, T(0.037)).first; },
                        root) < 3 * ulp);
    CHECK(largest_error(geometric<T>(0.01, 100, 20000), false,
                        [](T x) { return half_log_of_positive<Portable>(x); },
                        [](long double x) { return std::log(x) / 2; }) < (sizeof(T) == 4 ? 6e-7 : 1e-15));
    CHECK(largest_error(even<T>(-80, 0, 20000), true,
                        [](T x) { return exp_of_negative<Portable>(x, T(1)); },
                        [](long double x) { return std::exp(x); }) < (sizeof(T) == 4 ? 8e-6 : 1e-13));
    // Every angle, the ends of the circle among them.
    for (const T phi : even<T>(-std::numbers::pi, std::numbers::pi, 36000)) {
        const T c = static_cast<T>(std::cos(static_cast<long double>(phi)));
        const T s = static_cast<T>(std::sin(static_cast<long double>(phi)));
        CHECK(std::abs(static_cast<double>(angle_of(c, s)) -
                       static_cast<double>(std::atan2(static_cast<long double>(s),
                                                      static_cast<long double>(c)))) < 6 * ulp);
    }
}

}  // namespace

TEST_CASE("functions of distances and angles have a few roundings' errors") {
    check_errors<float>(1.2e-7);
    check_errors<double>(2.3e-16);
}

TEST_CASE("they are the same bits in packs and in single lanes") {
    float x[kNativeWidth], c[kNativeWidth], packed[5][kNativeWidth];
    for (int trial = 0; trial < 2000; ++trial) {
        for (int j = 0; j < kNativeWidth; ++j) {
            x[j] = 0.001f * static_cast<float>(1 + (trial * kNativeWidth + j) * 7 % 9973);
            c[j] = -1.0f + 0.0002f * static_cast<float>((trial * 31 + j * 577) % 10000);
        }
        const NativeLane px = load<NativeLane>(x, 0), pc = load<NativeLane>(c, 0);
        const auto both = inverse_roots<Portable>(px, px + broadcast<NativeLane>(1.0f));
        store(packed[0], 0, inverse_sqrt<Portable>(px));
        store(packed[1], 0, both.second);
        store(packed[2], 0, angle_of(pc, px));
        store(packed[3], 0, half_log_of_positive<Portable>(px));
        store(packed[4], 0, exp_of_negative<Portable>(px, -1.0f));
        for (int j = 0; j < kNativeWidth; ++j) {
            const float other = inverse_roots<Portable>(x[j], x[j] + 1.0f).second;
            const float single[5] = {inverse_sqrt<Portable>(x[j]), other, angle_of(c[j], x[j]),
                                     half_log_of_positive<Portable>(x[j]), exp_of_negative<Portable>(x[j], -1.0f)};
            for (int f = 0; f < 5; ++f) CHECK(std::memcmp(&single[f], &packed[f][j], sizeof(float)) == 0);
        }
    }
}

}  // namespace microlift
