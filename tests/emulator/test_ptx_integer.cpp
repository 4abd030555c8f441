// Integers and bits: values worked out by hand from the PTX ISA.
#include <doctest/doctest.h>

#include "tests/emulator/kernel.h"

using namespace emulator;

namespace {
using U16 = std::vector<std::uint16_t>;
using I16 = std::vector<std::int16_t>;
using U32 = std::vector<std::uint32_t>;
using I32 = std::vector<std::int32_t>;
using U64 = std::vector<std::uint64_t>;
using I64 = std::vector<std::int64_t>;
}  // namespace

TEST_CASE("ptx: sums, differences and products of integers wrap") {
    CHECK(evaluate<std::int32_t>("add.s32 d, a, b;", I32{INT32_MAX, -5}, I32{1, 2}) ==
          I32{INT32_MIN, -3});
    CHECK(evaluate<std::int64_t>("sub.s64 d, a, b;", I64{INT64_MIN}, I64{1}) == I64{INT64_MAX});
    CHECK(evaluate<std::uint16_t>("add.u16 d, a, b;", U16{65535}, U16{2}) == U16{1});
    CHECK(evaluate<std::uint16_t>("mul.lo.u16 d, a, b;", U16{65535}, U16{65535}) == U16{1});
    CHECK(evaluate<std::int32_t>("mul.lo.s32 d, a, b;", I32{100000}, I32{100000}) ==
          I32{1410065408});
    CHECK(evaluate<std::uint32_t>("mul.hi.u32 d, a, b;", U32{0xffffffffu}, U32{0xffffffffu}) ==
          U32{0xfffffffeu});
    CHECK(evaluate<std::int32_t>("mul.hi.s32 d, a, b;", I32{-1}, I32{1}) == I32{-1});
    CHECK(evaluate<std::uint64_t>("mul.hi.u64 d, a, b;", U64{~0ull}, U64{~0ull}) == U64{~1ull});
    CHECK(evaluate<std::int64_t>("mul.hi.s64 d, a, b;", I64{INT64_MIN}, I64{2}) == I64{-1});
    CHECK(evaluate<std::uint64_t>("mul.wide.u32 d, a, b;", U32{0xffffffffu}, U32{0xffffffffu}) ==
          U64{0xfffffffe00000001ull});
    CHECK(evaluate<std::int64_t>("mul.wide.s32 d, a, b;", I32{-3}, I32{5}) == I64{-15});
    CHECK(evaluate<std::int32_t>("mul.wide.s16 d, a, b;", I16{-300}, I16{300}) == I32{-90000});
    CHECK(evaluate<std::int32_t>("mad.lo.s32 d, a, b, c;", I32{7}, I32{-6}, I32{100}) == I32{58});
    CHECK(evaluate<std::uint32_t>("mad.hi.u32 d, a, b, c;", U32{1u << 31}, U32{4}, U32{40}) ==
          U32{42});
    CHECK(evaluate<std::int64_t>("mad.wide.s32 d, a, b, c;", I32{-2}, I32{3}, I64{10}) == I64{4});
    CHECK(evaluate<std::int32_t>("add.sat.s32 d, a, b;", I32{INT32_MAX, INT32_MIN}, I32{1, -1}) ==
          I32{INT32_MAX, INT32_MIN});
    CHECK(evaluate<std::int32_t>("sad.s32 d, a, b, c;", I32{3, -4}, I32{-4, 3}, I32{1, 1}) ==
          I32{8, 8});
}

TEST_CASE("ptx: division goes towards 0; by 0 it gives all ones and the dividend as the rest") {
    CHECK(evaluate<std::int32_t>("div.s32 d, a, b;", I32{-7, 7, INT32_MIN, 5}, I32{2, -2, -1, 0}) ==
          I32{-3, -3, INT32_MIN, -1});
    CHECK(evaluate<std::int32_t>("rem.s32 d, a, b;", I32{-7, 7, INT32_MIN, 5}, I32{2, -2, -1, 0}) ==
          I32{-1, 1, 0, 5});
    CHECK(evaluate<std::uint64_t>("div.u64 d, a, b;", U64{~0ull}, U64{10}) ==
          U64{1844674407370955161ull});
    CHECK(evaluate<std::uint64_t>("rem.u64 d, a, b;", U64{~0ull}, U64{10}) == U64{5});
}

