// Shuffles, votes, matches, reductions, and mma fragments, beside what the PTX ISA says of each
// lane.
#include <doctest/doctest.h>
#include <bit>
#include <numeric>
#include <random>

#include "tests/emulator/kernel.h"

using namespace emulator;

namespace {

using U32 = std::vector<std::uint32_t>;

U32 lanes() {
    U32 x(32);
    std::iota(x.begin(), x.end(), 0u);
    return x;
}

template <class F>
U32 of_lane(const F& f) {
    U32 x;
    for (std::uint32_t l = 0; l < 32; ++l) x.push_back(f(l));
    return x;
}

U32 hundreds() {
    return of_lane([](std::uint32_t l) { return 100 + l; });
}

}  // namespace

TEST_CASE("ptx: shuffles of a whole warp") {
    CHECK(evaluate<std::uint32_t>("shfl.sync.up.b32 d|p, a, 3, 0, -1;", hundreds()) ==
          of_lane([](std::uint32_t l) { return 100 + (l < 3 ? l : l - 3); }));
    CHECK(evaluate<std::uint32_t>("shfl.sync.down.b32 d|p, a, 5, 31, -1;", hundreds()) ==
          of_lane([](std::uint32_t l) { return 100 + (l + 5 > 31 ? l : l + 5); }));
    CHECK(evaluate<std::uint32_t>("shfl.sync.bfly.b32 d, a, 9, 31, -1;", hundreds()) ==
          of_lane([](std::uint32_t l) { return 100 + (l ^ 9); }));
    CHECK(evaluate<std::uint32_t>("shfl.sync.idx.b32 d, a, 17, 31, -1;", hundreds()) ==
          U32(32, 117));
    CHECK(evaluate<std::uint32_t>("shfl.sync.up.b32 r|p, a, 3, 0, -1; selp.u32 d, 1, 0, p;",
                                  hundreds()) ==
          of_lane([](std::uint32_t l) { return l >= 3 ? 1u : 0u; }));
    CHECK(evaluate<std::uint32_t>("shfl.sync.down.b32 r|p, a, 5, 31, -1; selp.u32 d, 1, 0, p;",
                                  hundreds()) ==
          of_lane([](std::uint32_t l) { return l + 5 <= 31 ? 1u : 0u; }));
}

TEST_CASE("ptx: shuffles inside segments of eight lanes") {
    // c: the clamp in the low bits, the mask of segments (32 − 8) above.
    CHECK(evaluate<std::uint32_t>("shfl.sync.down.b32 d, a, 3, 0x181f, -1;", hundreds()) ==
          of_lane([](std::uint32_t l) { return 100 + (l % 8 + 3 > 7 ? l : l + 3); }));
    CHECK(evaluate<std::uint32_t>("shfl.sync.up.b32 d, a, 3, 0x1800, -1;", hundreds()) ==
          of_lane([](std::uint32_t l) { return 100 + (l % 8 < 3 ? l : l - 3); }));
    CHECK(evaluate<std::uint32_t>("shfl.sync.idx.b32 d, a, 2, 0x181f, -1;", hundreds()) ==
          of_lane([](std::uint32_t l) { return 100 + l / 8 * 8 + 2; }));
}

TEST_CASE("ptx: shuffles among some lanes, each side of a branch by itself") {
    const std::string parted =
        "setp.lt.u32 p, a, 16;\n@p bra LOW;\nshfl.sync.bfly.b32 d, a, 1, 31, 0xffff0000;\nbra "
        "END;\n"
        "LOW:\nshfl.sync.idx.b32 d, a, 5, 31, 0x0000ffff;\nEND:\n";
    CHECK(evaluate<std::uint32_t>(parted, lanes()) ==
          of_lane([](std::uint32_t l) { return l < 16 ? 5u : l ^ 1; }));
}

TEST_CASE("ptx: lanes that come late are waited for") {
    // The odd lanes take a detour that stands after the exchange.
    const std::string late =
        "and.b32 r, a, 1; setp.eq.u32 p, r, 1; mov.u32 s, a;\n@p bra DETOUR;\nMEET:\n"
        "shfl.sync.bfly.b32 d, s, 1, 31, -1;\nbra END;\nDETOUR:\nadd.u32 s, s, 1000;\nbra "
        "MEET;\nEND:\n";
    CHECK(evaluate<std::uint32_t>(late, lanes()) ==
          of_lane([](std::uint32_t l) { return l % 2 ? l - 1 : l + 1001; }));
    const std::string barrier =
        "and.b32 r, a, 1; setp.eq.u32 p, r, 1;\n@p bra DETOUR;\nMEET:\nbar.warp.sync "
        "-1;\nactivemask.b32 d;\nbra END;\n"
        "DETOUR:\nbra MEET;\nEND:\n";
    CHECK(evaluate<std::uint32_t>(barrier, lanes()) == U32(32, ~0u));
}

