// cuRAND's Philox as the oracle of ours: the same words for the same key and counter.
#include <doctest/doctest.h>

#include <set>

#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "tests/support/curand_words.h"
#include "tests/support/devices.h"

namespace microlift {

namespace {

// Low and high words of seed, trajectory and block all matter.
const std::vector<PhiloxDraws>& cases() {
    static const std::vector<PhiloxDraws> list{
        {0, kStreamNoise, 0, 513, 0},
        {0xa5a5a5a512345678ull, kStreamTest, 0x7ffffff0ll, 100, 0xfffffff0ull},
        {1ull << 63, kStreamJump, 0x2fffffff0ll, 64, 0x123456789abcull},
        {42, kStreamMetropolis + kStreamNoise, 0xfffffff0ll, 40, 0xffffffffffffffe0ull}};
    return list;
}

std::vector<uint32> our_words(const PhiloxDraws& p) {
    std::vector<uint32> words;
    for (index i = 0; i < p.n; ++i) {
        uint32 u[4];
        PhiloxStream<float>(p.seed, p.stream, p.first + i).draw(p.block + static_cast<uint64>(i), u);
        words.insert(words.end(), u, u + 4);
    }
    return words;
}

}  // namespace

TEST_CASE("philox: cuRAND's code on the host gives our words") {
    for (const PhiloxDraws& p : cases()) {
        std::vector<uint32> theirs(static_cast<std::size_t>(4 * p.n));
        curand_words_on_host(p, theirs.data());
        CHECK(our_words(p) == theirs);
    }
}

TEST_CASE("philox: on every CUDA device present, ours, cuRAND's and the CPU's words are the same") {
    for (const Device& device : test_devices()) {
        if (device.is_cpu()) continue;
        Stream stream(device);
        for (const PhiloxDraws& p : cases()) {
            Buffer<uint32> ours(device, 4 * p.n), theirs(device, 4 * p.n);
            philox_words_on_cuda(stream, p, ours.span(), theirs.span());
            const std::vector<uint32> made = to_host(stream, ours.span());
            CHECK(made == to_host(stream, theirs.span()));
            CHECK(made == our_words(p));
        }
    }
}

TEST_CASE("philox: loops over blocks draw what single draws do, on every CUDA device present") {
    constexpr index n = 70, blocks = 9;
    const PhiloxDraws p{7, kStreamTest, 5, n, 0xfffffffcull};
    for (const Device& device : test_devices()) {
        if (device.is_cpu()) continue;
        Stream stream(device);
        Buffer<uint32> out(device, n);
        draw_on_cuda(stream, Draw::our_words, p, blocks, out.span());
        const std::vector<uint32> made = to_host(stream, out.span());
        for (index i = 0; i < n; ++i) {
            uint32 all = 0, u[4];
            for (index b = 0; b < blocks; ++b) {
                PhiloxStream<float>(p.seed, p.stream, p.first + i)
                    .draw(p.block + static_cast<uint64>(b), u);
                all ^= u[0] ^ u[1] ^ u[2] ^ u[3];
            }
            CHECK(made[static_cast<std::size_t>(i)] == all);
        }
        // The contestants run, too; their numbers are in another order, and normals of other functions.
        for (const Draw what : {Draw::curand_words, Draw::our_normals, Draw::curand_normals}) {
            draw_on_cuda(stream, what, p, blocks, out.span());
            const std::vector<uint32> words = to_host(stream, out.span());
            CHECK(std::set<uint32>(words.begin(), words.end()).size() > n - 3);
        }
    }
}

}  // namespace microlift
