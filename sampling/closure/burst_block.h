// The block kernel of the bursts' sums: a thread owns one sum over a part of the replicas.
#pragma once

#include "kernels/block/block.h"
#include "kernels/dynamics/period.h"
#include "kernels/lane/whole.h"
#include "sampling/closure/burst_kernels.h"

namespace microlift {

inline constexpr int kBurstQuantities = 10;  // 2R of two collective variables

struct BurstSumsKernel {
    static constexpr int kThreads = 128;
    static constexpr index kPart = 16;  // replicas
    struct Shared {};
    BurstSums s;
    index parts;     // of the replicas of a value in a block
    double* tables;  // (value, block, part, width + values where there is a transition)

    LANE_FN index width() const { return burst_width(s.cvs); }
    LANE_FN index entries() const { return width() + (s.transition ? s.values : 0); }
    LANE_FN index size() const { return s.replicas / s.blocks; }
    LANE_FN index n() const { return s.values * s.replicas; }
    LANE_FN int quantities() const { return (s.drift ? 2 : 1) * burst_outputs(s.cvs); }
    // Columns [from, to) of a part.
    LANE_FN void range(index part, index& from, index& to) const {
        const index begin = part / parts * size();
        from = part % parts * kPart;
        to = from + kPart < size() ? from + kPart : size();
        from += begin;
        to += begin;
    }
    LANE_FN void measure(index j, double (&v)[kBurstQuantities]) const {
        const int R = burst_outputs(s.cvs);
        LANE_UNROLL
        for (int k = 0; k < 2; ++k)
            v[k] = k < s.cvs ? static_cast<double>(nearest_image(
                                   s.end[k * n() + j] - s.begin[k * n() + j], s.period[k]))
                             : 0.0;
        for (int k = 0, o = s.cvs; k < s.cvs; ++k)
            for (int l = k; l < s.cvs; ++l, ++o) v[o] = v[k] * v[l];
        if (s.drift)
            for (int o = 0; o < R; ++o) v[R + o] = v[o] - static_cast<double>(s.drift[o * n() + j]);
    }
    // Where the end lies between the values, by four-point Lagrange weights of the values `first` … ; past
    // the ends, the end.
    LANE_FN index end_weights(index j, double (&weight)[4]) const {
        const float last = static_cast<float>(s.values - 1);
        const float middle = s.from + 0.5f * last / s.inverse_width;
        const float end = middle + nearest_image(s.end[j] - middle, s.period[0]);
        const float t = max(min((end - s.from) * s.inverse_width, last), 0.0f);  // NaN: the last
        index c = static_cast<index>(t);
        c = c < 1 ? 1 : c > s.values - 3 ? s.values - 3 : c;
        const double f = static_cast<double>(t) - static_cast<double>(c);
        weight[0] = -f * (f - 1) * (f - 2) / 6;
        weight[1] = (f + 1) * (f - 1) * (f - 2) / 2;
        weight[2] = -(f + 1) * f * (f - 2) / 2;
        weight[3] = (f + 1) * f * (f - 1) / 6;
        return c - 1;
    }

    template <class Block>
    LANE_FN void operator()(Block& block, Shared&) const {
        const index i = block.block() * kThreads + block.thread();
        const index part = quotient(i, entries());
        const int e = static_cast<int>(i - part * entries()), R = burst_outputs(s.cvs);
        if (part >= s.values * s.blocks * parts) return;
        index from, to;
        range(part, from, to);
        double sum = 0.0;
        if (e == 0) {
            sum = static_cast<double>(to - from);
        } else if (e < width()) {
            // Quantity a, or the product of a and b ≤ a.
            int a = e - 1, b = -1;
            if (e >= 1 + 2 * R)
                for (a = 0, b = e - 1 - 2 * R; b > a; ++a) b -= a + 1;
            for (index j = from; j < to && a < quantities(); ++j) {
                double v[kBurstQuantities] = {};
                measure(j, v);
                sum = b < 0 ? sum + v[a] : fma(v[a], v[b], sum);
            }
        } else {
            const index own = e - width();
            for (index j = from; j < to; ++j) {
                double weight[4];
                const index k = own - end_weights(j, weight);
                LANE_UNROLL
                for (int q = 0; q < 4; ++q)
                    if (k == q) sum += weight[q];
            }
        }
        tables[i] = sum;
    }
};

}  // namespace microlift
