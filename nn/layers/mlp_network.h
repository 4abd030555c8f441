// A multilayer perceptron (nn/layers/mlp.h) as a Network.
#pragma once

#include "nn/layers/mlp.h"
#include "nn/layers/network.h"

namespace microlift {

class MlpNetwork final : public Network {
public:
    MlpNetwork() = default;
    MlpNetwork(const Device& device, const MlpLayout& layout, index rows, Use use);

    const MlpLayout& layout() const { return layout_; }
    Matrix<float> seed() { return of(scratch_.r, layout_.layers); }  // of backward()

    index parameters() const override { return layout_.parameters; }
    std::vector<float> initial(uint64 seed, uint64 which) const override {
        return layout_.initial(seed, which);
    }
    std::vector<float> transposed(const std::vector<float>& parameters) const override {
        return layout_.transpose(parameters);
    }
    TransposeMap transpose_map() const override;
    void add_tensors(TensorMap& map, const std::string& prefix,
                     const std::vector<float>& parameters) const override;
    std::vector<float> parameters_in(const TensorMap& map,
                                     const std::string& prefix) const override;
    void describe(std::map<std::string, std::string>& metadata) const override;

    Matrix<float> input() override { return of(scratch_.h, 0); }
    Matrix<float> output() override { return of(scratch_.h, layout_.layers); }
    index slots(const Device& device, index rows) const override {
        return gradient_slots(device, rows);
    }
    Precision precision(const Device& device, Precision asked) const override {
        return product_precision(device, asked);
    }
    index bias_columns() const override { return layout_.bias_columns(); }
    void forward(RowProgram<float>& program, const float* parameters, bool derivatives) override;
    void squared_error(RowProgram<float>& program, const float* target, float scale,
                       float* loss) override;
    void backward(RowProgram<float>& program, const float* parameters,
                  const float* transposed) override;
    bool has_tangent() const override { return true; }
    void plan_tangent(Stream& stream, index rows,
                      const std::vector<TangentDirection>& directions) override;
    void tangent(RowProgram<float>& program, const float* parameters, float* out) override;

private:
    using Arrays = std::array<float*, kMostLayers + 1>;
    Matrix<float> of(const Arrays& arrays, int l) const {
        const auto at = static_cast<std::size_t>(l);
        return {arrays[at], rows_, layout_.width[at], layout_.ld[at]};
    }
    Mlp<float> view(const RowProgram<float>& program, const float* parameters,
                    const float* transposed) const {
        return {layout_, parameters, transposed, scratch_, program.group_rows()};
    }

    MlpLayout layout_;
    index rows_ = 0;
    Buffer<float> memory_;
    MlpScratch<float> scratch_;
    // (direction, row, ld_l) behind layer l
    int directions_ = 0;
    Buffer<TangentDirection> angles_;  // empty: the directions are the first inputs
    Buffer<float> tangent_memory_;
    Arrays tangent_{};
};

// From a weight file's metadata; InputError unless it has so many inputs and outputs.
MlpLayout mlp_layout(const SafeTensors& content, index inputs, index outputs);

}  // namespace microlift
