// One interface to the training of every kind of conditional generator x ~ p(x | s):
//   cgan    a generator and a critic (nn/generators/cgan.h),
//   flow    conditional flow matching: a few steps of an ODE, with an exact density (nn/generators/flow.h),
//   energy  a generator of one step taught by the energy score alone, without a critic.
// All take the same data, are judged by the same held-out samples and leave weights that Generator
// (nn/generators/generator.h) reads. Iterations are graphs that are replayed; nothing moves between host and
// device meanwhile, and a saved state goes on bit for bit.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nn/layers/gemm.h"
#include "engine/files/safetensors.h"
#include "engine/device/buffer.h"

namespace microlift {

struct TrainerConfig {
    std::string kind = "cgan";  // cgan | flow | energy
    std::vector<index> widths{64, 64, 64};  // hidden layers of what generates
    std::string activation = "silu";
    index batch = 512;
    index iterations = 8000;
    double rate = 2e-3;  // at the start; cosine to 0
    double beta1 = 0, beta2 = 0.99;
    double ema = 0.9995;                 // of the weights, an iteration
    std::string whiten = "conditional";  // conditional | global
    std::vector<double> periods;         // one a condition, 0 = not periodic; may be empty
    int waves = 8;                       // half waves of each condition that is not periodic
    std::string architecture = "mlp";  // mlp | conv: circular convolutions (flows on rings only)
    int kernel = 5;                    // sites that a convolution sees, odd
    bool ring = false;  // states are like sites of a ring, in order (flow and energy)
    double held_out = 0.05;              // share of the trajectories kept for validation
    index validation_bins = 32, validation_samples = 10000, validation_every = 500;
    Precision precision = Precision::tf32;
    uint64 seed = 1;
    bool graph = true;  // false: launch every iteration anew instead of replaying it

    // cgan and energy
    int latent = 0;  // 0: at least 4 and at least the number of states
    // cgan
    std::vector<index> critic_widths{64, 64, 64};
    int critic_steps = 5;
    double critic_rate = 2e-3;
    std::string penalty = "one_sided";  // one_sided | two_sided | relativistic
    double penalty_weight = 0.2, energy_weight = 1;
    // flow
    int flow_steps = 10;  // midpoint steps from noise to state
    int time_waves = 4;   // Fourier features of the flow's time
    // energy
    int group = 8;  // generated states for each sample of a batch: 2, 4, … 64

    // What works for a kind; InputError for an unknown one.
    static TrainerConfig defaults(const std::string& kind);
    void validate() const;  // InputError
};

// The kinds, in the order in which a comparison shows them.
const std::vector<std::string>& generator_kinds();

struct TrainingHistory {
    std::vector<std::string> losses;  // names of the columns of `rows`
    struct Row {
        index iteration;
        std::vector<double> values;
    };
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

    // Up to n more iterations; moves nothing between host and device.
    virtual void advance(index n) = 0;
    // NumericError, naming update and quantity, if a loss was not finite.
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

std::unique_ptr<GeneratorTrainer> make_trainer(Stream& stream, const TrainerConfig& config,
                                               int states, int conditions);

}  // namespace microlift