TEST_CASE("ptx: least, greatest, negative, absolute") {
    CHECK(evaluate<std::int32_t>("min.s32 d, a, b;", I32{-1}, I32{1}) == I32{-1});
    CHECK(evaluate<std::uint32_t>("min.u32 d, a, b;", U32{0xffffffffu}, U32{1}) == U32{1});
    CHECK(evaluate<std::int64_t>("max.s64 d, a, b;", I64{-1}, I64{1}) == I64{1});
    CHECK(evaluate<std::uint64_t>("max.u64 d, a, b;", U64{~0ull}, U64{1}) == U64{~0ull});
    CHECK(evaluate<std::int32_t>("neg.s32 d, a;", I32{5, INT32_MIN}) == I32{-5, INT32_MIN});
    CHECK(evaluate<std::int64_t>("abs.s64 d, a;", I64{-5}) == I64{5});
}

TEST_CASE("ptx: carries link additions, borrows subtractions") {
    // 0x00000001ffffffff + 1, in words
    CHECK(evaluate<std::uint32_t>("add.cc.u32 r, a, b; addc.u32 d, c, 0;", U32{0xffffffffu, 5},
                                  U32{1, 6}, U32{1, 1}) == U32{2, 1});
    CHECK(evaluate<std::uint32_t>("sub.cc.u32 r, a, b; subc.u32 d, c, 0;", U32{0, 9}, U32{1, 3},
                                  U32{7, 7}) == U32{6, 7});
    CHECK(evaluate<std::uint32_t>("mad.lo.cc.u32 r, a, b, c; madc.hi.u32 d, a, b, 0;",
                                  U32{0x10000u}, U32{0x10001u}, U32{0xffff0000u}) == U32{2});
}

TEST_CASE("ptx: logic of bits") {
    const U32 a{0b1100}, b{0b1010};
    CHECK(evaluate<std::uint32_t>("and.b32 d, a, b;", a, b) == U32{0b1000});
    CHECK(evaluate<std::uint32_t>("or.b32 d, a, b;", a, b) == U32{0b1110});
    CHECK(evaluate<std::uint32_t>("xor.b32 d, a, b;", a, b) == U32{0b0110});
    CHECK(evaluate<std::uint32_t>("not.b32 d, a;", a) == U32{0xfffffff3u});
    CHECK(evaluate<std::uint32_t>("cnot.b32 d, a;", U32{0, 7}) == U32{1, 0});
    // The tables of (a & b) ^ c and of a ? b : c are 0x6a and 0xca.
    CHECK(evaluate<std::uint32_t>("lop3.b32 d, a, b, c, 0x6a;", a, b, U32{0xffu}) ==
          U32{(0b1100u & 0b1010u) ^ 0xffu});
    CHECK(evaluate<std::uint32_t>("lop3.b32 d, a, b, c, 0xca;", U32{0xf0f0u}, U32{0xaaaau},
                                  U32{0x5555u}) == U32{0xa5a5u});
    CHECK(evaluate<std::uint32_t>(
              "setp.ne.u32 p, a, 0; not.pred q, p; and.pred p, p, q; selp.u32 d, 1, 0, p;", a) ==
          U32{0});
}

TEST_CASE("ptx: shifts by the width and more") {
    CHECK(evaluate<std::uint32_t>("shl.b32 d, a, b;", U32{3, 3, 3}, U32{1, 31, 32}) ==
          U32{6, 0x80000000u, 0});
    CHECK(evaluate<std::uint32_t>("shr.u32 d, a, b;", U32{0x80000000u, 0x80000000u}, U32{31, 40}) ==
          U32{1, 0});
    CHECK(evaluate<std::int32_t>("shr.s32 d, a, b;", I32{INT32_MIN, INT32_MIN}, U32{31, 99}) ==
          I32{-1, -1});
    CHECK(evaluate<std::uint64_t>("shl.b64 d, a, b;", U64{1, 1}, U32{63, 64}) ==
          U64{1ull << 63, 0});
    CHECK(evaluate<std::int64_t>("shr.s64 d, a, b;", I64{-8}, U32{2}) == I64{-2});
    CHECK(evaluate<std::uint32_t>("shf.l.wrap.b32 d, a, b, c;", U32{0x80000001u}, U32{0x2u},
                                  U32{33}) == U32{5});
    CHECK(evaluate<std::uint32_t>("shf.l.clamp.b32 d, a, b, c;", U32{0x80000001u}, U32{0x2u},
                                  U32{40}) == U32{0x80000001u});
    CHECK(evaluate<std::uint32_t>("shf.r.wrap.b32 d, a, b, c;", U32{0x12345678u}, U32{0x9abcdef0u},
                                  U32{8}) == U32{0xf0123456u});
    CHECK(evaluate<std::uint32_t>("shf.r.clamp.b32 d, a, b, c;", U32{0x12345678u}, U32{0x9abcdef0u},
                                  U32{32}) == U32{0x9abcdef0u});
}

