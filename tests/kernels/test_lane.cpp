// Packs of every width do what single lanes do, and what IEEE arithmetic says.
#include <cmath>
#include <limits>
#include <string>

#include <doctest/doctest.h>

#include "kernels/lane/math.h"
#include "tests/support/lanes.h"

namespace microlift {

namespace {

// Finite numbers of every magnitude, then special ones.
template <class T>
std::vector<T> operands(uint64 seed) {
    constexpr T inf = std::numeric_limits<T>::infinity(), nan = std::numeric_limits<T>::quiet_NaN();
    std::vector<T> x{0,
                     T(-0.0),
                     1,
                     -1,
                     inf,
                     -inf,
                     nan,
                     std::numeric_limits<T>::denorm_min(),
                     std::numeric_limits<T>::min(),
                     std::numeric_limits<T>::max()};
    uint64 state = seed;
    while (x.size() < 1024) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        const int exponent = static_cast<int>(state >> 58) - 32;
        x.push_back(std::ldexp(T(static_cast<double>(state >> 20) * 0x1p-43 - 1.0), exponent));
    }
    return x;
}

// f(a, b, c) on whole arrays at width W.
template <int W, class T, class F>
std::vector<T> map3(const std::vector<T>& a, const std::vector<T>& b, const std::vector<T>& c,
                    F f) {
    using L = typename LaneOfWidth<T, W>::Type;
    std::vector<T> y(a.size());
    for (std::size_t i = 0; i < a.size(); i += W) {
        const index at = static_cast<index>(i);
        store(y.data(), at, f(load<L>(a.data(), at), load<L>(b.data(), at), load<L>(c.data(), at)));
    }
    return y;
}

template <class T, class F, class G>
void check_operation(const std::string& name, F lanes, G scalar) {
    CAPTURE(name);
    std::vector<T> a = operands<T>(1), b = operands<T>(2), c = operands<T>(3);
    // Every special value against every other.
    for (std::size_t i = 0; i < 10; ++i)
        for (std::size_t j = 0; j < 10; ++j) b[100 + 10 * i + j] = b[i], a[100 + 10 * i + j] = a[j];
    std::vector<T> expected(a.size());
    for (std::size_t i = 0; i < a.size(); ++i) expected[i] = scalar(a[i], b[i], c[i]);
    CHECK(same_values(map3<1>(a, b, c, lanes), expected));
    CHECK(same_values(map3<2>(a, b, c, lanes), expected));
    CHECK(same_values(map3<4>(a, b, c, lanes), expected));
    CHECK(same_values(map3<8>(a, b, c, lanes), expected));
    CHECK(same_values(map3<16>(a, b, c, lanes), expected));
}

template <class T>
void check_all_operations() {
    check_operation<T>(
        "+", [](auto a, auto b, auto) { return a + b; }, [](T a, T b, T) { return a + b; });
    check_operation<T>(
        "-", [](auto a, auto b, auto) { return a - b; }, [](T a, T b, T) { return a - b; });
    check_operation<T>(
        "*", [](auto a, auto b, auto) { return a * b; }, [](T a, T b, T) { return a * b; });
    check_operation<T>(
        "/", [](auto a, auto b, auto) { return a / b; }, [](T a, T b, T) { return a / b; });
    check_operation<T>(
        "negate", [](auto a, auto, auto) { return -a; }, [](T a, T, T) { return -a; });
    check_operation<T>(
        "fma", [](auto a, auto b, auto c) { return fma(a, b, c); },
        [](T a, T b, T c) { return std::fma(a, b, c); });
    check_operation<T>(
        "fms", [](auto a, auto b, auto c) { return fms(a, b, c); },
        [](T a, T b, T c) { return std::fma(a, b, -c); });
    check_operation<T>(
        "fnma", [](auto a, auto b, auto c) { return fnma(a, b, c); },
        [](T a, T b, T c) { return std::fma(-a, b, c); });
    check_operation<T>(
        "sqrt", [](auto a, auto, auto) { return sqrt_exact(a); },
        [](T a, T, T) { return std::sqrt(a); });
    check_operation<T>(
        "abs", [](auto a, auto, auto) { return abs(a); }, [](T a, T, T) { return std::fabs(a); });
    check_operation<T>(
        "copy_sign", [](auto a, auto b, auto) { return copy_sign(a, b); },
        [](T a, T b, T) { return std::copysign(a, b); });
    // min and max return the second argument when either is NaN.
    check_operation<T>(
        "min", [](auto a, auto b, auto) { return min(a, b); },
        [](T a, T b, T) { return a < b ? a : b; });
    check_operation<T>(
        "max", [](auto a, auto b, auto) { return max(a, b); },
        [](T a, T b, T) { return a > b ? a : b; });
    check_operation<T>(
        "select <", [](auto a, auto b, auto c) { return select(a < b, a, c); },
        [](T a, T b, T c) { return a < b ? a : c; });
    check_operation<T>(
        "select <=", [](auto a, auto b, auto c) { return select(a <= b, a, c); },
        [](T a, T b, T c) { return a <= b ? a : c; });
    check_operation<T>(
        "select >", [](auto a, auto b, auto c) { return select(a > b, a, c); },
        [](T a, T b, T c) { return a > b ? a : c; });
    check_operation<T>(
        "select >=", [](auto a, auto b, auto c) { return select(a >= b, a, c); },
        [](T a, T b, T c) { return a >= b ? a : c; });
    check_operation<T>(
        "select ==", [](auto a, auto b, auto c) { return select(a == b, a, c); },
        [](T a, T b, T c) { return a == b ? a : c; });
    check_operation<T>(
        "select !=", [](auto a, auto b, auto c) { return select(a != b, a, c); },
        [](T a, T b, T c) { return a != b ? a : c; });
    check_operation<T>(
        "!, &, |",
        [](auto a, auto b, auto c) {
            const auto not_below = !(a < b);
            return select(not_below & ((b < c) | (a < c)), a, c);
        },
        [](T a, T b, T c) { return !(a < b) && (b < c || a < c) ? a : c; });
}

template <int W>
void check_integers() {
    using L = typename LaneOfWidth<float, W>::Type;
    using U = Uint<L>;
    CAPTURE(W);
    uint64 state = 9;
    for (int round = 0; round < 200; ++round) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        const uint32 m = static_cast<uint32>(state >> 32);
        const index first = static_cast<index>(static_cast<uint32>(state >> 11)) + 0xfffffff0ll;
        const U a = lane_numbers<L>(first);
        U hi, lo;
        mul_hi_lo(m, a, hi, lo);
        float high[W], low[W], number[W], converted[W], shifted[W];
        store(high, 0, as_float(hi)), store(low, 0, as_float(lo)), store(number, 0, as_float(a));
        store(converted, 0, to_float(as_int(a)));
        store(shifted, 0, as_float(((a << 7) ^ (a >> 9)) & 0xfff0ffffu));
        for (int j = 0; j < W; ++j) {
            const uint32 expected = static_cast<uint32>(first + j);
            const uint64 product = static_cast<uint64>(m) * expected;
            REQUIRE(as_uint(number[j]) == expected);
            REQUIRE(as_uint(high[j]) == static_cast<uint32>(product >> 32));
            REQUIRE(as_uint(low[j]) == static_cast<uint32>(product));
            REQUIRE(converted[j] == static_cast<float>(static_cast<int32>(expected)));
            REQUIRE(as_uint(shifted[j]) == (((expected << 7) ^ (expected >> 9)) & 0xfff0ffffu));
        }
    }
}

