// Floats: values worked out by hand or with the host's own correctly rounded operations.
#include <doctest/doctest.h>
#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include "tests/emulator/kernel.h"

using namespace emulator;

namespace {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;
using Words = std::vector<std::uint32_t>;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
const float kNan = std::bit_cast<float>(0xffc01234u);
constexpr float kDenormal = 0x1p-140f;

Words bits(const Floats& x) {
    Words result;
    for (const float v : x) result.push_back(std::bit_cast<std::uint32_t>(v));
    return result;
}

// Of all sizes and signs, with denormals.
Floats random_floats(unsigned seed, std::size_t n) {
    std::mt19937 random(seed);
    Floats result;
    while (result.size() < n) {
        const float x = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
        if (x == x) result.push_back(x);
    }
    return result;
}

}  // namespace

TEST_CASE("ptx: sums, products and quotients of floats are rounded to nearest, ties to even") {
    // 1 + 2^-24 is a tie; 1 + 3·2^-24 rounds up to even.
    CHECK(evaluate<float>("add.rn.f32 d, a, b;", Floats{1.0f, 1.0f + 0x1p-23f, 1.0f},
                          Floats{0x1p-24f, 0x1p-24f, 0x1.8p-24f}) ==
          Floats{1.0f, 1.0f + 0x1p-22f, 1.0f + 0x1p-23f});
    CHECK(evaluate<float>("sub.rn.f32 d, a, b;", Floats{3.0f}, Floats{5.0f}) == Floats{-2.0f});
    CHECK(evaluate<float>("mul.rn.f32 d, a, b;", Floats{3.0f, 0x1p100f}, Floats{-7.0f, 0x1p100f}) ==
          Floats{-21.0f, kInfinity});
    CHECK(evaluate<float>("div.rn.f32 d, a, b;", Floats{1.0f, 1.0f, -1.0f},
                          Floats{3.0f, 0.0f, 0.0f}) ==
          Floats{0x1.555556p-2f, kInfinity, -kInfinity});
    CHECK(evaluate<double>("add.rn.f64 d, a, b;", Doubles{0.1}, Doubles{0.2}) ==
          Doubles{0.30000000000000004});
    CHECK(evaluate<double>("div.rn.f64 d, a, b;", Doubles{1.0}, Doubles{3.0}) ==
          Doubles{0x1.5555555555555p-2});
}

TEST_CASE("ptx: a fused product and sum is rounded once") {
    // (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24: what a product rounded first would lose.
    const float x = 1.0f + 0x1p-12f;
    CHECK(evaluate<float>("fma.rn.f32 d, a, b, c;", Floats{x}, Floats{x},
                          Floats{-1.0f - 0x1p-11f}) == Floats{0x1p-24f});
    const double y = 1.0 + 0x1p-27;
    CHECK(evaluate<double>("fma.rn.f64 d, a, b, c;", Doubles{y}, Doubles{y},
                           Doubles{-1.0 - 0x1p-26}) == Doubles{0x1p-54});
    const Floats a = random_floats(1, 512), b = random_floats(2, 512), c = random_floats(3, 512);
    Floats expected;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const float r = std::fma(a[i], b[i], c[i]);
        expected.push_back(r == r ? r : std::bit_cast<float>(0x7fffffffu));
    }
    CHECK(bits(evaluate<float>("fma.rn.f32 d, a, b, c;", a, b, c)) == bits(expected));
}

TEST_CASE("ptx: directions of rounding") {
    const Floats one{1.0f, -1.0f}, small{0x1p-30f, -0x1p-30f};
    CHECK(evaluate<float>("add.rz.f32 d, a, b;", one, small) == Floats{1.0f, -1.0f});
    CHECK(evaluate<float>("add.rp.f32 d, a, b;", one, small) == Floats{1.0f + 0x1p-23f, -1.0f});
    CHECK(evaluate<float>("add.rm.f32 d, a, b;", one, small) == Floats{1.0f, -1.0f - 0x1p-23f});
    CHECK(evaluate<float>("div.rz.f32 d, a, b;", Floats{2.0f}, Floats{3.0f}) ==
          Floats{0x1.555554p-1f});
    CHECK(evaluate<float>("fma.rp.f32 d, a, b, c;", Floats{1.0f}, Floats{1.0f}, Floats{0x1p-60f}) ==
          Floats{1.0f + 0x1p-23f});
    CHECK(evaluate<float>("rcp.rm.f32 d, a;", Floats{3.0f}) == Floats{0x1.555554p-2f});
    // And after it the next instruction rounds to nearest again.
    CHECK(evaluate<float>("add.rp.f32 d, a, b; add.rn.f32 d, d, b;", one, small) ==
          Floats{1.0f + 0x1p-23f, -1.0f});
}

