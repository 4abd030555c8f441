// Faults planted in kernels: each is named with kernel, block, thread, line and buffer.
#include <doctest/doctest.h>

#include "tests/emulator/kernel.h"

using namespace emulator;

namespace {

using U32 = std::vector<std::uint32_t>;
const std::string kThread =
    ".reg .pred p, q; .reg .b16 %h<4>; .reg .b32 %t, %n, %r<8>; .reg .b64 %o, %x<4>;\n"
    "mov.u32 %t, %tid.x; mul.wide.u32 %o, %t, 4; add.s64 %o, %o, %q0;\n";

std::string fault_with(std::uint64_t address, const std::string& body, unsigned threads = 1) {
    return fault_of(kernel_text(1, kThread + body), {1, 1, 1}, {threads, 1, 1}, address);
}
// In shared memory of 256 bytes, every word written before.
std::string shared_fault(const std::string& body, unsigned threads, bool check = true) {
    Array<std::uint32_t> out(U32(threads, 0));
    Execution execution;
    execution.check_races = check;
    try {
        launch(kernel_text(1, ".shared .align 16 .b8 s[1024];\n" + kThread +
                                  "shl.b32 %n, %t, 2; mov.u32 %r7, s; add.u32 %n, %n, %r7;\n"
                                  "st.shared.u32 [%n], %t; bar.sync 0;\n" +
                                  body),
               {1, 1, 1}, {threads, 1, 1}, execution, out.address());
    } catch (const Fault& fault) {
        return fault.what();
    }
    return "";
}

}  // namespace

TEST_CASE("ptx: accesses past a buffer's end name buffer, thread and line") {
    Array<std::uint32_t> weights(U32(40, 1), "weights");
    const std::string text = fault_with(weights.address(), "\nld.global.u32 %r0, [%o];", 64);
    CHECK(contains(text, "kernel k, block (0, 0, 0), thread (40, 0, 0)"));
    CHECK(contains(text, "ld.global.u32 %r0, [%o];"));
    CHECK(contains(text, "0 bytes past the end of buffer 'weights' (160 bytes)"));
    CHECK(contains(fault_with(weights.address(), "st.global.u32 [%o+-4], %t;"),
                   "4 bytes before buffer 'weights'"));
    CHECK(contains(fault_with(weights.address() + 160 - 4, "ld.global.u64 %x0, [%q0];"),
                   "not aligned"));
    CHECK(contains(fault_with(weights.address(), "atom.global.add.u32 %r0, [%q0+160], 1;"),
                   "past the end"));
    CHECK(
        contains(fault_with(weights.address(), "ld.global.v4.u32 {%r0, %r1, %r2, %r3}, [%q0+160];"),
                 "past the end"));
}

TEST_CASE("ptx: host addresses, the null pointer, freed buffers") {
    std::uint32_t of_host = 5;
    CHECK(
        contains(fault_with(reinterpret_cast<std::uint64_t>(&of_host), "ld.global.u32 %r0, [%q0];"),
                 "a host address"));
    CHECK(contains(fault_with(reinterpret_cast<std::uint64_t>(&of_host), "st.u32 [%q0], %t;"),
                   "a host address"));
    CHECK(contains(fault_with(0, "ld.global.u32 %r0, [%q0];"), "the null pointer"));
    std::uint64_t freed = 0;
    {
        const Array<std::uint32_t> states(U32(4, 0), "states");
        freed = states.address();
    }
    CHECK(contains(fault_with(freed, "ld.global.u32 %r0, [%q0+4];"),
                   "byte 4 of the freed buffer 'states'"));
}

TEST_CASE("ptx: unaligned accesses") {
    Array<std::uint32_t> x(U32(8, 0), "x");
    CHECK(contains(fault_with(x.address() + 2, "ld.global.u32 %r0, [%q0];"),
                   "4 bytes at byte 2 of buffer 'x' (32 bytes) is not aligned"));
    CHECK(contains(fault_with(x.address() + 8, "st.global.v4.u32 [%q0], {%t, %t, %t, %t};"),
                   "not aligned"));
    CHECK(contains(fault_with(x.address() + 4, "ld.global.v2.u32 {%r0, %r1}, [%q0];"),
                   "not aligned"));
}

TEST_CASE("ptx: reads of what nobody wrote, but for bytes that the compiler calls unused") {
    Array<std::uint32_t> x(8, "fresh");
    CHECK(contains(fault_with(x.address(), "ld.global.u32 %r0, [%q0+4];"),
                   "read of byte 4 of buffer 'fresh' (32 bytes), which was never written"));
    CHECK(contains(fault_with(x.address(), "atom.global.add.u32 %r0, [%q0], 1;"), "never written"));
    CHECK(fault_with(x.address(), "st.global.u32 [%q0], %t; ld.global.u32 %r0, [%q0];") == "");
    CHECK(
        contains(fault_with(x.address(), "st.global.u16 [%q0+8], %h0; ld.global.u32 %r0, [%q0+8];"),
                 "byte 10"));
    // Half of a wide load is padding.
    CHECK(contains(fault_with(x.address(), "ld.global.v2.u32 {%r0, %r1}, [%q0];"), "byte 4"));
    CHECK(fault_with(x.address(),
                     ".pragma \"used_bytes_mask 0xF\"; ld.global.v2.u32 {%r0, %r1}, [%q0];") == "");
    CHECK(fault_with(x.address(), "ld.global.v2.u32 {%r0, _}, [%q0];") == "");
    // Shared and local memory
    CHECK(contains(fault_with(0, ".shared .align 4 .b8 s[16]; ld.shared.u32 %r0, [s+4];"),
                   "byte 4 of the 16 bytes of shared memory, which was never"));
    CHECK(contains(fault_with(0, ".local .align 4 .b8 s[16]; ld.local.u32 %r0, [s+4];"),
                   "byte 4 of the 16 bytes of local memory, which was never"));
}

