// Error bounds of the portable mathematics, in units in the last place (ulp) of the result, over
// dense samples and at the edges; equality of all widths.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include "kernels/lane/math.h"
#include "kernels/lane/special.h"
#include "tests/support/lanes.h"

namespace microlift {

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr double kInfDouble = std::numeric_limits<double>::infinity();

// Distance of y from the exact value in ulps of that value; below the least normal number an ulp is
// that of the denormals.
template <class T, class Wide>
double ulps(T y, Wide exact) {
    int exponent;
    std::frexp(exact, &exponent);
    constexpr int digits = std::numeric_limits<T>::digits;
    const int least = std::numeric_limits<T>::min_exponent;
    const Wide unit = std::ldexp(Wide(1), std::max(exponent, least) - digits);
    const double error = static_cast<double>(std::fabs(static_cast<Wide>(y) - exact) / unit);
    return error == error ? error : 1e30;
}

// Numbers in [from, to]: half evenly spaced, half of every magnitude down to 2^-40 of the ends.
template <class T>
std::vector<T> samples(double from, double to, std::size_t n) {
    std::vector<T> x;
    x.reserve(n);
    uint64 state = 2024;
    for (std::size_t i = 0; i < n; ++i) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        const double u = static_cast<double>(state >> 11) * 0x1p-53;
        double value = from + (to - from) * u;
        if (i % 2 == 1) {
            const double scale = std::exp2(-40.0 * u);
            value = i % 4 == 1 ? to * scale : from * scale;
            if (value < from || value > to) value = from + (to - from) * u;
        }
        x.push_back(static_cast<T>(value));
    }
    x[0] = static_cast<T>(from), x[1] = static_cast<T>(to);
    return x;
}

template <class T, class F, class Exact>
double worst_ulps(const std::vector<T>& x, const F& f, const Exact& exact) {
    const std::vector<T> y = map_lanes < sizeof(T) == 4 ? 16 : 8 > (x, f);
    double worst = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) worst = std::max(worst, ulps(y[i], exact(x[i])));
    return worst;
}

constexpr std::size_t kDense = 1 << 19;

double exact_softplus(double x) {
    return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}

struct Exp {
    template <class L>
    L operator()(L x) const {
        return exp<Portable>(x);
    }
};
struct Log {
    template <class L>
    L operator()(L x) const {
        return log<Portable>(x);
    }
};
struct Sin {
    template <class L>
    L operator()(L x) const {
        L s, c;
        sincos<Portable>(x, s, c);
        return s;
    }
};
struct Cos {
    template <class L>
    L operator()(L x) const {
        L s, c;
        sincos<Portable>(x, s, c);
        return c;
    }
};
struct Tanh {
    template <class L>
    L operator()(L x) const {
        return tanh<Portable>(x);
    }
};
struct Sinh {
    template <class L>
    L operator()(L x) const {
        return sinh<Portable>(x);
    }
};
struct Cosh {
    template <class L>
    L operator()(L x) const {
        return cosh<Portable>(x);
    }
};
struct Atan {
    template <class L>
    L operator()(L x) const {
        return atan<Portable>(x);
    }
};
struct Softplus {
    template <class L>
    L operator()(L x) const {
        return softplus<Portable>(x);
    }
};
struct Sigmoid {
    template <class L>
    L operator()(L x) const {
        return sigmoid<Portable>(x);
    }
};
struct Erf {
    template <class L>
    L operator()(L x) const {
        return erf<Portable>(x);
    }
};
struct Sqrt {
    template <class L>
    L operator()(L x) const {
        return sqrt<Portable>(x);
    }
};
struct Exp2 {
    template <class L>
    L operator()(L x) const {
        return exp2<Portable>(x);
    }
};
struct MinusTwoLog {
    template <class L>
    L operator()(L x) const {
        return minus_two_log<Portable>(x);
    }
};
struct DirectionSine {
    template <class L>
    L operator()(L x) const {
        L s, c;
        random_direction<Portable>(as_uint(x), s, c);
        return s;
    }
};
struct DirectionCosine {
    template <class L>
    L operator()(L x) const {
        L s, c;
        random_direction<Portable>(as_uint(x), s, c);
        return c;
    }
};

