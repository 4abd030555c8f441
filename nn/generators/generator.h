// A trained generator: states x ~ p(x | s) from conditions and latents.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "engine/files/safetensors.h"
#include "nn/train/embedding.h"
#include "nn/layers/whitening.h"
#include "nn/train/sampler.h"

namespace microlift {

// Of any kind (nn/generators/registry.h).
class Generator {
public:
    // From the tensors and metadata of a weight file; InputError if they do not fit together.
    Generator(Stream& stream, const SafeTensors& content);
    Generator(Stream& stream, const std::filesystem::path& file);

    // Variables of a state; conditions; the kind's name.
    int states() const { return states_; }
    int conditions() const { return conditions_; }
    const std::string& kind() const { return kind_; }

    // (states): of those that go round, 0 for the others; empty if none does.
    const std::vector<float>& state_periods() const { return periods_; }

    // conditions (conditions(), row), states (states(), row), of which the first n ≤ row columns.
    // Column j depends on (seed, first_index + j) and its condition alone.
    void generate(Stream& stream, Span<const float> conditions, index n, uint64 seed,
                  uint64 first_index, Span<float> states);

    // Whether the density is known: flows and score matching, of up to 512 variables. InputError from the two below if
    // not. Both in fp32 on every device.
    bool has_density() const;
    // Draws (states, row) as generate() does, from random stream `stream_id`, with ln q(x | s) of each: NaN where
    // the map folds. The states may lie anywhere, generate() keeps them within the data's range.
    void propose(Stream& stream, Span<const float> conditions, index n, uint64 seed,
                 uint32 stream_id, uint64 first_index, Span<float> states,
                 Span<float> log_density);
    // ln q(x | s), (n), of given states (states, row); NaN where no noise is found that ends there.
    void log_density(Stream& stream, Span<const float> conditions, index n,
                     Span<const float> states, Span<float> log_density);

private:
    Matrix<const float> columns(Span<const float> conditions, index n, index state_size) const;
    void check_density() const;

    std::string kind_ = "cgan";
    int states_ = 0, conditions_ = 0;
    std::vector<float> periods_;
    Precision precision_ = Precision::tf32;  // of generate(), where the training chose one
    Whitening whitening_;
    std::unique_ptr<Sampler> sampler_;
    Embedding embedding_;
    Buffer<float> inside_;  // embedded states
    Buffer<float> parameters_;
};

}  // namespace microlift