TEST_CASE("ptx: fields of bits") {
    CHECK(evaluate<std::uint32_t>("bfe.u32 d, a, 8, 8;", U32{0x12345678u}) == U32{0x56u});
    CHECK(evaluate<std::int32_t>("bfe.s32 d, a, 4, 4;", I32{0x00000080, 0x00000070}) == I32{-8, 7});
    CHECK(evaluate<std::int32_t>("bfe.s32 d, a, 28, 8;", I32{INT32_MIN}) ==
          I32{-8});  // past the top: the sign
    CHECK(evaluate<std::uint32_t>("bfe.u32 d, a, 40, 8;", U32{~0u}) == U32{0});
    CHECK(evaluate<std::uint64_t>("bfe.u64 d, a, 60, 8;", U64{~0ull}) == U64{15});
    CHECK(evaluate<std::uint32_t>("bfi.b32 d, a, b, 8, 4;", U32{0xabcu}, U32{0xffffffffu}) ==
          U32{0xfffffcffu});
    CHECK(evaluate<std::uint32_t>("bfi.b32 d, a, b, 8, 0;", U32{0xabcu}, U32{0x12u}) == U32{0x12u});
    CHECK(evaluate<std::uint32_t>("bmsk.clamp.b32 d, a, b;", U32{4, 28, 40, 0}, U32{8, 8, 1, 32}) ==
          U32{0xff0u, 0xf0000000u, 0, ~0u});
    CHECK(evaluate<std::uint32_t>("bmsk.wrap.b32 d, a, b;", U32{36}, U32{33}) == U32{0x10u});
}

TEST_CASE("ptx: permutations of bytes") {
    const U32 a{0x33221100u}, b{0x77665544u};
    CHECK(evaluate<std::uint32_t>("prmt.b32 d, a, b, 0x5410;", a, b) == U32{0x55441100u});
    CHECK(evaluate<std::uint32_t>("prmt.b32 d, a, b, 0x0123;", a, b) == U32{0x00112233u});
    CHECK(evaluate<std::uint32_t>("prmt.b32 d, a, b, 0x888f;", U32{0x000000ffu},
                                  U32{0x80000000u}) == U32{0xffffffffu});  // signs
    CHECK(evaluate<std::uint32_t>("prmt.b32.f4e d, a, b, 1;", a, b) == U32{0x44332211u});
    CHECK(evaluate<std::uint32_t>("prmt.b32.b4e d, a, b, 1;", a, b) == U32{0x66770011u});
    CHECK(evaluate<std::uint32_t>("prmt.b32.rc8 d, a, b, 2;", a, b) == U32{0x22222222u});
    CHECK(evaluate<std::uint32_t>("prmt.b32.rc16 d, a, b, 1;", a, b) == U32{0x33223322u});
    CHECK(evaluate<std::uint32_t>("prmt.b32.ecl d, a, b, 2;", a, b) == U32{0x33222222u});
    CHECK(evaluate<std::uint32_t>("prmt.b32.ecr d, a, b, 2;", a, b) == U32{0x22221100u});
}

TEST_CASE("ptx: counts and positions of bits") {
    CHECK(evaluate<std::uint32_t>("popc.b32 d, a;", U32{0xf0f0u, 0}) == U32{8, 0});
    CHECK(evaluate<std::uint32_t>("popc.b64 d, a;", U64{~0ull}) == U32{64});
    CHECK(evaluate<std::uint32_t>("clz.b32 d, a;", U32{0, 1, ~0u}) == U32{32, 31, 0});
    CHECK(evaluate<std::uint32_t>("clz.b64 d, a;", U64{1}) == U32{63});
    CHECK(evaluate<std::uint32_t>("brev.b32 d, a;", U32{0x80000001u, 0x6u}) ==
          U32{0x80000001u, 0x60000000u});
    CHECK(evaluate<std::uint32_t>("bfind.u32 d, a;", U32{0, 0x500u}) == U32{~0u, 10});
    CHECK(evaluate<std::uint32_t>("bfind.s32 d, a;", I32{-1, -5, 5}) == U32{~0u, 2, 2});
    CHECK(evaluate<std::uint32_t>("bfind.shiftamt.u32 d, a;", U32{0x500u}) == U32{21});
}

TEST_CASE("ptx: moves pack and unpack") {
    CHECK(evaluate<std::uint64_t>("mov.b64 d, {a, b};", U32{1}, U32{2}) == U64{0x200000001ull});
    CHECK(evaluate<std::uint32_t>("mov.b64 {r, d}, a;", U64{0x200000001ull}) == U32{2});
    CHECK(evaluate<std::uint32_t>("mov.b32 d, {a, b};", U16{0x1234}, U16{0x5678}) ==
          U32{0x56781234u});
    CHECK(evaluate<std::uint16_t>(".reg .b16 x; mov.b32 {d, x}, a;", U32{0x56781234u}) ==
          U16{0x1234});
}