template <class T, class F>
void check_widths(const std::string& name, const F& f, double from, double to, bool edges = true) {
    CAPTURE(name);
    std::vector<T> x = samples<T>(from, to, 1 << 14);
    constexpr T inf = std::numeric_limits<T>::infinity();
    const T special[] = {0,
                         T(-0.0),
                         inf,
                         -inf,
                         std::numeric_limits<T>::quiet_NaN(),
                         std::numeric_limits<T>::denorm_min(),
                         std::numeric_limits<T>::max(),
                         -std::numeric_limits<T>::max(),
                         std::numeric_limits<T>::min()};
    if (edges) std::copy(std::begin(special), std::end(special), x.begin() + 5);
    const std::vector<T> one = map_lanes<1>(x, f);
    CHECK(same_values(map_lanes<2>(x, f), one));
    CHECK(same_values(map_lanes<4>(x, f), one));
    CHECK(same_values(map_lanes<8>(x, f), one));
    CHECK(same_values(map_lanes<16>(x, f), one));
}

template <class F>
float at(const F& f, float x) {
    return f(x);
}

}  // namespace

TEST_CASE("math: error bounds in float") {
    const auto bound = [](const std::string& name, double limit, double worst) {
        INFO(name << ": " << worst << " ulp, stated " << limit);
        CHECK(worst <= limit);
    };
    const auto s = [](double from, double to) { return samples<float>(from, to, kDense); };
    bound("exp", 1.0, worst_ulps(s(-87.3, 88.0), Exp{}, [](double x) { return std::exp(x); }));
    bound("log", 1.0, worst_ulps(s(1.2e-38, 3.4e38), Log{}, [](double x) { return std::log(x); }));
    bound("log near 1", 1.3, worst_ulps(s(0.5, 2.0), Log{}, [](double x) { return std::log(x); }));
    bound("tanh", 1.5, worst_ulps(s(-20, 20), Tanh{}, [](double x) { return std::tanh(x); }));
    bound("tanh below 1", 1.5, worst_ulps(s(-1, 1), Tanh{}, [](double x) { return std::tanh(x); }));
    bound("sinh", 2.5, worst_ulps(s(-87, 87), Sinh{}, [](double x) { return std::sinh(x); }));
    bound("sinh below 2", 2.5, worst_ulps(s(-2, 2), Sinh{}, [](double x) { return std::sinh(x); }));
    bound("cosh", 2.0, worst_ulps(s(-87, 87), Cosh{}, [](double x) { return std::cosh(x); }));
    bound("atan", 2.6, worst_ulps(s(-100, 100), Atan{}, [](double x) { return std::atan(x); }));
    bound("atan below 1", 2.6, worst_ulps(s(-1, 1), Atan{}, [](double x) { return std::atan(x); }));
    bound("sigmoid", 2.5,
          worst_ulps(s(-80, 80), Sigmoid{}, [](double x) { return 1.0 / (1.0 + std::exp(-x)); }));
    bound("erf", 1.5, worst_ulps(s(-5, 5), Erf{}, [](double x) { return std::erf(x); }));
    bound("sin", 1.5, worst_ulps(s(-3.1415, 3.1415), Sin{}, [](double x) { return std::sin(x); }));
    bound("cos", 1.5, worst_ulps(s(-1.57, 1.57), Cos{}, [](double x) { return std::cos(x); }));
    // log(1 + e^x) is formed as it stands: for x ≪ 0 the error is absolute.
    bound("softplus, x > -1", 3.0, worst_ulps(s(-1, 80), Softplus{}, exact_softplus));
}

