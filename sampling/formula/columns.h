// A formula program applied to many states at once: observed functions, collective variables, closure
// integrands, and the projection of states onto a level set of ξ.
#pragma once

#include "engine/device/buffer.h"
#include "kernels/dynamics/period.h"
#include "sampling/formula/program.h"

namespace microlift {

class ColumnProgram {
public:
    ColumnProgram(const Device& device, const Program& program);

    int inputs() const { return program_.inputs; }
    int outputs() const { return static_cast<int>(program_.outputs.size()); }
    // out[o*out_row + j] = output o at the state in[d*in_row + j], j < n. In portable mathematics.
    void run(Stream& stream, Span<const float> in, index in_row, index n, Span<float> out,
             index out_row) const;

private:
    void upload(Stream& stream) const;
    Program program_;
    mutable bool uploaded_ = false;
    mutable Buffer<Instruction> instructions_;
    mutable Buffer<ProgramOutput> outputs_;
    mutable Buffer<float> slots_;
};

// Values of CV k as their images in the period about the middle.
void fold(Stream& stream, const CvPeriods& periods, int k, Span<float> values);

// Newton steps along ∇ξ onto ξ = target (K, row), with a period onto the nearest image: x (dim, row), values (K + K·dim, row) from the cv
// program (ξ_k, then ∇ξ_k). The states move by one step a call, in which no variable changes by more than
// `longest`, where that is above 0.
void newton_step(Stream& stream, int dim, int cvs, const CvPeriods& periods, Span<const float> target,
                 index target_row, Span<const float> values, index values_row, index n, Span<float> x,
                 index row, float longest = 0);

}  // namespace microlift