template <int W>
void check_masks() {
    using L = typename LaneOfWidth<float, W>::Type;
    CAPTURE(W);
    for (int set = -1; set < W; ++set) {
        float x[W];
        for (int j = 0; j < W; ++j) x[j] = j == set ? std::nanf("") : static_cast<float>(j);
        const L lanes = load<L>(x, 0);
        const Mask<L> bad = is_bad(lanes);
        CHECK(any(bad) == (set >= 0));
        for (int j = 0; j < W; ++j) {
            CHECK(get_lane(bad, j) == (j == set));
            if (j != set) CHECK(get_lane(lanes, j) == x[j]);
        }
    }
    for (const float x : {HUGE_VALF, -HUGE_VALF, std::nanf("")})
        CHECK(any(is_bad(broadcast<L>(x))));
    for (const float x : {0.0f, -0.0f, 3.4028234e38f, -3.4028234e38f, 1e-45f})
        CHECK(!any(is_bad(broadcast<L>(x))));
}

}  // namespace

TEST_CASE("lanes: arithmetic, comparison and selection are IEEE at every width, float") {
    check_all_operations<float>();
}

TEST_CASE("lanes: arithmetic, comparison and selection are IEEE at every width, double") {
    check_all_operations<double>();
}

TEST_CASE("lanes: integer operations at every width") {
    check_integers<1>();
    check_integers<4>();
    check_integers<8>();
    check_integers<16>();
}

TEST_CASE("lanes: masks and non-finite lanes at every width") {
    check_masks<1>();
    check_masks<4>();
    check_masks<8>();
    check_masks<16>();
}

TEST_CASE("lanes: broadcast keeps the number, including -0") {
    for (const float x : {0.0f, -0.0f, 1.5f, -HUGE_VALF}) {
        CHECK(as_uint(get_lane(broadcast<Pack<float, 16>>(x), 3)) == as_uint(x));
        CHECK(as_uint(get_lane(broadcast<Pack<float, 4>>(x), 3)) == as_uint(x));
        CHECK(as_uint(broadcast<float>(x)) == as_uint(x));
    }
}

TEST_CASE("lanes: atomics of the status words") {
    uint64 word = 5;
    atomic_add(&word, 3);
    CHECK(word == 8);
    atomic_min(&word, 9);
    CHECK(word == 8);
    atomic_min(&word, 2);
    CHECK(word == 2);
}

}  // namespace microlift
