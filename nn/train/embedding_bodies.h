// Kernel bodies of states that go round as cosine and sine. A lane is a column.
#pragma once

#include "kernels/lane/math.h"
#include "kernels/lane/roots.h"

namespace microlift {

struct EmbedBody {
    int states;
    const float *period, *from;
    index from_row, to_row;
    float* to;
    template <class L>
    LANE_FN void operator()(L, index i) const {
        index k = 0;
        for (int d = 0; d < states; ++d) {
            const L x = load<L>(from + d * from_row, i);
            if (!(period[d] > 0.0f)) {
                store(to + k++ * to_row, i, x);
                continue;
            }
            L sine, cosine;
            sincos<Portable>(x * broadcast<L>(6.28318531f / period[d]), sine, cosine);
            store(to + k++ * to_row, i, cosine);
            store(to + k++ * to_row, i, sine);
        }
    }
};

struct UnembedBody {
    int states;
    const float *period, *from;
    index from_row, to_row;
    float* to;
    template <class L>
    LANE_FN void operator()(L, index i) const {
        index k = 0;
        for (int d = 0; d < states; ++d) {
            const L x = load<L>(from + k++ * from_row, i);
            if (!(period[d] > 0.0f)) {
                store(to + d * to_row, i, x);
                continue;
            }
            const L y = load<L>(from + k++ * from_row, i);
            const L inverse = inverse_sqrt<Portable>(max(fma(x, x, y * y), broadcast<L>(1e-30f)));
            store(to + d * to_row, i,
                  angle_of(x * inverse, y * inverse) * broadcast<L>(period[d] / 6.28318531f));
        }
    }
};

}  // namespace microlift
