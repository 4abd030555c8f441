// Launchers of first-passage bodies (sampling/closure/first_passage_kernels.ops.cpp).
#pragma once

#include "engine/device/buffer.h"
#include "kernels/dynamics/first_passage.h"

namespace microlift {

// What a launch of a path kernel stored, every step of it.
struct StoredPath {
    int dim, cvs;
    index row, steps;
    const float* begin_x;   // (dim, slots), before the first step
    const float* begin_xi;  // (cvs, slots)
    const float* x;         // (dim, row)
    const float* xi;        // (cvs, row)
    const float* closure;   // (outputs, row) of the model's closure program
    float ball_diffusion;   // 1/β
    // Of CVs that go all round: a path is followed from the image nearest to the middle, from step to step.
    CvPeriods periods{};
};

// x (dim, slots) of the first trajectories.
void start_passages(Stream& stream, int dim, index slots, index total, Span<const float> start,
                    Span<float> x);
void find_stored_passages(Stream& stream, const PassageArgs& args, const StoredPath& path);

}  // namespace microlift
