// What trainers and samplers know of a network: its parameters, and its sweeps as operations of a row
// program (nn/layers/row_program.h), so that they need not ask which network it is. Parameters lie in one
// flat span that the caller owns; beside them he keeps a copy that backward sweeps read.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/files/safetensors.h"
#include "kernels/lane/matrix.h"
#include "kernels/lane/precision.h"
#include "nn/layers/row_program.h"
#include "nn/layers/transpose.h"

namespace microlift {

class Network {
public:
    // What its own memory is for; none: parameters and layout alone.
    enum class Use { none, sampling, training };

    virtual ~Network() = default;

    // --- parameters, with padding
    virtual index parameters() const = 0;
    virtual std::vector<float> initial(uint64 seed, uint64 which) const = 0;  // which: of a training
    virtual std::vector<float> transposed(const std::vector<float>& parameters) const = 0;
    // How the optimiser keeps the copy, and what is left to do after its step.
    virtual TransposeMap transpose_map() const { return {}; }
    virtual void transpose(Stream&, const float* /*parameters*/, float* /*transposed*/) const {}

    // --- weight files: tensors PREFIX.… without padding, and the metadata that tell the layout
    virtual void add_tensors(TensorMap& map, const std::string& prefix,
                             const std::vector<float>& parameters) const = 0;
    virtual std::vector<float> parameters_in(const TensorMap& map,
                                             const std::string& prefix) const = 0;
    virtual void describe(std::map<std::string, std::string>& metadata) const = 0;

    // --- sweeps over up to as many rows as it was made for
    virtual Matrix<float> input() = 0;
    virtual Matrix<float> output() = 0;
    // Of programs that it is part of, and of gradients: rows that go through together, and slots.
    virtual index tile_rows() const { return kTileRows; }
    virtual index slots(const Device& device, index rows) const = 0;
    virtual index bias_columns() const { return 0; }  // that RowProgram sums
    virtual Precision precision(const Device& device, Precision asked) const = 0;

    virtual void forward(RowProgram<float>& program, const float* parameters, bool derivatives) = 0;
    // Σ (output − target)² · scale: each row's loss, and the seed of backward().
    virtual void squared_error(RowProgram<float>& program, const float* target, float scale,
                               float* loss) = 0;
    // From that seed to the program's gradient.
    virtual void backward(RowProgram<float>& program, const float* parameters,
                          const float* transposed) = 0;

    // --- forward tangents, where they exist: after forward() with derivatives, those of the output along
    // each direction, (direction, row, output's stride)
    virtual bool has_tangent() const { return false; }
    virtual void plan_tangent(Stream&, index /*rows*/, const std::vector<TangentDirection>&) {}
    virtual void tangent(RowProgram<float>&, const float* /*parameters*/, float* /*out*/) {}
};

}  // namespace microlift