TEST_CASE("math: absolute errors where a relative bound does not hold") {
    double worst_sin = 0, worst_cos = 0, worst_softplus = 0;
    for (const float x : samples<float>(-1e5, 1e5, kDense)) {
        worst_sin = std::max(worst_sin, std::fabs(at(Sin{}, x) - std::sin(double(x))));
        worst_cos = std::max(worst_cos, std::fabs(at(Cos{}, x) - std::cos(double(x))));
    }
    for (const float x : samples<float>(-80, 0, kDense))
        worst_softplus = std::max(worst_softplus, std::fabs(at(Softplus{}, x) - exact_softplus(x)));
    INFO("sin " << worst_sin << ", cos " << worst_cos << ", softplus " << worst_softplus);
    CHECK(worst_sin <= 1.2e-7);
    CHECK(worst_cos <= 1.2e-7);
    CHECK(worst_softplus <= 1.2e-7);
}

TEST_CASE("math: error bounds in double") {
    const auto bound = [](const std::string& name, double limit, double worst) {
        INFO(name << ": " << worst << " ulp, stated " << limit);
        CHECK(worst <= limit);
    };
    using Wide = long double;
    const auto s = [](double from, double to) { return samples<double>(from, to, kDense / 2); };
    bound("exp", 1.0, worst_ulps(s(-708, 709), Exp{}, [](Wide x) { return std::exp(x); }));
    bound("log", 1.0, worst_ulps(s(1e-300, 1e300), Log{}, [](Wide x) { return std::log(x); }));
    bound("log near 1", 2.0, worst_ulps(s(0.5, 2), Log{}, [](Wide x) { return std::log(x); }));
    // Just above 0.1 the difference 1 - 2 / (e^2a + 1) costs a decimal digit.
    bound("tanh", 14.0, worst_ulps(s(-22, 22), Tanh{}, [](Wide x) { return std::tanh(x); }));
    bound("tanh below 1", 14.0, worst_ulps(s(-1, 1), Tanh{}, [](Wide x) { return std::tanh(x); }));
}

TEST_CASE("math: edges") {
    const float nan = std::nanf("");
    const float denormal = 1e-40f;
    // exp is held between e^-87.3 and e^88.02, so that no intermediate value overflows.
    CHECK(at(Exp{}, 0.0f) == 1.0f);
    CHECK(at(Exp{}, -0.0f) == 1.0f);
    CHECK(at(Exp{}, kInf) == at(Exp{}, 88.02f));
    CHECK(at(Exp{}, -kInf) == at(Exp{}, -87.3f));
    CHECK(at(Exp{}, -kInf) > 0.0f);
    CHECK(at(Exp{}, -kInf) < 1.3e-38f);
    CHECK(at(Exp{}, 88.02f) < kInf);
    CHECK(at(Exp{}, denormal) == 1.0f);
    CHECK(exp<Portable>(kInfDouble) < kInfDouble);
    CHECK(exp<Portable>(-kInfDouble) <= 1e-307);

    CHECK(as_uint(at(Log{}, 1.0f)) == 0u);
    CHECK(at(Log{}, 0.0f) == -kInf);
    CHECK(at(Log{}, -0.0f) == -kInf);
    CHECK(at(Log{}, kInf) == kInf);
    CHECK(std::isnan(at(Log{}, -1.0f)));
    CHECK(std::isnan(at(Log{}, nan)));
    // A denormal counts as the least normal number.
    CHECK(at(Log{}, denormal) == at(Log{}, 1.17549435e-38f));
    CHECK(log<Portable>(1.0) == 0.0);
    CHECK(log<Portable>(0.0) == -kInfDouble);
    CHECK(log<Portable>(kInfDouble) == kInfDouble);
    CHECK(std::isnan(log<Portable>(-1.0)));
    CHECK(std::isnan(log<Portable>(std::nan(""))));

    for (const float x : {0.0f, denormal, 1e-20f}) {
        CHECK(at(Sin{}, x) == x);
        CHECK(at(Tanh{}, x) == x);
        CHECK(at(Sinh{}, x) == x);
        CHECK(at(Atan{}, x) == x);
        CHECK(at(Cos{}, x) == 1.0f);
        CHECK(at(Cosh{}, x) == 1.0f);
        CHECK(at(Sigmoid{}, x) == 0.5f);
    }
    for (const float sign : {1.0f, -1.0f}) {
        CHECK(at(Tanh{}, sign * kInf) == sign);
        CHECK(at(Tanh{}, sign * 1e30f) == sign);
        CHECK(at(Atan{}, sign * kInf) == sign * 1.57079633f);
        CHECK(at(Erf{}, sign * kInf) == sign);
        CHECK(tanh<Portable>(sign * kInfDouble) == sign);
    }
    CHECK(at(Sigmoid{}, kInf) == 1.0f);
    CHECK(at(Sigmoid{}, -kInf) < 1e-37f);
    CHECK(at(Softplus{}, kInf) == kInf);
    CHECK(at(Softplus{}, -kInf) <= 1e-37f);
    CHECK(at(Softplus{}, 100.0f) == 100.0f);
    // A NaN that enters a network or a force does not turn into a number on the way.
    for (const float y : {at(Sin{}, nan), at(Cos{}, nan), at(Tanh{}, nan), at(Sinh{}, nan),
                          at(Atan{}, nan), at(Softplus{}, nan)})
        CHECK(std::isnan(y));
    CHECK(std::isnan(tanh<Portable>(std::nan(""))));
    CHECK(std::isnan(at(Sin{}, kInf)));
}

