// Normals eight at a time are those of four at a time, in every width, of ten rounds and of seven.
#include <doctest/doctest.h>

#include <cstring>
#include <initializer_list>

#include "kernels/lane/simd.h"
#include "kernels/random/normal_blocks.h"

namespace microlift {
namespace {

template <class L, int Rounds>
void check_same(uint64 block) {
    constexpr uint64 seed = 0x123456789abcull;
    constexpr uint32 id = 9;
    constexpr index first = 5000000000;  // beyond 32 bits
    L eight[2][4];
    NormalBlocks<L>(seed, id, first).template draw<Portable, Rounds>(block, eight);
    const PhiloxStream<L, Rounds> stream(seed, id, first);
    for (uint64 b = 0; b < 2; ++b) {
        L four[4];
        normal_block<Portable>(stream, block + b, four);
        for (int k = 0; k < 4; ++k) CHECK(std::memcmp(&four[k], &eight[b][k], sizeof(L)) == 0);
    }
}

}  // namespace

TEST_CASE("two blocks of normals side by side have the numbers of each") {
    for (const uint64 block : {uint64{0}, uint64{17}, uint64{0xffffffff}, uint64{1} << 40}) {
        check_same<float, kPhiloxRounds>(block);
        check_same<float, kPhiloxFewRounds>(block);
        check_same<NativeLane, kPhiloxRounds>(block);
        check_same<NativeLane, kPhiloxFewRounds>(block);
    }
}

}  // namespace microlift
