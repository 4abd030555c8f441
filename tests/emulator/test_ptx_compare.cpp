// Comparisons, selections and conversions.
#include <doctest/doctest.h>
#include <bit>
#include <limits>

#include "tests/emulator/kernel.h"

using namespace emulator;

namespace {
using Floats = std::vector<float>;
using Doubles = std::vector<double>;
using U16 = std::vector<std::uint16_t>;
using U32 = std::vector<std::uint32_t>;
using I32 = std::vector<std::int32_t>;
using U64 = std::vector<std::uint64_t>;
using I64 = std::vector<std::int64_t>;
const float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

// less, equal, greater, unordered
U32 relation(const std::string& name) {
    return evaluate<std::uint32_t>("setp." + name + ".f32 p, a, b; selp.u32 d, 1, 0, p;",
                                   Floats{1, 2, 3, kNan}, Floats{2, 2, 2, 2});
}
}  // namespace

TEST_CASE("ptx: relations of floats, ordered and not") {
    CHECK(relation("eq") == U32{0, 1, 0, 0});
    CHECK(relation("ne") == U32{1, 0, 1, 0});
    CHECK(relation("lt") == U32{1, 0, 0, 0});
    CHECK(relation("le") == U32{1, 1, 0, 0});
    CHECK(relation("gt") == U32{0, 0, 1, 0});
    CHECK(relation("ge") == U32{0, 1, 1, 0});
    CHECK(relation("equ") == U32{0, 1, 0, 1});
    CHECK(relation("neu") == U32{1, 0, 1, 1});
    CHECK(relation("ltu") == U32{1, 0, 0, 1});
    CHECK(relation("leu") == U32{1, 1, 0, 1});
    CHECK(relation("gtu") == U32{0, 0, 1, 1});
    CHECK(relation("geu") == U32{0, 1, 1, 1});
    CHECK(relation("num") == U32{1, 1, 1, 0});
    CHECK(relation("nan") == U32{0, 0, 0, 1});
    CHECK(evaluate<std::uint32_t>("setp.gt.ftz.f32 p, a, b; selp.u32 d, 1, 0, p;",
                                  Floats{0x1p-140f}, Floats{0}) == U32{0});
    CHECK(evaluate<std::uint32_t>("setp.lt.f64 p, a, b; selp.u32 d, 1, 0, p;", Doubles{1},
                                  Doubles{2}) == U32{1});
}

TEST_CASE("ptx: relations of integers, signed and not; combined and complemented predicates") {
    CHECK(evaluate<std::uint32_t>("setp.lt.s32 p, a, b; selp.u32 d, 1, 0, p;", I32{-1}, I32{1}) ==
          U32{1});
    CHECK(evaluate<std::uint32_t>("setp.lt.u32 p, a, b; selp.u32 d, 1, 0, p;", U32{~0u}, U32{1}) ==
          U32{0});
    CHECK(evaluate<std::uint32_t>("setp.hs.u64 p, a, b; selp.u32 d, 1, 0, p;", U64{~0ull},
                                  U64{1}) == U32{1});
    CHECK(evaluate<std::uint32_t>("setp.ge.s64 p, a, b; selp.u32 d, 1, 0, p;", I64{-1}, I64{0}) ==
          U32{0});
    CHECK(evaluate<std::uint32_t>("setp.eq.u16 p, a, 7; selp.u32 d, 1, 0, p;", U16{7, 8}) ==
          U32{1, 0});
    const std::string odd = "and.b32 r, a, 1; setp.eq.u32 q, r, 1;";
    CHECK(evaluate<std::uint32_t>(odd + "setp.gt.and.u32 p, a, 2, q; selp.u32 d, 1, 0, p;",
                                  U32{1, 3, 4, 5}) == U32{0, 1, 0, 1});
    CHECK(evaluate<std::uint32_t>(odd + "setp.gt.or.u32 p, a, 2, !q; selp.u32 d, 1, 0, p;",
                                  U32{1, 2, 3, 4}) == U32{0, 1, 1, 1});
    CHECK(evaluate<std::uint32_t>(odd + "setp.gt.xor.u32 q, a, 2, q; selp.u32 d, 1, 0, q;",
                                  U32{1, 2, 3, 4}) == U32{1, 0, 0, 1});
    CHECK(evaluate<std::uint32_t>("setp.gt.u32 p|q, a, 2; selp.u32 d, 10, 20, q;", U32{2, 3}) ==
          U32{10, 20});
    CHECK(evaluate<std::uint32_t>("set.gt.u32.f32 d, a, b;", Floats{1, 3}, Floats{2, 2}) ==
          U32{0, ~0u});
    CHECK(evaluate<float>("set.gt.f32.s32 d, a, b;", I32{1, 3}, I32{2, 2}) == Floats{0, 1});
}

