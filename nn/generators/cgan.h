// The conditional GAN: a generator G(z, s) and a critic D(x | s) trained on device-resident samples,
// Wasserstein with gradient penalty (Gulrajani et al., 2017; one-sided by default, Petzka et al., 2018)
// or relativistic with R1 + R2 (Huang et al., 2024). One iteration, critic_steps critic updates and one
// generator update, is a graph that is replayed; nothing moves between host and device meanwhile.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nn/layers/gemm.h"
#include "nn/generators/generator.h"

namespace microlift {

struct CganConfig {
    std::vector<index> generator_widths{64, 64, 64}, critic_widths{64, 64, 64};
    std::string activation = "silu";
    int latent = 0;           // 0: at least 4 and at least the number of states
    index batch = 512;
    index iterations = 8000;
    int critic_steps = 5;
    double generator_rate = 2e-3, critic_rate = 2e-3;  // at the start; cosine to 0
    double beta1 = 0, beta2 = 0.99;
    std::string penalty = "one_sided";  // one_sided | two_sided | relativistic
    double penalty_weight = 0.2;
    double energy_weight = 1;  // of the energy score in the generator's loss; 0: the critic alone
    double ema = 0.9995;                // of the generator's weights, an iteration
    std::string whiten = "conditional"; // conditional | global
    std::vector<double> periods;        // one a condition, 0 = not periodic; may be empty
    int waves = 8;                      // half waves of each condition that is not periodic
    double held_out = 0.05;             // share of the trajectories kept for validation
    index validation_bins = 32, validation_samples = 10000, validation_every = 500;
    Precision precision = Precision::tf32;
    uint64 seed = 1;
    bool graph = true;  // false: launch every iteration anew instead of replaying it

    void validate() const;  // InputError
};

struct CganHistory {
    struct Row {
        index iteration;
        double wasserstein, penalty, generator_loss;
    };
    struct Validation {
        index iteration;
        double mean, worst;  // W1/σ over bins and variables
    };
    std::vector<Row> rows;
    std::vector<Validation> validations;
    // Of the generator that is kept:
    index best_iteration = 0;
    double best = 0;                       // mean W1/σ
    double floor = 0;                      // of a perfect generator, measured between halves
    index bins = 0, samples = 0;
    std::vector<std::vector<double>> bin_conditions;  // (bin, condition): mean
    std::vector<std::vector<double>> distances;       // (bin, variable): W1/σ
};

class Cgan {
public:
    Cgan(Stream& stream, const CganConfig& config, int states, int conditions);
    ~Cgan();
    Cgan(Cgan&&) noexcept;

    // x[d*row + j], s[k*row + j], j < columns, j = sample·trajectories + trajectory. The spans must
    // live as long as training does. Held-out are whole trajectories, chosen by a hash of their
    // number; with fewer than 20 trajectories the last samples of each.
    void set_data(Span<const float> states, Span<const float> conditions, index row, index columns,
                  index trajectories);
    // Weights to start from: a state saved by a Cgan of the same architecture. After set_data: its
    // whitening is replaced, and the weights are the first candidate for the best.
    void warm_start(const TensorMap& state);

    // Up to n more iterations; moves nothing between host and device.
    void advance(index n);
    // NumericError, naming update and quantity, if a loss was not finite.
    void check();
    index iteration() const;
    bool done() const;
    Precision precision() const;  // that updates are really computed in
    CganHistory history();

    // Everything needed to go on bit for bit, given the same data.
    TensorMap save_state();
    void load_state(const TensorMap& state);

    // The generator kept so far (the best on held-out data), with metadata naming its architecture.
    SafeTensors generator_tensors();

    struct Impl;

private:
    std::unique_ptr<Impl> impl_;
};

}  // namespace microlift