TEST_CASE("ptx: votes") {
    const std::string odd = "and.b32 r, a, 1; setp.eq.u32 p, r, 1;\n";
    CHECK(evaluate<std::uint32_t>(odd + "vote.sync.ballot.b32 d, p, -1;", lanes()) ==
          U32(32, 0xaaaaaaaau));
    CHECK(evaluate<std::uint32_t>(odd + "vote.ballot.sync.b32 d, !p, 0xffffffff;", lanes()) ==
          U32(32, 0x55555555u));
    CHECK(evaluate<std::uint32_t>(odd + "vote.sync.any.pred q, p, -1; selp.u32 d, 1, 0, q;",
                                  lanes()) == U32(32, 1));
    CHECK(evaluate<std::uint32_t>(odd + "vote.sync.all.pred q, p, -1; selp.u32 d, 1, 0, q;",
                                  lanes()) == U32(32, 0));
    CHECK(evaluate<std::uint32_t>(odd + "vote.sync.uni.pred q, p, -1; selp.u32 d, 1, 0, q;",
                                  lanes()) == U32(32, 0));
    CHECK(evaluate<std::uint32_t>(
              "setp.ge.u32 p, a, 0; vote.sync.all.pred q, p, -1; selp.u32 d, 1, 0, q;", lanes()) ==
          U32(32, 1));
    // In a branch of some lanes, with their own mask.
    CHECK(evaluate<std::uint32_t>("mov.u32 d, 0; setp.ge.u32 p, a, 28;\n@!p bra "
                                  "END;\nvote.sync.ballot.b32 d, p, 0xf0000000;\nEND:\n",
                                  lanes()) ==
          of_lane([](std::uint32_t l) { return l >= 28 ? 0xf0000000u : 0u; }));
}

TEST_CASE("ptx: matches and reductions over a warp") {
    CHECK(evaluate<std::uint32_t>("and.b32 r, a, 1; match.any.sync.b32 d, r, -1;", lanes()) ==
          of_lane([](std::uint32_t l) { return l % 2 ? 0xaaaaaaaau : 0x55555555u; }));
    CHECK(evaluate<std::uint32_t>("and.b32 r, a, 1; match.all.sync.b32 d|p, r, -1;", lanes()) ==
          U32(32, 0));
    CHECK(evaluate<std::uint32_t>("mov.u32 r, 4; match.all.sync.b32 d|p, r, -1;", lanes()) ==
          U32(32, ~0u));
    CHECK(evaluate<std::uint32_t>("redux.sync.add.u32 d, a, -1;", lanes()) == U32(32, 496));
    CHECK(evaluate<std::int32_t>("redux.sync.min.s32 d, a, -1;",
                                 std::vector<std::int32_t>{-3, 5, 7, -1}) ==
          std::vector<std::int32_t>(4, -3));
    CHECK(evaluate<std::uint32_t>("redux.sync.xor.b32 d, a, -1;", U32{1, 2, 4}) == U32(3, 7));
    CHECK(evaluate<std::uint32_t>("elect.sync r|p, -1; selp.u32 d, 1, 0, p;", lanes()) ==
          of_lane([](std::uint32_t l) { return l == 0 ? 1u : 0u; }));
}

namespace {

// Runs one mma of a warp; words of A (4 a lane), B (2), C (4) by lane and number.
std::vector<float> product(const std::string& opcode, const U32& a, const U32& b,
                           const std::vector<float>& c) {
    Array<std::uint32_t> da(a), db(b);
    Array<float> dc(c), dd(128);
    launch(kernel_text(4, R"(.reg .b32 a<4>, b<2>, t; .reg .f32 c<4>, d<4>; .reg .b64 o, x;
        mov.u32 t, %tid.x; mul.wide.u32 o, t, 16; add.s64 x, o, %q0; ld.global.v4.u32 {a0, a1, a2, a3}, [x];
        add.s64 x, o, %q2; ld.global.v4.f32 {c0, c1, c2, c3}, [x];
        mul.wide.u32 x, t, 8; add.s64 x, x, %q1; ld.global.v2.u32 {b0, b1}, [x];
        )" + opcode + R"( {d0, d1, d2, d3}, {a0, a1, a2, a3}, {b0, b1}, {c0, c1, c2, c3};
        add.s64 x, o, %q3; st.global.v4.f32 [x], {d0, d1, d2, d3};)"),
           {1, 1, 1}, {32, 1, 1}, da.address(), db.address(), dc.address(), dd.address());
    return dd.values();
}

std::uint32_t word(float x) {
    return std::bit_cast<std::uint32_t>(x);
}

}  // namespace

