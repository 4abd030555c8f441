#include "nn/sort.h"

#include <algorithm>

#include "engine/thread_pool.h"

namespace microlift {
namespace {

// Order-preserving map from floats to integers, and back; its own inverse.
int32 key_of(float x) {
    const int32 bits = __builtin_bit_cast(int32, x);
    return bits < 0 ? bits ^ 0x7fffffff : bits;
}
float value_of(int32 key) { return __builtin_bit_cast(float, key < 0 ? key ^ 0x7fffffff : key); }

}  // namespace

void sort_segments(Stream& stream, Span<float> values, index segments, index length) {
    if (segments <= 0 || length <= 0) return;
#if defined(MICROLIFT_HAVE_CUDA)
    if (!stream.device().is_cpu()) return sort_segments_on_cuda(stream, values, segments, length);
#endif
    count_launch();
    ThreadPool& pool = stream.device().pool();
    stream.submit([&pool, values, segments, length] {
        pool.run(segments, [&](index segment) {
            float* begin = values.data + segment * length;
            std::vector<int32> keys(static_cast<std::size_t>(length));
            std::transform(begin, begin + length, keys.begin(), key_of);
            std::sort(keys.begin(), keys.end());
            std::transform(keys.begin(), keys.end(), begin, value_of);
        });
    });
}

}  // namespace microlift