TEST_CASE("math: functions are monotonic where it matters") {
    // Neighbouring floats around the seams of the piecewise approximations.
    const auto monotonic = [](auto f, float from, int count) {
        float previous = f(from), x = from;
        int drops = 0;
        for (int i = 0; i < count; ++i) {
            x = std::nextafter(x, kInf);
            const float y = f(x);
            drops += y < previous * (previous > 0 ? 1.0f - 2.4e-7f : 1.0f + 2.4e-7f);
            previous = y;
        }
        return drops == 0;
    };
    CHECK(monotonic(Tanh{}, 0.6249f, 4000));
    CHECK(monotonic(Sinh{}, 0.9999f, 4000));
    CHECK(monotonic(Atan{}, 0.41415f, 4000));
    CHECK(monotonic(Atan{}, 2.4140f, 4000));
    CHECK(monotonic(Log{}, 1.4141f, 4000));
    CHECK(monotonic(Erf{}, 0.9275f, 4000));
}

TEST_CASE("math: 2^x is within 2 units in the last place where it is not held") {
    const double worst = worst_ulps(samples<float>(-124.9, 127, kDense), Exp2{},
                                    [](double x) { return std::exp2(x); });
    INFO("worst " << worst);
    CHECK(worst <= 2.0);
    CHECK(at(Exp2{}, 0.0f) == 1.0f);
    CHECK(at(Exp2{}, -3.0f) == 0.125f);
    CHECK(at(Exp2{}, 10.0f) == 1024.0f);
    CHECK(at(Exp2{}, -kInf) == at(Exp2{}, -125.0f));
    CHECK(at(Exp2{}, kInf) == at(Exp2{}, 127.0f));
    CHECK(std::isnan(at(Exp2{}, std::nanf(""))));
    // Where only one side is held, the other side's values are the same.
    for (const float x : samples<float>(-124.9, 127, 1 << 12)) {
        CHECK(exp2<Portable, true, false>(x) == at(Exp2{}, x));
        CHECK(exp2<Portable, false, true>(x) == at(Exp2{}, x));
    }
}

