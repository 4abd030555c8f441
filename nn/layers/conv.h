// Networks of circular convolutions over a ring of sites, for flows whose variables are one.
//
// Layer l = 1…layers: z_l = K_l ∗ h_{l−1} + f E_l, h_l = φ(z_l) + h_{l−1} (the last term between layers
// of as many channels), the last one linear with one channel. h_0 has two channels, the site's own
// value and the sum over all sites; f are the condition's and the time's features and 1, the same at
// every site. So the network commutes with turns of the ring.
//
// K_l is (kernel, in, out), E_l (features + 1, out), row-major; hidden channels are multiples of kPad.
// On the CPU a row of the batch at a time, by the products of nn/layers/gemm.h, in the nearest cache. On CUDA all
// rows at once: convolutions by cuDNN where there is one (nn/layers/cudnn.h), else by the bodies of
// nn/layers/conv_bodies.h, which are what it is compared with.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "nn/layers/conv_bodies.h"
#include "nn/layers/cudnn.h"
#include "nn/layers/network.h"

namespace microlift {

struct ConvLayout {
    int layers = 0;
    Activation activation = Activation::silu;
    index sites = 0, kernel = 1, features = 0;  // features: without the 1
    std::array<index, kMostLayers + 1> channels{}, ld{};          // of h_0 … h_layers
    std::array<index, kMostLayers + 1> weight{}, embedding{};     // offsets, by layer 1…
    std::array<index, kMostLayers + 1> flipped{};                 // K_l for the reverse sweep
    index parameters = 0, flipped_size = 0;

    ConvLayout() = default;
    // InputError where the numbers do not fit.
    ConvLayout(index sites, index features, const std::vector<index>& channels, index kernel,
               Activation activation);

    // What holds on rings of every size: InputError unless it does.
    static void check(const std::vector<index>& channels, index kernel);

    index half() const { return kernel / 2; }
    // Channels of layer l that the reverse sweep reads: the last one has no padding there.
    index seeds(int l) const { return l == layers ? 1 : ld[static_cast<std::size_t>(l)]; }
    index depth(int l) const { return kernel * ld[static_cast<std::size_t>(l - 1)]; }
    bool past(int l) const {
        return l > 1 && l < layers &&
               channels[static_cast<std::size_t>(l)] == channels[static_cast<std::size_t>(l - 1)];
    }
    std::vector<float> initial(uint64 seed) const;
    std::vector<float> flip(const std::vector<float>& parameters) const;
};

// Where a row of a batch keeps what its sweeps need: offsets into its place.
struct ConvPlace {
    std::array<index, kMostLayers + 1> h{}, first{};  // h with its ends, φ′ where the sites begin
    index feature = 0, embedding = 0, out = 0, seed = 0, seed_ring = 0, g = 0, r = 0, sum = 0;
    index size = 0;
    ConvPlace() = default;
    ConvPlace(const ConvLayout& layout, bool training);
};

template <class Real>
struct ConvRow {
    const ConvLayout& layout;
    const ConvPlace& place;
    const Real* parameters;
    Real* memory;

    // From (x, features) to place.out; keeps φ′ for reverse().
    void forward(const Real* dense, bool derivatives) const;
    // Σ over sites (out − target)² · scale into `loss`, and the seed of reverse().
    void squared_error(const Real* target, Real scale, Real* loss) const;
    // Adds the loss's gradient; needs the flipped weights.
    void reverse(const Real* flipped, Real* gradient) const;
};

class ConvNetwork final : public Network {
public:
    // by_bodies: as on CUDA without cuDNN, also on the CPU. `precision` is asked for; cuDNN alone has another
    // than fp32.
    ConvNetwork(const Device& device, const ConvLayout& layout, index rows, Use use,
                Precision precision = Precision::fp32, bool by_bodies = false);

