// A trained generator: states x ~ p(x | s) from conditions and latents.
#pragma once

#include <filesystem>
#include <memory>

#include "nn/layers/conv.h"
#include "nn/generators/flow.h"
#include "nn/layers/mlp.h"
#include "engine/files/safetensors.h"
#include "nn/layers/whitening.h"

namespace microlift {

// Runs a generator network on any number of columns, on CUDA as one kernel (nn/generators/gan_tiles.h) or in pieces
// of kRows rows; owns the scratch only.
class GeneratorRunner {
public:
    static constexpr index kRows = 4096;
    GeneratorRunner() = default;
    GeneratorRunner(const Device& device, const MlpLayout& layout, int latent);
    // conditions s[k*condition_row + j], states x[d*state_row + j], j < n. Column j depends on
    // (seed, stream_id, first + j) and its condition alone.
    void run(Stream& stream, const WhiteningView& white, const float* parameters,
             const float* conditions, index condition_row, index n, uint64 seed, uint32 stream_id,
             index first, float* states, index state_row, Precision precision);

private:
    MlpLayout layout_;
    int latent_ = 0;
    index places_ = 0;  // rows of the scratch
    Buffer<float> memory_;
    MlpScratch<float> scratch_;
};

// Of any kind (nn/generators/registry.h).
class Generator {
public:
    // From the tensors and metadata of a weight file; InputError if they do not fit together.
    Generator(Stream& stream, const SafeTensors& content);
    Generator(Stream& stream, const std::filesystem::path& file);

    int states() const { return states_; }
    int conditions() const { return conditions_; }
    int latent() const { return latent_; }  // numbers of noise behind a state
    const std::string& kind() const { return kind_; }
    const std::map<std::string, std::string>& metadata() const { return metadata_; }

    // conditions (conditions(), row), states (states(), row), of which the first n ≤ row columns.
    // Column j depends on (seed, first_index + j) and its condition alone.
    void generate(Stream& stream, Span<const float> conditions, index n, uint64 seed,
                  uint64 first_index, Span<float> states);

    // Whether the density is known: flows of up to 16 variables. InputError from the two below if
    // not. Both in fp32 on every device.
    bool has_density() const;
    // Draws as generate() does, from random stream `stream_id`, with ln q(x | s) of each: NaN where
    // the map folds. The states may lie anywhere, generate() keeps them within the data's range.
    void propose(Stream& stream, Span<const float> conditions, index n, uint64 seed,
                 uint32 stream_id, uint64 first_index, Span<float> states,
                 Span<float> log_density);
    // ln q(x | s) of given states; NaN where no noise is found that ends there.
    void log_density(Stream& stream, Span<const float> conditions, index n,
                     Span<const float> states, Span<float> log_density);

private:
    void check_rows(Span<const float> conditions, index n, index state_size) const;
    std::string kind_ = "cgan";
    int states_ = 0, conditions_ = 0, latent_ = 0;
    std::map<std::string, std::string> metadata_;
    Precision precision_ = Precision::tf32;  // of generate(), where the training chose one
    MlpLayout layout_;
    Whitening whitening_;
    Buffer<float> parameters_;
    GeneratorRunner runner_;
    FlowRunner flow_;
    bool convolves_ = false;
    ConvFlowRunner conv_flow_;
};

// The unpadded weights of a network as tensors PREFIX.l.weight (in, out) and PREFIX.l.bias (out).
void add_network_tensors(TensorMap& map, const std::string& prefix, const MlpLayout& layout,
                         const std::vector<float>& parameters);
std::vector<float> network_parameters(const TensorMap& map, const std::string& prefix,
                                      const MlpLayout& layout);

}  // namespace microlift
