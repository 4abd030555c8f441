#include "engine/launch/gather.h"

#include "engine/launch/lanes.h"

namespace microlift {

namespace {
struct GatherColumns {};  // the name of its launches
}  // namespace

void gather_columns(Stream& stream, const float* from, index row, index variables,
                    Span<const index> which, float* out) {
    if (variables <= 0 || which.size <= 0) return;
    if (stream.device().is_cpu()) {
        count_launch<GatherColumns>(which.size);
        ThreadPool& pool = stream.device().pool();
        stream.submit([=, &pool] {
            split_over_threads(pool, which.size, 4096, 1, [&](index begin, index end) {
                for (index d = 0; d < variables; ++d)
                    for (index i = begin; i < end; ++i)
                        out[d * which.size + i] = from[d * row + which.data[i]];
            });
        });
    } else if constexpr (kHaveCuda) {
        for (index d = 0; d < variables; ++d) {
            count_launch<GatherColumns>(which.size);
            gather_on_cuda(stream, from + d * row, which, out + d * which.size);
        }
    }
}

}  // namespace microlift
