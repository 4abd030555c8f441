// mma.sync: D (16, 8) = A (16, K) B (K, 8) + C of a warp, in fragments as the PTX ISA lays them
// out. Products are exact; they are added in double precision and rounded once. The hardware's
// order and rounding are its own.
#include <bit>

#include "tests/emulator/ptx/decode/opcode.h"
#include "tests/emulator/ptx/run/lanes.h"

namespace emulator {

namespace {

using u32 = std::uint32_t;

double tf32(u32 word, int) {
    return static_cast<double>(std::bit_cast<float>(word & 0xffffe000u));
}
double bf16(u32 word, int half) {
    return static_cast<double>(std::bit_cast<float>(half ? word & 0xffff0000u : word << 16));
}

// A word holds K/8 numbers along k. Lane 4 r + t holds rows r and r + 8 of A and column r of B, at
// words t and t + 4.
template <int kDepth, double (*kNumber)(u32, int)>
const Instruction* multiply(Warp& w, const Instruction* i) {
    const Instruction* next = nullptr;
    if (!together(w, i, kAllLanes, next)) return next;
    if (!w.full) fault(w, i, std::countr_zero(w.active), "mma.sync by a part of a warp");
    constexpr int per_word = kDepth / 8;
    const u32 *d = i->more, *a = d + 4, *b = a + 4, *c = b + 2;
    double left[16][kDepth], right[kDepth][8], sum[16][8];
    for (int lane = 0; lane < kLanes; ++lane) {
        const int row = lane / 4, t = lane % 4;
        for (int h = 0; h < per_word; ++h) {
            for (int q = 0; q < 4; ++q)
                left[row + q % 2 * 8][(t + q / 2 * 4) * per_word + h] =
                    kNumber(w.at<u32>(a[q])[lane], h);
            for (int q = 0; q < 2; ++q)
                right[(t + q * 4) * per_word + h][row] = kNumber(w.at<u32>(b[q])[lane], h);
        }
        for (int q = 0; q < 4; ++q)
            sum[row + q / 2 * 8][2 * t + q % 2] = static_cast<double>(w.at<float>(c[q])[lane]);
    }
    for (int m = 0; m < 16; ++m)
        for (int k = 0; k < kDepth; ++k)
            for (int n = 0; n < 8; ++n) sum[m][n] += left[m][k] * right[k][n];
    for (int lane = 0; lane < kLanes; ++lane)
        for (int q = 0; q < 4; ++q)
            w.at<float>(d[q])[lane] =
                static_cast<float>(sum[lane / 4 + q / 2 * 8][2 * (lane % 4) + q % 2]);
    return i + 1;
}

}  // namespace

Operation select_product(const Opcode& o, const Shape& shape) {
    Operation op;
    op.parts_ways = true;
    const bool fits =
        shape.parts(0) == 4 && shape.parts(1) == 4 && shape.parts(2) == 2 && shape.parts(3) == 4;
    if (o.base != "mma" || !o.has("row") || !o.has("col") || o.types.size() != 4 || !fits ||
        o.types[0] != Type::f32 || o.types[3] != Type::f32)
        return op;
    op.types = {Type::f32, Type::b32, Type::b32, Type::f32};
    if (o.has("m16n8k8") && o.types[1] == Type::tf32 && o.types[2] == Type::tf32)
        op.run = multiply<8, tf32>;
    if (o.has("m16n8k16") && o.types[1] == Type::bf16 && o.types[2] == Type::bf16)
        op.run = multiply<16, bf16>;
    return op;
}

}  // namespace emulator
