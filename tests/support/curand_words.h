// cuRAND's own Philox beside the project's, word for word (tests/kernels/test_curand.cpp); in CUDA builds alone.
#pragma once

#include "engine/device/buffer.h"

namespace microlift {

// Draw i of n is that of trajectory first + i.
struct PhiloxDraws {
    uint64 seed = 0;
    uint32 stream = 0;
    index first = 0, n = 0;
    uint64 block = 0;  // of draw 0; that of draw i is block + i
};

// Words (n, 4): ours by PhiloxStream::draw, cuRAND's by curand_init and curand4 for the same counter and key.
// cuRAND's header is for either side: on the host it is compiled as C++.
void curand_words_on_host(const PhiloxDraws& draws, uint32* words);
void philox_words_on_cuda(Stream& stream, const PhiloxDraws& draws, Span<uint32> ours,
                          Span<uint32> theirs);

// Each of n trajectories draws `blocks` times four numbers in a loop; out: the exclusive or of their bits.
enum class Draw { our_words, curand_words, our_normals, curand_normals };
void draw_on_cuda(Stream& stream, Draw what, const PhiloxDraws& draws, index blocks, Span<uint32> out);

}  // namespace microlift
