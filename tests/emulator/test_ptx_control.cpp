// Paths: lanes part at branches and meet again; loops, early returns, guards, tables of branches.
#include <doctest/doctest.h>
#include <numeric>

#include "tests/emulator/kernel.h"

using namespace emulator;

namespace {

using U32 = std::vector<std::uint32_t>;

U32 counting(std::uint32_t n) {
    U32 x(n);
    std::iota(x.begin(), x.end(), 0u);
    return x;
}

template <class F>
U32 expected(std::uint32_t n, const F& f) {
    U32 x;
    for (std::uint32_t i = 0; i < n; ++i) x.push_back(f(i));
    return x;
}

// A vote over all lanes shows whether they have met again.
const std::string kTogether = "activemask.b32 d;\n";

}  // namespace

TEST_CASE("ptx: both sides of a branch, and all lanes together after it") {
    const std::string branch =
        "and.b32 r, a, 1; setp.eq.u32 p, r, 0;\n"
        "@p bra EVEN;\nmul.lo.u32 d, a, 3;\nadd.u32 d, d, 1;\nbra.uni MEET;\n"
        "EVEN:\nshr.u32 d, a, 1;\nMEET:\n";
    CHECK(evaluate<std::uint32_t>(branch, counting(70)) ==
          expected(70, [](std::uint32_t i) { return i % 2 ? 3 * i + 1 : i / 2; }));
    CHECK(evaluate<std::uint32_t>(branch + kTogether, counting(32)) == U32(32, ~0u));
    CHECK(evaluate<std::uint32_t>(branch + kTogether, counting(5)) ==
          U32(5, 0x1fu));  // a warp that is not full
}

TEST_CASE("ptx: nested loops of different lengths") {
    // d = Σ_{i<a} Σ_{j<=i mod 3} (i + j)
    const std::string loops =
        ".reg .u32 i, j, m; mov.u32 d, 0; mov.u32 i, 0;\n"
        "OUTER:\nsetp.ge.u32 p, i, a;\n@p bra DONE;\nrem.u32 m, i, 3;\nmov.u32 j, 0;\n"
        "INNER:\nadd.u32 r, i, j; add.u32 d, d, r; add.u32 j, j, 1; setp.le.u32 p, j, m;\n@p bra "
        "INNER;\n"
        "add.u32 i, i, 1;\nbra OUTER;\nDONE:\n";
    CHECK(evaluate<std::uint32_t>(loops, counting(100)) == expected(100, [](std::uint32_t a) {
              std::uint32_t d = 0;
              for (std::uint32_t i = 0; i < a; ++i)
                  for (std::uint32_t j = 0; j <= i % 3; ++j) d += i + j;
              return d;
          }));
    CHECK(evaluate<std::uint32_t>(loops + kTogether, counting(32)) == U32(32, ~0u));
}

TEST_CASE("ptx: a block of code that stands after the place it returns to") {
    const std::string cold =
        "setp.gt.u32 p, a, 10; mov.u32 d, 7;\n@p bra COLD;\nBACK:\nadd.u32 d, d, 1;\nbra OVER;\n"
        "COLD:\nmov.u32 d, 100; bra BACK;\nOVER:\n";
    CHECK(evaluate<std::uint32_t>(cold, counting(20)) ==
          expected(20, [](std::uint32_t i) { return i > 10 ? 101u : 8u; }));
}

TEST_CASE("ptx: lanes that return early leave the others alone") {
    Array<std::uint32_t> result(U32(64, 5));
    launch(kernel_text(1, R"(.reg .pred p, q; .reg .u32 t, r; .reg .b64 o;
        mov.u32 t, %tid.x; and.b32 r, t, 3; setp.eq.u32 p, r, 2; setp.eq.u32 q, t, 40;
        @p ret;
        @q exit;
        mul.wide.u32 o, t, 4; add.s64 o, o, %q0; st.global.u32 [o], t;)"),
           {1, 1, 1}, {64, 1, 1}, result.address());
    CHECK(result.values() ==
          expected(64, [](std::uint32_t i) { return i % 4 == 2 || i == 40 ? 5 : i; }));
}

TEST_CASE("ptx: guards keep what the other lanes had") {
    CHECK(evaluate<std::uint32_t>(
              "setp.lt.u32 p, a, 3; mov.u32 d, 9; @p mov.u32 d, 1; @!p add.u32 d, d, a;",
              counting(6)) == U32{1, 1, 1, 12, 13, 14});
}

