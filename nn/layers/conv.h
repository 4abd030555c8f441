// Networks of circular convolutions over a ring of sites, for flows whose variables are one.
//
// Layer l = 1…layers: z_l = K_l ∗ h_{l−1} + f E_l, h_l = φ(z_l) + h_{l−1} (the last term between layers
// of as many channels), the last one linear with one channel. h_0 has two channels, the site's own
// value and the sum over all sites; f are the condition's and the time's features and 1, the same at
// every site. So the network commutes with turns of the ring.
//
// K_l is (kernel, in, out), E_l (features + 1, out), row-major; hidden channels are multiples of kPad.
// Two implementations: on the CPU a row of the batch at a time by the products of nn/layers/gemm.h, in the
// nearest cache; on CUDA the bodies of nn/layers/conv_bodies.h over all rows.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "engine/launch/lanes.h"
#include "nn/layers/conv_bodies.h"
#include "nn/layers/gemm.h"
#include "engine/files/safetensors.h"
#include "nn/layers/whitening.h"

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

    // From (x, features) to place.out; keeps φ′ for gradient().
    void forward(const Real* dense, bool derivatives) const;
    // Adds a row's loss gradient; needs the flipped weights. loss: one number.
    void gradient(const Real* target, Real scale, const Real* flipped, Real* gradient,
                  Real* loss) const;
};

class ConvNetwork {
public:
    ConvNetwork() = default;
    // by_bodies: as on CUDA, also on the CPU.
    ConvNetwork(const Device& device, const ConvLayout& layout, index rows, bool training,
                bool by_bodies = false);

    index slots(index rows) const { return rows < 16 ? rows : 16; }
    // dense (rows, dense_ld): x, then features; out (rows, out_ld).
    void forward(Stream& stream, const float* parameters, const float* dense, index dense_ld,
                 index rows, float* out, index out_ld);
    // Squared error against target (rows, target_ld), summed over sites, averaged over rows: each row's
    // loss, and gradients in slots(rows) parts of layout.parameters.
    void gradient(Stream& stream, const float* parameters, const float* flipped, const float* dense,
                  index dense_ld, const float* target, index target_ld, index rows, float* gradient,
                  float* loss);
    void flip(Stream& stream, const float* parameters, float* flipped) const;

private:
    void forward_by_bodies(Stream& stream, const float* parameters, const float* dense,
                           index dense_ld, index rows, bool derivatives);
    ConvLayout layout_;
    ConvPlace place_;
    bool by_bodies_ = false;
    Buffer<float> memory_;
};

// Midpoint steps from noise to states with a velocity of convolutions.
class ConvFlowRunner {
public:
    static constexpr index kRows = 1024;
    ConvFlowRunner() = default;
    ConvFlowRunner(const Device& device, const ConvLayout& layout, int features, int time_waves,
                   int steps);
    // As FlowRunner::run().
    void run(Stream& stream, const WhiteningView& white, const float* parameters,
             const float* conditions, index condition_row, index n, uint64 seed, uint32 stream_id,
             index first, float* states, index state_row);

private:
    ConvLayout layout_;
    int features_ = 0, waves_ = 0, steps_ = 0;
    ConvNetwork network_;
    Buffer<float> memory_;
    index ld_ = 0, dense_ld_ = 0;
};

// PREFIX.l.weight (kernel, in, out) and PREFIX.l.embedding (features + 1, out).
void add_conv_tensors(TensorMap& map, const std::string& prefix, const ConvLayout& layout,
                      const std::vector<float>& parameters);
std::vector<float> conv_parameters(const TensorMap& map, const std::string& prefix,
                                   const ConvLayout& layout);

}  // namespace microlift