TEST_CASE("ptx: selections") {
    CHECK(evaluate<double>("setp.gt.f64 p, a, b; selp.f64 d, a, b, p;", Doubles{1, 4},
                           Doubles{2, 3}) == Doubles{2, 4});
    CHECK(evaluate<std::uint32_t>("setp.ne.u32 p, a, 0; selp.u32 d, 5, 6, !p;", U32{0, 1}) ==
          U32{5, 6});
    CHECK(evaluate<float>("slct.f32.s32 d, a, b, c;", Floats{1, 1}, Floats{2, 2}, I32{-1, 0}) ==
          Floats{2, 1});
}

TEST_CASE("ptx: floats to integers go to the nearest that fits; NaN by the rule of PTX 9.0") {
    const Floats x{2.5f, -2.5f, 3.5f, 1e20f, -1e20f, kNan};
    CHECK(evaluate<std::int32_t>("cvt.rni.s32.f32 d, a;", x) ==
          I32{2, -2, 4, INT32_MAX, INT32_MIN, 0});
    CHECK(evaluate<std::int32_t>("cvt.rzi.s32.f32 d, a;", x) ==
          I32{2, -2, 3, INT32_MAX, INT32_MIN, 0});
    CHECK(evaluate<std::int32_t>("cvt.rmi.s32.f32 d, a;", x) ==
          I32{2, -3, 3, INT32_MAX, INT32_MIN, 0});
    CHECK(evaluate<std::int32_t>("cvt.rpi.s32.f32 d, a;", x) ==
          I32{3, -2, 4, INT32_MAX, INT32_MIN, 0});
    CHECK(evaluate<std::uint32_t>("cvt.rzi.u32.f32 d, a;", x) == U32{2, 0, 3, ~0u, 0, 0});
    CHECK(evaluate<std::int64_t>("cvt.rzi.s64.f32 d, a;", Floats{-7.9f, kNan}) ==
          I64{-7, INT64_MIN});
    CHECK(evaluate<std::uint64_t>("cvt.rzi.u64.f32 d, a;", Floats{1e30f, kNan}) ==
          U64{~0ull, 1ull << 63});
    CHECK(evaluate<std::int32_t>("cvt.rzi.s32.f64 d, a;",
                                 Doubles{1e10, std::numeric_limits<double>::quiet_NaN()}) ==
          I32{INT32_MAX, INT32_MIN});
    CHECK(evaluate<std::int64_t>("cvt.rni.s64.f64 d, a;", Doubles{-0.5, 1.5}) == I64{0, 2});
}