    index parameters() const override { return layout_.parameters; }
    std::vector<float> initial(uint64 seed, uint64) const override {
        return layout_.initial(seed);
    }
    std::vector<float> transposed(const std::vector<float>& parameters) const override {
        return layout_.flip(parameters);
    }
    void transpose(Stream& stream, const float* parameters, float* flipped) const override;
    // PREFIX.l.weight (kernel, in, out) and PREFIX.l.embedding (features + 1, out).
    void add_tensors(TensorMap& map, const std::string& prefix,
                     const std::vector<float>& parameters) const override;
    std::vector<float> parameters_in(const TensorMap& map,
                                     const std::string& prefix) const override;
    void describe(std::map<std::string, std::string>& metadata) const override;

    Matrix<float> input() override {
        return {dense_.data(), rows_, layout_.sites + layout_.features, dense_ld_};
    }
    Matrix<float> output() override { return {out_.data(), rows_, layout_.sites, out_ld_}; }
    index tile_rows() const override { return 1; }  // a thread has place for one row
    index slots(const Device&, index rows) const override {
        return convolver_ ? 1 : rows < kMostSlots ? rows : kMostSlots;
    }
    Precision precision(const Device&, Precision) const override {
        return convolver_ ? precision_ : Precision::fp32;
    }
    bool by_cudnn() const { return convolver_ != nullptr; }
    void forward(RowProgram<float>& program, const float* parameters, bool derivatives) override;
    void squared_error(RowProgram<float>& program, const float* target, float scale,
                       float* loss) override;
    void backward(RowProgram<float>& program, const float* parameters,
                  const float* flipped) override;

    // The sweeps as kernel bodies, all rows at once; gradients in slots(rows) parts.
    void forward_by_bodies(Stream& stream, const float* parameters, index rows, bool derivatives);
    void squared_error_by_bodies(Stream& stream, const float* target, float scale, index rows,
                                 float* loss);
    void backward_by_bodies(Stream& stream, const float* flipped, index rows, float* gradient);

private:
    // In conv_cudnn.lanes.cpp: the same sweeps with cuDNN's convolutions; squared_error is that of the bodies.
    void plan_cudnn(const Device& device, bool training);
    RingConvolution convolution(int l, index rows) const;
    void forward_by_cudnn(Stream& stream, const float* parameters, index rows, bool derivatives);
    void backward_by_cudnn(Stream& stream, index rows, float* gradient);
    // The steps that both share.
    void fill_input(Stream& stream, index rows);
    void activate(Stream& stream, int l, index rows, bool derivatives);
    void write_output(Stream& stream, index rows);
    void seed_layer(Stream& stream, int l, index rows);
    void sum_sites(Stream& stream, int l, index rows);
    float* values(int l) { // of layer l's sites, past the ring's beginning; the last layer has no ends
        return memory_.data() + (l == layout_.layers
                                     ? place_.out
                                     : place_.h[static_cast<std::size_t>(l)] +
                                           layout_.half() * layout_.ld[static_cast<std::size_t>(l)]);
    }
    float* seeds_of(int l) {
        return memory_.data() + (l == layout_.layers
                                     ? place_.seed
                                     : place_.r + layout_.half() *
                                                      layout_.ld[static_cast<std::size_t>(l)]);
    }

    // Of the thread that asks.
    ConvRow<float> row(const float* parameters);

    ConvLayout layout_;
    ConvPlace place_;
    index rows_ = 0, dense_ld_ = 0, out_ld_ = 0;
    Precision precision_ = Precision::fp32;
    bool by_bodies_ = false;
    Buffer<float> memory_, dense_, out_;
    std::unique_ptr<CudnnConvolver> convolver_;
    // Weights as cuDNN reads them, (out, kernel, in) by layer, and a layer's gradient in that order.
    Buffer<float> filters_, filter_gradient_;
};

// From a weight file's metadata, for so many features and sites.
ConvLayout conv_layout(const SafeTensors& content, index features, index sites);

}  // namespace microlift
