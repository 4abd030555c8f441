// Barriers of a block, in every order of its warps; faults where threads do not meet.
#include <doctest/doctest.h>
#include <numeric>

#include "tests/emulator/kernel.h"

using namespace emulator;

namespace {

using U32 = std::vector<std::uint32_t>;
const std::string kThread =
    ".reg .pred p, q; .reg .b32 %t, %r<8>; .reg .b64 %o;\nmov.u32 %t, %tid.x; mul.wide.u32 %o, %t, "
    "4; add.s64 %o, %o, %q0;\n";

std::string fault_of_threads(const std::string& body, unsigned threads) {
    Array<std::uint32_t> out(threads);
    return fault_of(kernel_text(1, kThread + body), {1, 1, 1}, {threads, 1, 1}, out.address());
}

}  // namespace

// Sums over a block by halving: ten barriers, each needed.
TEST_CASE("ptx: a sum over a block, whatever the order of its warps") {
    const std::string text =
        kernel_text(1, ".shared .align 4 .b8 s[1024];\n" + kThread +
                           R"(shl.b32 %r0, %t, 2; mov.u32 %r1, s; add.u32 %r0, %r0, %r1;
        st.shared.u32 [%r0], %t; mov.u32 %r2, 128;
        LOOP:
        bar.sync 0; setp.ge.u32 p, %t, %r2;
        @p bra SKIP;
        shl.b32 %r3, %r2, 2; add.u32 %r3, %r3, %r0; ld.shared.u32 %r4, [%r3]; ld.shared.u32 %r5, [%r0]; add.u32 %r4, %r4, %r5; st.shared.u32 [%r0], %r4;
        SKIP:
        shr.u32 %r2, %r2, 1; setp.ne.u32 p, %r2, 0;
        @p bra LOOP;
        bar.sync 0; ld.shared.u32 %r6, [s]; st.global.u32 [%o], %r6;)");
    for (std::uint64_t order = 0; order < 5; ++order) {
        Array<std::uint32_t> out(256);
        Execution execution;
        execution.order = order;
        launch(text, {1, 1, 1}, {256, 1, 1}, execution, out.address());
        CHECK(out.values() == U32(256, 255 * 128));
    }
}

TEST_CASE("ptx: barriers that also count or vote") {
    const auto run = [](const std::string& body) {
        Array<std::uint32_t> out(96);
        launch(kernel_text(
                   1, kThread + "setp.lt.u32 p, %t, 40;\n" + body + "st.global.u32 [%o], %r0;"),
               {1, 1, 1}, {96, 1, 1}, out.address());
        return out.values();
    };
    CHECK(run("bar.red.popc.u32 %r0, 0, p;") == U32(96, 40));
    CHECK(run("bar.red.or.pred q, 0, p; selp.u32 %r0, 1, 0, q;") == U32(96, 1));
    CHECK(run("bar.red.and.pred q, 0, p; selp.u32 %r0, 1, 0, q;") == U32(96, 0));
    CHECK(run("bar.red.and.pred q, 0, !p; selp.u32 %r0, 1, 0, q;") == U32(96, 0));
}

TEST_CASE("ptx: barriers of some warps, and those that one side only arrives at") {
    // Warps 0 and 1 meet at barrier 1; warp 2 hands a number over through barrier 2 to warp 3.
    Array<std::uint32_t> out(128);
    launch(
        kernel_text(
            1, ".shared .align 4 .b8 s[512];\n" + kThread +
                   R"(shl.b32 %r0, %t, 2; mov.u32 %r1, s; add.u32 %r0, %r0, %r1; shr.u32 %r2, %t, 5;
        setp.eq.u32 p, %r2, 2;
        @p bra GIVE;
        setp.eq.u32 p, %r2, 3;
        @p bra TAKE;
        st.shared.u32 [%r0], %t; bar.sync 1, 64; xor.b32 %r3, %t, 32; shl.b32 %r3, %r3, 2; add.u32 %r3, %r3, %r1; ld.shared.u32 %r4, [%r3]; bra END;
        GIVE:
        st.shared.u32 [%r0], %t; bar.arrive 2, 64; mov.u32 %r4, 7; bra END;
        TAKE:
        bar.sync 2, 64; ld.shared.u32 %r4, [%r0+-128];
        END:
        st.global.u32 [%o], %r4;)"),
        {1, 1, 1}, {128, 1, 1}, out.address());
    const U32 x = out.values();
    for (std::uint32_t i = 0; i < 64; ++i) CHECK(x[i] == (i ^ 32));
    for (std::uint32_t i = 64; i < 96; ++i) CHECK(x[i] == 7);
    for (std::uint32_t i = 96; i < 128; ++i) CHECK(x[i] == i - 32);
}

TEST_CASE("ptx: threads that have returned are not waited for") {
    CHECK(fault_of_threads("setp.lt.u32 p, %t, 32;\n@p ret;\nbar.sync 0; st.global.u32 [%o], %t;",
                           64) == "");
    CHECK(
        fault_of_threads(
            "setp.lt.u32 p, %t, 5;\n@p ret;\nbar.sync 0; bar.warp.sync -1; st.global.u32 [%o], %t;",
            32) == "");
}

TEST_CASE("ptx: lanes of a warp that part at a barrier are named") {
    const std::string text = fault_of_threads(
        "setp.lt.u32 p, %t, 7;\n@p bra ONE;\nbar.sync 0;\nbra END;\nONE:\nbar.sync 0;\nEND:\n", 32);
    CHECK(contains(text, "wait for lanes that do not come"));
    CHECK(contains(text, "0x0000007f"));
    CHECK(contains(text, "kernel k, block (0, 0, 0)"));
    CHECK(contains(text, "bar.sync 0;"));
    // A barrier in one branch alone, an exchange in the other.
    CHECK(contains(fault_of_threads("setp.lt.u32 p, %t, 7;\n@p bra ONE;\nbar.sync 0;\nbra "
                                    "END;\nONE:\nshfl.sync.bfly.b32 %r0, %t, 1, 31, -1;\nEND:\n",
                                    32),
                   "wait for lanes that do not come"));
}

TEST_CASE("ptx: warps of a block that wait at different barriers are named") {
    const std::string text = fault_of_threads(
        "setp.lt.u32 p, %t, 32;\n@p bra ONE;\nbar.sync 0;\nbra END;\nONE:\nbar.sync 0;\nEND:\n",
        64);
    CHECK(contains(text, "different barriers"));
    CHECK(contains(fault_of_threads("bar.sync 1, 128;", 64), "not all threads reach"));
}

TEST_CASE("ptx: an exchange names lanes that do not take part") {
    CHECK(contains(fault_of_threads("shfl.sync.bfly.b32 %r0, %t, 1, 31, 0x0000ffff;", 32),
                   "not in the mask of members"));
}