TEST_CASE("ptx: a table of branches") {
    const std::string table =
        "T: .branchtargets L0, L1, L2;\nrem.u32 r, a, 3;\nbrx.idx r, T;\n"
        "L0:\nmov.u32 d, 10;\nbra END;\nL1:\nmov.u32 d, 20;\nbra END;\nL2:\nmov.u32 d, 30;\nEND:\n";
    CHECK(evaluate<std::uint32_t>(table, counting(40)) ==
          expected(40, [](std::uint32_t i) { return 10 + 10 * (i % 3); }));
    CHECK(evaluate<std::uint32_t>(table + kTogether, counting(32)) == U32(32, ~0u));
}

TEST_CASE("ptx: registers of inner blocks hide outer ones") {
    CHECK(evaluate<std::uint32_t>("mov.u32 r, 5; { .reg .u32 r; mov.u32 r, 7; } add.u32 d, a, r;",
                                  U32{1}) == U32{6});
}

TEST_CASE("ptx: threads, blocks and their sizes in three dimensions") {
    // Every thread writes its own number, computed from all special registers.
    Array<std::uint32_t> result(2 * 3 * 2 * 4 * 2 * 5);
    launch(kernel_text(1, R"(.reg .u32 a, b, n; .reg .b64 o;
        mov.u32 a, %tid.z; mov.u32 b, %ntid.y; mov.u32 n, %tid.y; mad.lo.u32 a, a, b, n;
        mov.u32 b, %ntid.x; mov.u32 n, %tid.x; mad.lo.u32 a, a, b, n;
        mov.u32 n, %ctaid.z; mov.u32 b, %nctaid.y; mul.lo.u32 n, n, b; mov.u32 b, %ctaid.y; add.u32 n, n, b;
        mov.u32 b, %nctaid.x; mul.lo.u32 n, n, b; mov.u32 b, %ctaid.x; add.u32 n, n, b;
        mad.lo.u32 a, n, 40, a; mul.wide.u32 o, a, 4; add.s64 o, o, %q0; st.global.u32 [o], a;)"),
           {2, 3, 2}, {4, 2, 5}, result.address());
    CHECK(result.values() == counting(480));
    CHECK(evaluate<std::uint32_t>("mov.u32 d, %laneid;", U32(40))[37] == 5);
    CHECK(evaluate<std::uint32_t>("mov.u32 d, %lanemask_lt;", U32(40))[3] == 7);
    CHECK(evaluate<std::uint32_t>("mov.u32 d, %lanemask_ge;", U32(40))[4] == 0xfffffff0u);
}

TEST_CASE("ptx: blocks on several host threads give the same") {
    Execution threads;
    threads.threads = 3;
    Array<std::uint32_t> result(3200);
    launch(
        kernel_text(
            1,
            R"(.reg .u32 a, b; .reg .b64 o; mov.u32 a, %ctaid.x; mov.u32 b, %tid.x; mad.lo.u32 a, a, 32, b;
        mul.wide.u32 o, a, 4; add.s64 o, o, %q0; st.global.u32 [o], a;)"),
        {100, 1, 1}, {32, 1, 1}, threads, result.address());
    CHECK(result.values() == counting(3200));
}

TEST_CASE("ptx: what is not understood is named with its line") {
    CHECK(contains(fault_of(kernel_text(0, "wmma.load.f32 ;"), {1, 1, 1}, {1, 1, 1}),
                   "wmma.load.f32"));
    CHECK(contains(fault_of(kernel_text(0, "\n\nbra NOWHERE;"), {1, 1, 1}, {1, 1, 1}), "line 9"));
    CHECK(contains(fault_of(kernel_text(0, ".reg .b64 x; add.u32 x, x, 1;"), {1, 1, 1}, {1, 1, 1}),
                   "not as wide"));
    CHECK(contains(fault_of(kernel_text(0, "add.u32 x, x, 1;"), {1, 1, 1}, {1, 1, 1}),
                   "no variable x"));
    CHECK_THROWS_AS(Module::parse("not PTX at all"), Fault);
    CHECK(contains(fault_of(kernel_text(0, "trap;"), {1, 1, 1}, {1, 1, 1}), "traps"));
}

TEST_CASE("ptx: opcodes held and executed are counted") {
    const auto module = Module::parse(
        kernel_text(0,
                    ".reg .u32 x; .reg .pred p; mov.u32 x, 1; setp.eq.u32 p, x, 1; @p bra L;\n"
                    "popc.b32 x, x; bra L; L: clz.b32 x, x;"));
    execute(*module->kernel("k"), {1, 1, 1}, {32, 1, 1}, 0, {});
    const Coverage c = coverage();
    CHECK(c.held().contains("popc.b32"));
    CHECK(c.executed().contains("setp.eq.u32"));
    CHECK(c.executed().contains("clz.b32"));
}