TEST_CASE("ptx: roots and reciprocals") {
    CHECK(evaluate<float>("sqrt.rn.f32 d, a;", Floats{2.0f, 9.0f, 0.0f}) ==
          Floats{0x1.6a09e6p+0f, 3.0f, 0.0f});
    CHECK(evaluate<double>("sqrt.rn.f64 d, a;", Doubles{2.0}) == Doubles{0x1.6a09e667f3bcdp+0});
    CHECK(evaluate<float>("rcp.rn.f32 d, a;", Floats{3.0f, -kInfinity}) ==
          Floats{0x1.555556p-2f, -0.0f});
    CHECK(evaluate<double>("rcp.rn.f64 d, a;", Doubles{3.0}) == Doubles{0x1.5555555555555p-2});
}

TEST_CASE("ptx: denormals stay, and count as 0 under .ftz") {
    CHECK(evaluate<float>("add.rn.f32 d, a, b;", Floats{kDenormal}, Floats{kDenormal}) ==
          Floats{2 * kDenormal});
    CHECK(bits(evaluate<float>("add.rn.ftz.f32 d, a, b;", Floats{kDenormal, -kDenormal},
                               Floats{0.0f, -0.0f})) == Words{0u, 0x80000000u});
    CHECK(evaluate<float>("mul.rn.ftz.f32 d, a, b;", Floats{kDenormal, 0x1p-100f},
                          Floats{0x1p60f, 0x1p-40f}) == Floats{0.0f, 0.0f});
    CHECK(bits(evaluate<float>("abs.ftz.f32 d, a;", Floats{-kDenormal})) == Words{0u});
}

TEST_CASE("ptx: single precision gives one NaN; saturation takes it to 0") {
    CHECK(bits(evaluate<float>("add.rn.f32 d, a, b;", Floats{kNan, kInfinity},
                               Floats{1.0f, -kInfinity})) == Words{0x7fffffffu, 0x7fffffffu});
    CHECK(bits(evaluate<float>("add.rn.sat.f32 d, a, b;", Floats{kNan, -3.0f, 0.25f, 7.0f},
                               Floats{0.0f, 0.0f, 0.25f, 0.0f})) == bits({0.0f, 0.0f, 0.5f, 1.0f}));
    CHECK(bits(evaluate<float>("neg.f32 d, a;", Floats{1.0f, 0.0f})) ==
          Words{0xbf800000u, 0x80000000u});
}

TEST_CASE("ptx: min and max give the number beside a NaN, and know the sign of 0") {
    const Floats a{1.0f, kNan, 2.0f, kNan, 0.0f, -0.0f}, b{3.0f, 5.0f, kNan, kNan, -0.0f, 0.0f};
    CHECK(bits(evaluate<float>("min.f32 d, a, b;", a, b)) ==
          Words{0x3f800000u, 0x40a00000u, 0x40000000u, 0x7fffffffu, 0x80000000u, 0x80000000u});
    CHECK(bits(evaluate<float>("max.f32 d, a, b;", a, b)) ==
          Words{0x40400000u, 0x40a00000u, 0x40000000u, 0x7fffffffu, 0u, 0u});
    CHECK(bits(evaluate<float>("min.NaN.f32 d, a, b;", a, b)) ==
          Words{0x3f800000u, 0x7fffffffu, 0x7fffffffu, 0x7fffffffu, 0x80000000u, 0x80000000u});
    CHECK(evaluate<double>("max.f64 d, a, b;", Doubles{1.0}, Doubles{-2.0}) == Doubles{1.0});
}

TEST_CASE("ptx: constants in the text are of the instruction's type") {
    CHECK(evaluate<float>("add.f32 d, a, 0f3F800000;", Floats{1.0f}) == Floats{2.0f});
    CHECK(evaluate<double>("add.f64 d, a, 0d3FF0000000000000;", Doubles{1.0}) == Doubles{2.0});
    CHECK(evaluate<float>("mul.f32 d, a, 0fC0000000;", Floats{1.5f}) == Floats{-3.0f});
}