TEST_CASE("ptx: integers to floats, floats to floats") {
    CHECK(evaluate<float>("cvt.rn.f32.s32 d, a;", I32{16777217, -3}) == Floats{16777216.0f, -3.0f});
    CHECK(evaluate<float>("cvt.rp.f32.s32 d, a;", I32{16777217}) == Floats{16777218.0f});
    CHECK(evaluate<float>("cvt.rn.f32.u64 d, a;", U64{~0ull}) == Floats{0x1p64f});
    CHECK(evaluate<double>("cvt.rn.f64.s64 d, a;", I64{-1}) == Doubles{-1.0});
    CHECK(evaluate<double>("cvt.f64.f32 d, a;", Floats{0.1f}) == Doubles{0x1.99999ap-4});
    CHECK(evaluate<float>("cvt.rn.f32.f64 d, a;", Doubles{0.1, 1e300}) == Floats{0.1f, kInfinity});
    CHECK(evaluate<float>("cvt.rz.f32.f64 d, a;", Doubles{1.0 + 0x1.8p-23}) ==
          Floats{1.0f + 0x1p-23f});
    CHECK(evaluate<float>("cvt.rmi.f32.f32 d, a;", Floats{-1.25f, 2.75f}) == Floats{-2.0f, 2.0f});
    CHECK(evaluate<float>("cvt.rni.f32.f32 d, a;", Floats{2.5f, -0.5f}) == Floats{2.0f, -0.0f});
    CHECK(evaluate<float>("cvt.sat.f32.f32 d, a;", Floats{-1.0f, 0.5f, 7.0f, kNan}) ==
          Floats{0.0f, 0.5f, 1.0f, 0.0f});
}

TEST_CASE("ptx: integers to integers take signs along, cut, or saturate") {
    CHECK(evaluate<std::int64_t>("cvt.s64.s32 d, a;", I32{-5}) == I64{-5});
    CHECK(evaluate<std::uint64_t>("cvt.u64.u32 d, a;", U32{0x80000000u}) == U64{0x80000000u});
    CHECK(evaluate<std::uint32_t>("cvt.u32.u64 d, a;", U64{0x123456789ull}) == U32{0x23456789u});
    CHECK(evaluate<std::int32_t>("cvt.s32.s8 d, a;", I32{0x1ff, 0x7f}) == I32{-1, 127});
    CHECK(evaluate<std::uint32_t>("cvt.u32.u16 d, a;", U16{65535}) == U32{65535});
    CHECK(evaluate<std::uint16_t>("cvt.u16.u32 d, a;", U32{0x12345678u}) == U16{0x5678});
    CHECK(evaluate<std::int32_t>("cvt.sat.s8.s32 d, a;", I32{300, -300, 5}) == I32{127, -128, 5});
    CHECK(evaluate<std::uint32_t>("cvt.sat.u8.s32 d, a;", I32{300, -300, 5}) == U32{255, 0, 5});
}

TEST_CASE("ptx: narrow floats") {
    // tf32 keeps 10 bits of the fraction; ties go away from 0.
    const auto word = [](float x) { return std::bit_cast<std::uint32_t>(x); };
    CHECK(evaluate<std::uint32_t>(
              "cvt.rna.tf32.f32 d, a;",
              Floats{1.0f + 0x1p-11f, -1.0f - 0x1p-11f, 1.0f + 0x1p-12f, kInfinity}) ==
          U32{word(1.0f + 0x1p-10f), word(-1.0f - 0x1p-10f), word(1.0f), word(kInfinity)});
    // bf16 keeps 7; ties go to even. The first source is the upper half.
    CHECK(evaluate<std::uint32_t>("cvt.rn.bf16x2.f32 d, a, b;", Floats{1.0f, kNan},
                                  Floats{1.0f + 0x1p-8f, 1.0f + 0x1.8p-7f}) ==
          U32{0x3f803f80u, 0x7fff3f82u});
    CHECK(evaluate<std::uint16_t>("cvt.rn.bf16.f32 d, a;", Floats{-2.0f}) == U16{0xc000});
    CHECK(evaluate<float>("cvt.f32.bf16 d, a;", U16{0xc000, 0x3f81}) ==
          Floats{-2.0f, 1.0f + 0x1p-7f});
    CHECK(evaluate<std::uint16_t>("cvt.rn.f16.f32 d, a;",
                                  Floats{1.0f, 65520.0f, 0x1p-24f, 1.0f + 0x1p-11f, -0.5f}) ==
          U16{0x3c00, 0x7c00, 1, 0x3c00, 0xb800});
    CHECK(evaluate<float>("cvt.f32.f16 d, a;", U16{0x3c00, 1, 0xfc00}) ==
          Floats{1.0f, 0x1p-24f, -kInfinity});
}
