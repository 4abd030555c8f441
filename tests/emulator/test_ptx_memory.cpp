// Loads and stores of all spaces, variables of a module, atomics.
#include <doctest/doctest.h>
#include <algorithm>
#include <bit>
#include <numeric>

#include "tests/emulator/kernel.h"

using namespace emulator;

namespace {

using U8 = std::vector<std::uint8_t>;
using U16 = std::vector<std::uint16_t>;
using U32 = std::vector<std::uint32_t>;
using U64 = std::vector<std::uint64_t>;

// The thread's number in %t and as an offset of 4 bytes in %o, 8 in %w.
const std::string kThread =
    ".reg .pred p; .reg .b16 %h<4>; .reg .b32 %t, %r<8>; .reg .f32 %f<4>; .reg .b64 %o, %w, "
    "%x<8>;\n"
    "mov.u32 %t, %tid.x; mul.wide.u32 %o, %t, 4; mul.wide.u32 %w, %t, 8;\n";

}  // namespace

TEST_CASE("ptx: narrow loads take zeros or the sign, narrow stores cut") {
    Array<std::uint8_t> bytes(U8{0x7f, 0x80, 0xff, 1});
    Array<std::uint32_t> words(8);
    launch(kernel_text(2, kThread + R"(cvt.u64.u32 %x0, %t; add.s64 %x0, %x0, %q0;
        ld.global.u8 %r0, [%x0]; ld.global.s8 %r1, [%x0];
        add.s64 %x1, %w, %q1; st.global.v2.u32 [%x1], {%r0, %r1};)"),
           {1, 1, 1}, {4, 1, 1}, bytes.address(), words.address());
    CHECK(words.values() == U32{0x7f, 0x7f, 0x80, 0xffffff80u, 0xff, ~0u, 1, 1});
    Array<std::uint16_t> halves(U16{0x8001});
    Array<std::uint64_t> wide(1);
    launch(kernel_text(3, kThread + R"(ld.global.s16 %x0, [%q0]; st.global.u64 [%q1], %x0;
        mov.u32 %r0, 0x12345; st.global.u8 [%q2+1], %r0; ld.global.u16 %h0, [%q0]; st.global.u8 [%q2+2], %h0;)"),
           {1, 1, 1}, {1, 1, 1}, halves.address(), wide.address(), bytes.address());
    CHECK(wide.values() == U64{0xffffffffffff8001ull});
    CHECK(bytes.values() == U8{0x7f, 0x45, 0x01, 1});
}

TEST_CASE("ptx: vectors of two and four, neighbours and scattered; negative offsets") {
    U32 numbers(256);
    std::iota(numbers.begin(), numbers.end(), 0u);
    Array<std::uint32_t> in(numbers), out(256);
    launch(
        kernel_text(2, kThread + R"(shl.b64 %o, %o, 2; add.s64 %x0, %o, %q0; add.s64 %x1, %o, %q1;
        ld.global.v4.u32 {%r0, %r1, %r2, %r3}, [%x0]; st.global.v4.u32 [%x1], {%r3, %r2, %r1, %r0};)"),
        {1, 1, 1}, {64, 1, 1}, in.address(), out.address());
    U32 expected;
    for (std::uint32_t i = 0; i < 256; ++i) expected.push_back(i / 4 * 4 + 3 - i % 4);
    CHECK(out.values() == expected);
    launch(
        kernel_text(
            2,
            kThread +
                R"(xor.b32 %r4, %t, 21; mul.wide.u32 %x2, %r4, 16; add.s64 %x0, %x2, %q0; add.s64 %x1, %o, %q1;
        add.s64 %x0, %x0, 8; ld.global.v2.f32 {%f0, _}, [%x0+-8]; st.global.f32 [%x1], %f0;)"),
        {1, 1, 1}, {32, 1, 1}, in.address(), out.address());
    for (std::uint32_t i = 0; i < 32; ++i) CHECK(out.values()[i] == 4 * (i ^ 21));
}

TEST_CASE("ptx: local memory is each thread's own, by its own and by generic addresses") {
    Array<std::uint32_t> out(64);
    launch(
        kernel_text(
            1,
            ".local .align 8 .b8 __depot[64]; .reg .b64 %SP, %SPL;\n" + kThread +
                R"(mov.u64 %SPL, __depot; cvta.local.u64 %SP, %SPL; add.u32 %r0, %t, 100; st.local.u32 [%SPL+8], %r0;
        add.u64 %x0, %SP, 8; ld.u32 %r1, [%x0]; add.u32 %r1, %r1, 1; st.u32 [%x0], %r1; ld.local.u32 %r2, [%SPL+8];
        and.b32 %r3, %t, 7; mul.wide.u32 %x1, %r3, 4; add.s64 %x1, %SPL, %x1; st.local.u32 [%x1+16], %r2; ld.local.u32 %r2, [%x1+16];
        add.s64 %o, %o, %q0; st.global.u32 [%o], %r2;)"),
        {1, 1, 1}, {64, 1, 1}, out.address());
    for (std::uint32_t i = 0; i < 64; ++i) CHECK(out.values()[i] == 101 + i);
}

