#include "nn/generators/registry.h"

#include <algorithm>

#include "engine/error.h"
#include "nn/generators/cgan.h"
#include "nn/train/single_network.h"

namespace microlift {
namespace {

CganConfig cgan_config(const TrainerConfig& t) {
    CganConfig c;
    c.generator_widths = t.widths;
    c.critic_widths = t.critic_widths;
    c.activation = t.activation;
    c.latent = t.latent;
    c.batch = t.batch;
    c.iterations = t.iterations;
    c.critic_steps = t.critic_steps;
    c.generator_rate = t.rate;
    c.critic_rate = t.critic_rate;
    c.beta1 = t.beta1;
    c.beta2 = t.beta2;
    c.penalty = t.penalty;
    c.penalty_weight = t.penalty_weight;
    c.energy_weight = t.energy_weight;
    c.ema = t.ema;
    c.whiten = t.whiten;
    c.periods = t.periods;
    c.waves = t.waves;
    c.held_out = t.held_out;
    c.validation_bins = t.validation_bins;
    c.validation_samples = t.validation_samples;
    c.validation_every = t.validation_every;
    c.precision = t.precision;
    c.seed = t.seed;
    c.graph = t.graph;
    return c;
}

class CganTrainer final : public GeneratorTrainer {
public:
    CganTrainer(Stream& stream, const TrainerConfig& config, int states, int conditions)
        : cgan_(stream, cgan_config(config), states, conditions) {}
    void set_data(Span<const float> states, Span<const float> conditions, index row, index columns,
                  index trajectories) override {
        cgan_.set_data(states, conditions, row, columns, trajectories);
    }
    void warm_start(const TensorMap& state) override { cgan_.warm_start(state); }
    void advance(index n) override { cgan_.advance(n); }
    void check() override { cgan_.check(); }
    index iteration() const override { return cgan_.iteration(); }
    bool done() const override { return cgan_.done(); }
    Precision precision() const override { return cgan_.precision(); }
    TrainingHistory history() override {
        const CganHistory h = cgan_.history();
        TrainingHistory out;
        out.losses = {"critic_loss", "generator_loss", "penalty"};
        for (const auto& row : h.rows)
            out.rows.push_back({row.iteration, {row.wasserstein, row.generator_loss, row.penalty}});
        for (const auto& v : h.validations)
            out.validations.push_back({v.iteration, v.mean, v.worst});
        out.best_iteration = h.best_iteration;
        out.best = h.best;
        out.floor = h.floor;
        out.bins = h.bins;
        out.samples = h.samples;
        out.bin_conditions = h.bin_conditions;
        out.distances = h.distances;
        return out;
    }
    TensorMap save_state() override { return cgan_.save_state(); }
    void load_state(const TensorMap& state) override { cgan_.load_state(state); }
    SafeTensors generator_tensors() override {
        SafeTensors content = cgan_.generator_tensors();
        content.metadata["kind"] = "cgan";
        return content;
    }

private:
    Cgan cgan_;
};

}  // namespace

const std::vector<std::string>& generator_kinds() {
    static const std::vector<std::string> kinds{"cgan", "flow", "energy"};
    return kinds;
}

TrainerConfig TrainerConfig::defaults(const std::string& kind) {
    TrainerConfig c;
    c.kind = kind;
    if (kind == "flow") {
        c.batch = 2048;
        c.iterations = 16000;
        c.beta1 = 0.9;
        c.beta2 = 0.99;
        c.validation_every = 2000;
    } else if (kind == "energy") {
        c.batch = 2048;
        c.iterations = 16000;
        c.beta1 = 0.9;
        c.validation_every = 1000;
    } else if (kind != "cgan") {
        throw InputError("there is no generator of kind '" + kind +
                         "'; write cgan, flow or energy");
    }
    return c;
}

void TrainerConfig::validate() const {
    const auto require = [](bool good, const char* what) {
        if (!good) throw InputError(std::string("generator: ") + what);
    };
    defaults(kind);
    require(architecture == "mlp" || architecture == "conv", "architecture must be mlp or conv");
    require(architecture == "mlp" || (kind == "flow" && ring),
            "architecture conv is for flows on a ring");
    if (kind == "cgan") {
        cgan_config(*this).validate();
        return;
    }
    activation_from(activation);
    require(batch >= 1 && batch <= (index{1} << 22), "batch must be 1 to 4194304");
    require(iterations >= 1 && iterations <= 1000000000, "iterations must be 1 to 1e9");
    require(rate > 0, "learning rates must be > 0");
    require(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1, "betas must be in [0, 1)");
    require(ema >= 0 && ema < 1, "ema must be in [0, 1)");
    require(whiten == "conditional" || whiten == "global",
            "whiten must be conditional or global");
    require(held_out >= 0 && held_out < 1, "held_out must be in [0, 1)");
    require(validation_bins >= 1 && validation_samples >= 16 && validation_every >= 1,
            "validation needs at least 1 bin, 16 samples and 1 iteration between");
    require(waves >= 0 && waves <= kMostWaves, "waves must be 0 to 32");
    require(latent >= 0 && latent <= 4096, "latent must be 0 (automatic) to 4096");
    require(flow_steps >= 1 && flow_steps <= 1000, "flow_steps must be 1 to 1000");
    require(time_waves >= 0 && time_waves <= kMostWaves, "time_waves must be 0 to 32");
    require(group >= 2 && group <= 64 && (group & (group - 1)) == 0,
            "group must be a power of two, 2 to 64");
}

std::unique_ptr<GeneratorTrainer> make_trainer(Stream& stream, const TrainerConfig& config,
                                               int states, int conditions) {
    config.validate();
    if (states < 1 || states > 4096) throw InputError("a generator needs 1 to 4096 states");
    if (conditions < 1 || conditions > kMostConditions)
        throw InputError("a generator needs 1 to " + std::to_string(kMostConditions) +
                         " conditions");
    if (config.kind == "flow") return make_flow_trainer(stream, config, states, conditions);
    if (config.kind == "energy") return make_energy_trainer(stream, config, states, conditions);
    return std::make_unique<CganTrainer>(stream, config, states, conditions);
}

}  // namespace microlift
