// Launchers of first-passage bodies (sampling/closure/first_passage_kernels.ops.cpp).
#pragma once

#include "engine/device/buffer.h"
#include "kernels/dynamics/first_passage.h"

namespace microlift {

// What a launch of a path kernel stored, every step of it.
struct StoredPath {
    int dim, cvs;
    index row, steps;
    const float* begin_x;   // (dim, columns), before the first step
    const float* begin_xi;  // (cvs, columns)
    const float* x;         // (dim, row)
    const float* xi;        // (cvs, row)
    const float* closure;   // (outputs, row) of the model's closure program
    float ball_diffusion;   // 1/β
    // Of CVs that go all round: a path is followed from the image nearest to the middle, from step to step.
    CvPeriods periods{};
};
void find_stored_passages(Stream& stream, const PassageArgs& args, const StoredPath& path);

// Passages side by side, as PassageArgs has them.
struct PassageColumns {
    float* x;  // (dim, row)
    uint32* number;
    float* alive;
};
// Numbers first, first + 1, … of passages that are all alive.
void number_passages(Stream& stream, index first, index n, const PassageColumns& columns);
// Those of `columns` that are alive, in their order; place[i]: how many of the first i + 1 are.
void keep_alive(Stream& stream, int dim, index row, index columns, Span<const double> place,
                const PassageColumns& from, const PassageColumns& to);

}  // namespace microlift