// The tables of "Matrix Fragments for mma.m16n8k8" in the PTX ISA (group g = lane / 4, t = lane mod
// 4): A a0 (g, t), a1 (g + 8, t), a2 (g, t + 4), a3 (g + 8, t + 4); B b0 (t, g), b1 (t + 4, g); C
// c0 (g, 2t), c1 (g, 2t + 1), c2 (g + 8, 2t), c3 (g + 8, 2t + 1).
TEST_CASE("ptx: mma m16n8k8 tf32 beside a plain product") {
    std::mt19937 random(7);
    const auto number = [&] {
        return static_cast<float>(static_cast<int>(random() % 65) - 32);
    };  // exact in tf32
    float left[16][8], right[8][8], add[16][8];
    for (auto& row : left)
        for (float& x : row) x = number();
    for (auto& row : right)
        for (float& x : row) x = number();
    for (auto& row : add)
        for (float& x : row) x = number();
    U32 a, b;
    std::vector<float> c, expected;
    for (int lane = 0; lane < 32; ++lane) {
        const int g = lane / 4, t = lane % 4;
        for (const auto& [row, column] : {std::pair{g, t}, {g + 8, t}, {g, t + 4}, {g + 8, t + 4}})
            a.push_back(word(left[row][column]));
        for (const auto& [row, column] : {std::pair{t, g}, {t + 4, g}})
            b.push_back(word(right[row][column]));
        for (const auto& [row, column] :
             {std::pair{g, 2 * t}, {g, 2 * t + 1}, {g + 8, 2 * t}, {g + 8, 2 * t + 1}}) {
            c.push_back(add[row][column]);
            float sum = add[row][column];
            for (int k = 0; k < 8; ++k)
                sum += left[row][k] * right[k][column];  // integers below 2^24: exact
            expected.push_back(sum);
        }
    }
    CHECK(product("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", a, b, c) == expected);
}

// "Matrix Fragments for mma.m16n8k16": A's word 0 holds (g, 2t) and (g, 2t + 1), word 1 rows g + 8,
// words 2 and 3 columns 8 further; B's word 0 holds (2t, g) and (2t + 1, g), word 1 rows 8 further.
// The lower half comes first.
TEST_CASE("ptx: mma m16n8k16 bf16 beside a plain product") {
    std::mt19937 random(8);
    const auto number = [&] { return static_cast<float>(static_cast<int>(random() % 65) - 32); };
    float left[16][16], right[16][8], add[16][8];
    for (auto& row : left)
        for (float& x : row) x = number();
    for (auto& row : right)
        for (float& x : row) x = number();
    for (auto& row : add)
        for (float& x : row) x = number();
    const auto two = [](float low, float high) {
        return word(low) >> 16 | (word(high) & 0xffff0000u);
    };
    U32 a, b;
    std::vector<float> c, expected;
    for (int lane = 0; lane < 32; ++lane) {
        const int g = lane / 4, t = lane % 4;
        for (const auto& [row, column] :
             {std::pair{g, 2 * t}, {g + 8, 2 * t}, {g, 2 * t + 8}, {g + 8, 2 * t + 8}})
            a.push_back(two(left[row][column], left[row][column + 1]));
        for (const int row : {2 * t, 2 * t + 8}) b.push_back(two(right[row][g], right[row + 1][g]));
        for (const auto& [row, column] :
             {std::pair{g, 2 * t}, {g, 2 * t + 1}, {g + 8, 2 * t}, {g + 8, 2 * t + 1}}) {
            c.push_back(add[row][column]);
            float sum = add[row][column];
            for (int k = 0; k < 16; ++k) sum += left[row][k] * right[k][column];
            expected.push_back(sum);
        }
    }
    CHECK(product("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", a, b, c) == expected);
}

TEST_CASE("ptx: mma ignores the low bits of a tf32 word") {
    const U32 a(128, word(1.0f) | 0x1fffu), b(64, word(2.0f) | 0x1fffu);
    CHECK(product("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", a, b,
                  std::vector<float>(128, 0.5f)) == std::vector<float>(128, 16.5f));
}
