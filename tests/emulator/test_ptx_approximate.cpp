// .approx functions beside the host's in double precision: within half a unit in the last place and
// a little.
#include <doctest/doctest.h>
#include <cmath>
#include <functional>
#include <limits>

#include "tests/emulator/kernel.h"

using namespace emulator;

namespace {

using Floats = std::vector<float>;

void compare(const std::string& opcode, const std::function<double(double)>& exact, float from,
             float to) {
    Floats x;
    for (int i = 0; i < 1024; ++i)
        x.push_back(from + (to - from) * static_cast<float>(i) / 1023.0f);
    const Floats d = evaluate<float>(opcode + " d, a;", x);
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double e = exact(static_cast<double>(x[i]));
        const float near = std::fabs(static_cast<float>(e));
        const double unit = static_cast<double>(std::nextafter(near, HUGE_VALF) - near);
        INFO(opcode, " of ", x[i]);
        CHECK(std::fabs(static_cast<double>(d[i]) - e) <= 0.501 * unit + 0x1p-60);
    }
}

}  // namespace

TEST_CASE("ptx: approximate functions are the exact ones, rounded") {
    compare(
        "ex2.approx.f32", [](double x) { return std::exp2(x); }, -140.0f, 127.0f);
    compare(
        "lg2.approx.f32", [](double x) { return std::log2(x); }, 1e-3f, 4.0f);
    compare(
        "lg2.approx.f32", [](double x) { return std::log2(x); }, 1.0f, 1e30f);
    compare(
        "sin.approx.f32", [](double x) { return std::sin(x); }, -20.0f, 20.0f);
    compare(
        "cos.approx.f32", [](double x) { return std::cos(x); }, -1000.0f, 1000.0f);
    compare(
        "tanh.approx.f32", [](double x) { return std::tanh(x); }, -5.0f, 5.0f);
    compare(
        "tanh.approx.f32", [](double x) { return std::tanh(x); }, -0.01f, 0.01f);
    compare(
        "rsqrt.approx.f32", [](double x) { return 1 / std::sqrt(x); }, 1e-3f, 9.0f);
    compare(
        "sqrt.approx.f32", [](double x) { return std::sqrt(x); }, 0.0f, 9.0f);
    compare(
        "rcp.approx.f32", [](double x) { return 1 / x; }, 0.1f, 9.0f);
}

TEST_CASE("ptx: edges of approximate functions") {
    constexpr float infinity = std::numeric_limits<float>::infinity();
    CHECK(evaluate<float>("ex2.approx.ftz.f32 d, a;",
                          Floats{-infinity, infinity, 0.0f, -130.0f, 1000.0f, -1000.0f}) ==
          Floats{0.0f, infinity, 1.0f, 0.0f, infinity, 0.0f});
    CHECK(evaluate<float>("ex2.approx.f32 d, a;", Floats{-130.0f}) == Floats{0x1p-130f});
    CHECK(evaluate<float>("lg2.approx.ftz.f32 d, a;", Floats{0.0f, 0x1p-140f, infinity, 8.0f}) ==
          Floats{-infinity, -infinity, infinity, 3.0f});
    CHECK(std::isnan(evaluate<float>("lg2.approx.f32 d, a;", Floats{-1.0f})[0]));
    CHECK(std::isnan(evaluate<float>("sin.approx.f32 d, a;", Floats{infinity})[0]));
    CHECK(evaluate<float>("tanh.approx.f32 d, a;", Floats{-infinity, 50.0f}) ==
          Floats{-1.0f, 1.0f});
    CHECK(evaluate<float>("div.approx.f32 d, a, b;", Floats{1.0f}, Floats{4.0f}) == Floats{0.25f});
    CHECK(evaluate<float>("rcp.approx.ftz.f32 d, a;", Floats{0.0f, -4.0f}) ==
          Floats{infinity, -0.25f});
}