TEST_CASE("math: the squared radius of Box-Muller is within a relative 4e-7") {
    double worst = 0;
    for (const float u : samples<float>(0x1p-32, 1, kDense))
        if (u < 1)
            worst = std::max(worst, std::fabs(at(MinusTwoLog{}, u) / (-2 * std::log(double(u))) - 1));
    INFO("worst " << worst);
    CHECK(worst <= 4e-7);
    CHECK(at(MinusTwoLog{}, 1.0f) == 0.0f);
    // Normals of another standard deviation: the radius scales with it.
    for (const float sigma : {0.01f, 3.0f})
        for (const float u : {0x1p-32f, 0.1f, 0.9999f})
            CHECK(double(minus_two_log<Portable>(u, normal_scale(sigma))) ==
                  doctest::Approx(double(sigma) * sigma * at(MinusTwoLog{}, u)).epsilon(3e-7));
}

TEST_CASE("math: random directions lie on the circle and cover it evenly") {
    double worst = 0.0, mean_s = 0.0, mean_c = 0.0, mean_ss = 0.0, mean_sc = 0.0;
    const int n = 1 << 20;
    std::vector<int> octant(8);
    for (int i = 0; i < n; ++i) {
        // Every 4096th number of 32 bits, with varying low bits.
        const uint32 u =
            static_cast<uint32>(i) * 4096u + static_cast<uint32>(i * 2654435761u >> 20);
        float s, c;
        random_direction<Portable>(u, s, c);
        worst = std::max(worst, std::fabs(double(s) * s + double(c) * c - 1.0));
        mean_s += s, mean_c += c, mean_ss += double(s) * s, mean_sc += double(s) * c;
        ++octant[static_cast<std::size_t>((s > 0) + 2 * (c > 0) +
                                          4 * (std::fabs(s) > std::fabs(c)))];
    }
    INFO("worst |s^2 + c^2 - 1| " << worst);
    CHECK(worst <= 3e-7);
    CHECK(std::fabs(mean_s / n) <= 1e-4);
    CHECK(std::fabs(mean_c / n) <= 1e-4);
    CHECK(std::fabs(mean_ss / n - 0.5) <= 1e-4);
    CHECK(std::fabs(mean_sc / n) <= 1e-4);
    for (const int count : octant) CHECK(std::abs(count - n / 8) <= 64);
}

TEST_CASE("math: widths 1, 2, 4, 8, 16 give the same bits, float") {
    check_widths<float>("exp", Exp{}, -90, 90);
    check_widths<float>("log", Log{}, 1e-38, 3e38);
    check_widths<float>("log near 1", Log{}, 0.5, 2);
    check_widths<float>("sin", Sin{}, -1e4, 1e4);
    check_widths<float>("cos", Cos{}, -1e4, 1e4);
    check_widths<float>("tanh", Tanh{}, -10, 10);
    check_widths<float>("sinh", Sinh{}, -80, 80);
    check_widths<float>("cosh", Cosh{}, -80, 80);
    check_widths<float>("atan", Atan{}, -50, 50);
    check_widths<float>("softplus", Softplus{}, -80, 80);
    check_widths<float>("sigmoid", Sigmoid{}, -80, 80);
    check_widths<float>("erf", Erf{}, -5, 5);
    check_widths<float>("sqrt", Sqrt{}, 0, 3e38);
    check_widths<float>("exp2", Exp2{}, -140, 140);
    check_widths<float>("exp2 near 0", Exp2{}, -1, 1);
    check_widths<float>("minus_two_log", MinusTwoLog{}, 1e-10, 1, false);  // (0, 1] only
    check_widths<float>("direction, sine", DirectionSine{}, -1e30, 1e30);
    check_widths<float>("direction, cosine", DirectionCosine{}, -1e30, 1e30);
}

TEST_CASE("math: widths 1, 2, 4, 8, 16 give the same bits, double") {
    check_widths<double>("exp", Exp{}, -720, 720);
    check_widths<double>("log", Log{}, 1e-300, 1e300);
    check_widths<double>("log near 1", Log{}, 0.5, 2);
    check_widths<double>("tanh", Tanh{}, -25, 25);
    check_widths<double>("softplus", Softplus{}, -80, 80);
    check_widths<double>("sigmoid", Sigmoid{}, -80, 80);
}

}  // namespace microlift
