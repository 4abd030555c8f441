// The training of a conditional generator x ~ p(x | s), of whatever kind: its configuration, its history,
// and the interface. The kinds are a table in nn/generators/registry.h.
//
// All take the same data, are judged by the same held-out samples and leave weights that Generator
// (nn/generators/generator.h) reads. Iterations are graphs that are replayed; nothing moves between host
// and device meanwhile, and a saved state goes on bit for bit.
#pragma once

#include <string>
#include <vector>

#include "engine/device/buffer.h"
#include "engine/files/safetensors.h"
#include "nn/layers/gemm.h"
#include "nn/layers/limits.h"

namespace microlift {

// What validate() holds; beside those of nn/layers/limits.h.
inline constexpr index kMostBatch = index{1} << 22;
inline constexpr index kMostIterations = 1000000000;
inline constexpr index kMostCriticSteps = 100;
inline constexpr index kMostLatent = 4096;
inline constexpr index kMostFlowSteps = 1000;
inline constexpr index kLeastGroup = 2, kMostGroup = 64;  // and a power of two
inline constexpr index kLeastValidationSamples = 16;
inline constexpr double kAtFloor = 1.05;  // more than this over the floor can be told from it

// The defaults are those of a cgan; a kind's own: TrainerConfig::defaults.
struct TrainerConfig {
    std::string kind = "cgan";
    std::string architecture = "mlp";    // of what generates
    std::vector<index> widths{64, 64, 64};  // its hidden layers; channels, where it convolves
    std::string activation = "silu";
    index kernel = 5;    // sites that a convolution sees, odd
    bool ring = false;   // states are like sites of a ring, in order; kinds that cannot use it do not
    index batch = 512;
    index iterations = 8000;
    double rate = 2e-3;  // at the start; cosine to 0
    double beta1 = 0, beta2 = 0.99;
    double ema = 0.9995;                 // of the weights, an iteration
    std::string whiten = "conditional";  // conditional | global
    std::vector<double> periods;         // one a condition, 0 = not periodic; may be empty
    std::vector<double> state_periods;   // one a state, 0 = none; may be empty. Such a state lies within
                                         // half its period about 0.
    index waves = 8;                     // half waves of each condition that is not periodic
    double held_out = 0.05;              // share of the trajectories kept for validation
    index validation_bins = 32, validation_samples = 10000, validation_every = 500;
    bool stop_at_floor = false;  // when two looks in a row are within kAtFloor of the sampling floor
    Precision precision = Precision::tf32;
    uint64 seed = 1;
    bool graph = true;  // false: launch every iteration anew instead of replaying it

    // cgan and energy
    index latent = 0;  // 0: at least 4 and at least the number of states
    // cgan
    std::vector<index> critic_widths{64, 64, 64};
    index critic_steps = 2;
    double critic_rate = 2e-3;
    std::string penalty = "one_sided";  // one_sided | two_sided | relativistic, also called r1r2
    double penalty_weight = 0.2;
    index penalty_every = 1;  // of an iteration's critic steps those that have the penalty, times as much
    double energy_weight = 1;  // of the energy score in the generator's loss; 0: the critic alone
    // flow
    index flow_steps = 10;  // midpoint steps from noise to state
    index time_waves = 4;   // Fourier features of the flow's time
    // energy
    index group = 8;  // generated states for each sample of a batch: 2, 4, … 64

    // What works for a kind; InputError for an unknown one.
    static TrainerConfig defaults(const std::string& kind);
    void validate() const;  // InputError
};

// How a training went.
struct TrainingHistory {
    std::vector<std::string> losses;  // names of the columns of `rows`
    // Means of the losses since the row before.
    struct Row {
        index iteration;
        std::vector<double> values;
    };
    // How far generated states are from held-out samples.
    struct Validation {
        index iteration;
        double mean, worst;  // W1/σ over bins and variables
    };
    std::vector<Row> rows;
    std::vector<Validation> validations;
    // Of the generator that is kept:
    index best_iteration = 0;
    double best = 0;   // mean W1/σ
    double floor = 0;  // of a perfect generator, measured between halves
    index bins = 0, samples = 0;
    std::vector<std::vector<double>> bin_conditions;  // (bin, condition): mean
    std::vector<std::vector<double>> distances;       // (bin, variable): W1/σ
};

// A training that goes on for as long as it is told. Arrays are on the stream's device.
class GeneratorTrainer {
public:
    virtual ~GeneratorTrainer() = default;

    // x[d*row + j], s[k*row + j], j < columns, j = sample·trajectories + trajectory. The spans must
    // live as long as training does. Held-out are whole trajectories, chosen by a hash of their
    // number; with fewer than 20 trajectories the last samples of each.
    virtual void set_data(Span<const float> states, Span<const float> conditions, index row,
                          index columns, index trajectories) = 0;
    // Weights to start from: a state saved by a trainer of the same kind and architecture. After
    // set_data: its whitening is replaced, and the weights are the first candidate for the best.
    virtual void warm_start(const TensorMap& state) = 0;

    // Up to n more iterations, where it may stop at the floor only to the next look at held-out samples, after which
    // check() asks; moves nothing between host and device.
    virtual void advance(index n) = 0;
    // NumericError, naming update and quantity, if a loss was not finite. Finds out whether the floor was reached.
    virtual void check() = 0;
    virtual index iteration() const = 0;
    virtual bool done() const = 0;
    virtual Precision precision() const = 0;  // that updates are really computed in
    virtual TrainingHistory history() = 0;

    // Everything needed to go on bit for bit, given the same data.
    virtual TensorMap save_state() = 0;
    virtual void load_state(const TensorMap& state) = 0;

    // The generator kept so far (the best on held-out data), with metadata naming kind and
    // architecture.
    virtual SafeTensors generator_tensors() = 0;
};

}  // namespace microlift