TEST_CASE("ptx: bounds of shared, local and parameter memory") {
    CHECK(contains(fault_with(0, ".shared .align 4 .b8 s[16]; st.shared.u32 [s+16], %t;"),
                   "byte 16 of the 16 bytes of shared memory"));
    CHECK(contains(fault_with(0, ".local .align 4 .b8 s[16]; st.local.u32 [s+16], %t;"),
                   "byte 16 of the 16 bytes of local memory"));
    CHECK(contains(fault_with(0, "ld.param.u64 %x0, [p0+8];"), "parameter memory"));
}

TEST_CASE("ptx: a race between warps in shared memory is named") {
    // Thread t reads what thread t + 32 writes.
    const std::string text = shared_fault(
        "add.u32 %r0, %t, 1; st.shared.u32 [%n], %r0; xor.b32 %r1, %n, 128; ld.shared.u32 %r2, "
        "[%r1];",
        64);
    CHECK(contains(text, "race in shared memory"));
    CHECK(contains(text, "ld.shared.u32 %r2, [%r1];"));
    CHECK(shared_fault("add.u32 %r0, %t, 1; st.shared.u32 [%n], %r0; bar.sync 0; xor.b32 %r1, %n, "
                       "128; ld.shared.u32 %r2, [%r1];",
                       64) == "");
    // Read first, written after.
    CHECK(contains(shared_fault("xor.b32 %r1, %n, 128; ld.shared.u32 %r2, [%r1]; add.u32 %r0, %t, "
                                "1; st.shared.u32 [%n], %r0;",
                                64),
                   "race"));
    // Two that write; the same bits do no harm.
    CHECK(contains(shared_fault("add.u32 %r0, %t, 3; st.shared.u32 [%r7], %r0;", 64), "race"));
    CHECK(shared_fault("st.shared.u32 [%r7], 5;", 64) == "");
    // Atomics are in order among themselves, not with plain loads.
    CHECK(shared_fault("atom.shared.add.u32 %r0, [%r7], 1;", 64) == "");
    CHECK(contains(shared_fault("atom.shared.add.u32 %r0, [%r7], 1; ld.shared.u32 %r1, [%r7];", 64),
                   "race"));
    // Different bytes of a word
    CHECK(shared_fault("shr.u32 %r0, %t, 5; add.u32 %r0, %r0, %r7; cvt.u16.u32 %h0, %t; "
                       "setp.eq.u32 p, %t, 0; setp.eq.u32 q, %t, 40;\n"
                       "@p st.shared.u8 [%r0], %h0; @q st.shared.u8 [%r0], %h0;",
                       64) == "");
    // Readers of two warps, then a writer of one of them.
    CHECK(contains(shared_fault("ld.shared.u32 %r0, [%r7]; setp.eq.u32 p, %t, 32; add.u32 %r0, "
                                "%r0, 9; @p st.shared.u32 [%r7], %r0;",
                                64),
                   "race"));
    CHECK(shared_fault("add.u32 %r0, %t, 3; st.shared.u32 [%r7], %r0;", 64, false) == "");
}

TEST_CASE("ptx: a race between branches of one warp is named; lanes that meet are in order") {
    const std::string write =
        "setp.eq.u32 p, %t, 0; add.u32 %r0, %t, 50; @p st.shared.u32 [%n], %r0;\n";
    CHECK(contains(shared_fault(write + "ld.shared.u32 %r1, [%r7];", 32), "race"));
    CHECK(shared_fault(write + "bar.warp.sync -1; ld.shared.u32 %r1, [%r7];", 32) == "");
    CHECK(shared_fault("add.u32 %r0, %t, 50; st.shared.u32 [%n], %r0; ld.shared.u32 %r1, [%r7];",
                       32) == "");
    CHECK(contains(
        shared_fault("setp.lt.u32 p, %t, 16; add.u32 %r0, %t, 50;\n@p bra A;\nst.shared.u32 [%r7], "
                     "%r0;\nbra B;\nA:\nst.shared.u32 [%r7+4], %r0;\n"
                     "ld.shared.u32 %r1, [%r7];\nB:\n",
                     32),
        "race"));
}

TEST_CASE("ptx: launches that no device takes") {
    const std::string text =
        module_text(".visible .entry k(.param .u64 a) .maxntid 64, 1, 1 { ret; }");
    const auto module = Module::parse(text);
    const std::uint64_t p = 0;
    const auto bytes = std::as_bytes(std::span(&p, 1));
    CHECK_THROWS_AS(execute(*module->kernel("k"), {1, 1, 1}, {65, 1, 1}, 0, bytes), Fault);
    CHECK_THROWS_AS(execute(*module->kernel("k"), {1, 1, 1}, {0, 1, 1}, 0, bytes), Fault);
    CHECK_THROWS_AS(execute(*module->kernel("k"), {1, 1, 1}, {32, 1, 1}, 0, {}), Fault);
    execute(*module->kernel("k"), {1, 1, 1}, {64, 1, 1}, 0, bytes);
}