TEST_CASE("ptx: parameters of all sizes, by name and by address") {
    const std::string text = module_text(
        R"(.visible .entry k(.param .u8 a, .param .align 8 .b8 s[24], .param .f32 f, .param .u64 out)
{ .reg .b32 %r<4>; .reg .f32 %f<4>; .reg .b64 %x<8>; .reg .b16 %h;
  ld.param.u8 %h, [a]; cvt.u32.u16 %r0, %h; mov.b64 %x1, s; add.u64 %x2, %x1, 8; ld.param.u64 %x3, [%x2+8]; ld.param.u32 %r1, [s+8];
  cvta.param.u64 %x4, %x1; ld.u32 %r2, [%x4]; ld.param.f32 %f0, [f]; ld.param.u64 %x5, [out];
  cvta.to.global.u64 %x5, %x5; st.global.u32 [%x5], %r0; st.global.u32 [%x5+4], %r1; st.global.u32 [%x5+8], %r2;
  st.global.f32 [%x5+12], %f0; st.global.u64 [%x5+16], %x3; ret; })");
    const auto module = Module::parse(text);
    const KernelFacts& f = facts(*module->kernel("k"));
    CHECK(f.parameter_offsets == std::vector<std::size_t>{0, 8, 32, 40});
    CHECK(f.parameter_sizes == std::vector<std::size_t>{1, 24, 4, 8});
    CHECK(f.parameter_bytes == 48);
    Array<std::uint32_t> out(6);
    struct {
        std::uint8_t a = 9;
        alignas(8) std::uint32_t s[6] = {1, 2, 3, 4, 5, 6};
        float f = 2.0f;
        std::uint64_t out = 0;
    } p;
    p.out = out.address();
    execute(*module->kernel("k"), {1, 1, 1}, {1, 1, 1}, 0, std::as_bytes(std::span(&p, 1)));
    CHECK(out.values() == U32{9, 3, 1, std::bit_cast<std::uint32_t>(2.0f), 5, 6});
}

TEST_CASE("ptx: variables of the module, with values and addresses to begin with") {
    const std::string text = module_text(R"(.global .align 4 .u32 table[4] = {10, 20, 30};
.const .align 8 .f64 pi = 0d400921FB54442D18; .global .align 8 .u64 where = generic(table)+4;
.visible .entry k(.param .u64 out) { .reg .b32 %r<4>; .reg .b64 %x<4>; .reg .f64 %d;
  ld.param.u64 %x0, [out]; ld.global.u64 %x1, [where]; ld.global.u32 %r0, [%x1]; st.global.u32 [%x0], %r0;
  ld.global.u32 %r1, [table+8]; st.global.u32 [%x0+4], %r1; ld.const.f64 %d, [pi]; st.global.f64 [%x0+8], %d;
  mov.u64 %x2, table; st.global.u32 [%x2+12], %r1; ret; })");
    const auto module = Module::parse(text);
    std::size_t bytes = 0;
    const std::uint64_t table = module->global("table", &bytes);
    CHECK(bytes == 16);
    CHECK(module->global("nothing", &bytes) == 0);
    CHECK(module->kernel("nothing") == nullptr);
    Array<std::uint32_t> out(4);
    const std::uint64_t p = out.address();
    execute(*module->kernel("k"), {1, 1, 1}, {1, 1, 1}, 0, std::as_bytes(std::span(&p, 1)));
    CHECK(out.values() == U32{20, 30, 0x54442d18u, 0x400921fbu});
    std::uint32_t last = 0;
    std::memcpy(&last, Memory::device().at(table + 12, 4, Access::read), 4);
    CHECK(last == 30);
}

TEST_CASE("ptx: shared memory, sized in the text and at the launch") {
    const std::string text = module_text(R"(.extern .shared .align 16 .b8 more[];
.visible .entry k(.param .u64 out) { .shared .align 4 .b8 fixed[128]; .reg .b32 %t, %r<4>; .reg .b64 %x<4>; .reg .b64 %o;
  ld.param.u64 %x0, [out]; mov.u32 %t, %tid.x; shl.b32 %r0, %t, 2; mov.u32 %r1, fixed; add.u32 %r1, %r1, %r0; st.shared.u32 [%r1], %t;
  mov.u64 %x1, more; cvt.u64.u32 %x2, %r0; add.u64 %x1, %x1, %x2; cvta.shared.u64 %x1, %x1; st.u32 [%x1], %r0;
  bar.sync 0; xor.b32 %r2, %r0, 124; mov.u32 %r1, fixed; add.u32 %r1, %r1, %r2; ld.shared.u32 %r3, [%r1];
  ld.u32 %r2, [%x1]; add.u32 %r3, %r3, %r2; mul.wide.u32 %o, %t, 4; add.u64 %o, %o, %x0; st.global.u32 [%o], %r3; ret; })");
    const auto module = Module::parse(text);
    CHECK(facts(*module->kernel("k")).shared_bytes == 128);
    Array<std::uint32_t> out(32);
    const std::uint64_t p = out.address();
    execute(*module->kernel("k"), {1, 1, 1}, {32, 1, 1}, 128, std::as_bytes(std::span(&p, 1)));
    for (std::uint32_t i = 0; i < 32; ++i) CHECK(out.values()[i] == 31 - i + 4 * i);
    CHECK_THROWS_AS(
        execute(*module->kernel("k"), {1, 1, 1}, {32, 1, 1}, 64, std::as_bytes(std::span(&p, 1))),
        Fault);
}

TEST_CASE("ptx: atomics of global memory sum what all threads add") {
    Array<std::uint32_t> counter(U32{0}), old(96);
    launch(
        kernel_text(
            2,
            kThread +
                "atom.global.add.u32 %r0, [%q0], 2; add.s64 %o, %o, %q1; st.global.u32 [%o], %r0;"),
        {1, 1, 1}, {96, 1, 1}, counter.address(), old.address());
    CHECK(counter.values()[0] == 192);
    U32 seen = old.values();
    std::sort(seen.begin(), seen.end());
    for (std::uint32_t i = 0; i < 96; ++i) CHECK(seen[i] == 2 * i);
    Execution threads;
    threads.threads = 4;
    launch(kernel_text(1, "red.global.add.u32 [%q0], 1;"), {50, 1, 1}, {64, 1, 1}, threads,
           counter.address());
    CHECK(counter.values()[0] == 192 + 3200);
    Array<double> sum(std::vector<double>{1.0});
    launch(kernel_text(1, ".reg .f64 d; atom.global.add.f64 d, [%q0], 0d3FE0000000000000;"),
           {2, 1, 1}, {64, 1, 1}, sum.address());
    CHECK(sum.values()[0] == 65.0);
    Array<float> single(std::vector<float>{0.0f});
    launch(kernel_text(1, "red.global.add.f32 [%q0], 0f3E800000;"), {1, 1, 1}, {40, 1, 1},
           single.address());
    CHECK(single.values()[0] == 10.0f);
}

TEST_CASE("ptx: the other atomics") {
    const auto one = [](const std::string& operation, std::uint32_t start, unsigned threads) {
        Array<std::uint32_t> cell(U32{start});
        launch(kernel_text(1, kThread + operation), {1, 1, 1}, {threads, 1, 1}, cell.address());
        return cell.values()[0];
    };
    CHECK(one("atom.global.max.u32 %r0, [%q0], %t;", 5, 64) == 63);
    CHECK(one("neg.s32 %r1, %t; atom.global.min.s32 %r0, [%q0], %r1;", 5, 64) ==
          static_cast<std::uint32_t>(-63));
    CHECK(one("and.b32 %r1, %t, 31; shl.b32 %r1, 1, %r1; red.global.or.b32 [%q0], %r1;", 0, 32) ==
          ~0u);
    CHECK(one("atom.global.and.b32 %r0, [%q0], 6;", 12, 1) == 4);
    CHECK(one("atom.global.xor.b32 %r0, [%q0], 6;", 12, 1) == 10);
    CHECK(one("atom.global.exch.b32 %r0, [%q0], 77;", 12, 1) == 77);
    CHECK(one("atom.global.cas.b32 %r0, [%q0], 12, 99;", 12, 1) == 99);
    CHECK(one("atom.global.cas.b32 %r0, [%q0], 13, 99;", 12, 1) == 12);
    CHECK(one("atom.global.inc.u32 %r0, [%q0], 3;", 2, 3) == 1);  // 3, 0, 1
    CHECK(one("atom.global.dec.u32 %r0, [%q0], 3;", 1, 3) == 2);  // 0, 3, 2
    Array<std::uint64_t> wide(U64{5});
    launch(kernel_text(1,
                       ".reg .b64 x; atom.global.cas.b64 x, [%q0], 5, 0x100000000; "
                       "atom.global.add.u64 x, [%q0], 1;"),
           {1, 1, 1}, {1, 1, 1}, wide.address());
    CHECK(wide.values()[0] == 0x100000001ull);
    // In shared memory
    Array<std::uint32_t> out(U32{0});
    launch(kernel_text(1, ".shared .align 4 .u32 s;\n" + kThread +
                              R"(setp.eq.u32 p, %t, 0; @p st.shared.u32 [s], 0; bar.sync 0;
        atom.shared.add.u32 %r0, [s], %t; bar.sync 0; @p ld.shared.u32 %r1, [s]; @p st.global.u32 [%q0], %r1;)"),
           {1, 1, 1}, {128, 1, 1}, out.address());
    CHECK(out.values()[0] == 127 * 64);
}
