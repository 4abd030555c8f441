#include "nn/generators/registry.h"

#include <algorithm>

#include "engine/error.h"
#include "nn/generators/cgan.h"
#include "nn/generators/conv_flow.h"
#include "nn/train/embedding.h"
#include "nn/generators/energy.h"
#include "nn/generators/flow.h"
#include "nn/generators/latent_sampler.h"
#include "nn/generators/penalty.h"
#include "nn/generators/score.h"
#include "nn/layers/weights.h"
#include "nn/train/limits.h"

namespace microlift {
namespace {

constexpr GeneratorKind::Defaults kAdversary{512, 8000, 500, 0}, kFlow{2048, 16000, 2000, 0.9},
    kEnergyScore{2048, 16000, 1000, 0.9};

std::string list_of(const std::vector<std::string>& names) {
    std::string list;
    for (std::size_t k = 0; k < names.size(); ++k)
        list.append(k == 0 ? "" : k + 1 < names.size() ? ", " : " or ").append(names[k]);
    return list;
}

void require(bool good, const std::string& what) {
    if (!good) throw InputError("generator: " + what);
}

void require_count(index value, index least, index most, const char* key) {
    require(value >= least && value <= most, std::string(key) + " must be " +
                                                 std::to_string(least) + " to " +
                                                 std::to_string(most));
}

void require_widths(const std::vector<index>& widths, const char* key) {
    require(widths.size() <= kMostHiddenLayers, std::string(key) + " must be of at most " +
                                                    std::to_string(kMostHiddenLayers) +
                                                    " hidden layers");
    for (const index width : widths) require_count(width, 1, kMostWidth, key);
}

}  // namespace

Penalty penalty_from(const std::string& name) {
    if (name == "one_sided") return Penalty::one_sided;
    if (name == "two_sided") return Penalty::two_sided;
    if (name == "relativistic" || name == "r1r2") return Penalty::relativistic;
    throw InputError("there is no penalty '" + name +
                     "'; write one_sided, two_sided or relativistic");
}

const std::vector<GeneratorKind>& generator_table() {
    static const std::vector<GeneratorKind> table{
        // kind, architecture, defaults, trainer, weight files, density, ring, circle, check
        {"cgan", "mlp", kAdversary, make_cgan, load_latent, false, false, false},
        {"flow", "mlp", kFlow, make_flow, load_flow, true, true, true},
        {"flow", "conv", kFlow, make_conv_flow, load_conv_flow, false, true, false, check_conv_flow},
        {"energy", "mlp", kEnergyScore, make_energy, load_latent, false, true, false},
        {"score", "mlp", kFlow, make_score, load_flow, true, true, true},
    };
    return table;
}

const std::vector<std::string>& generator_kinds() {
    static const std::vector<std::string> names = [] {
        std::vector<std::string> list;
        for (const GeneratorKind& kind : generator_table())
            if (std::find(list.begin(), list.end(), kind.name) == list.end())
                list.push_back(kind.name);
        return list;
    }();
    return names;
}

bool has_density(const std::string& kind) {
    const auto& table = generator_table();
    return std::any_of(table.begin(), table.end(), [&](const GeneratorKind& entry) {
        return kind == entry.name && entry.density;
    });
}

const GeneratorKind& generator_kind(const std::string& name, const std::string& architecture) {
    std::vector<std::string> architectures;
    for (const GeneratorKind& kind : generator_table()) {
        if (name != kind.name) continue;
        if (architecture == kind.architecture) return kind;
        architectures.push_back(kind.architecture);
    }
    if (architectures.empty())
        throw InputError("there is no generator of kind '" + name + "'; write " +
                         list_of(generator_kinds()));
    throw InputError("generator: there is no " + name + " of architecture '" + architecture +
                     "'; write " + list_of(architectures));
}

TrainerConfig TrainerConfig::defaults(const std::string& kind) {
    const GeneratorKind::Defaults& own = generator_kind(kind).defaults;
    TrainerConfig c;
    c.kind = kind;
    c.batch = own.batch;
    c.iterations = own.iterations;
    c.validation_every = own.validation_every;
    c.beta1 = own.beta1;
    return c;
}

void TrainerConfig::validate() const {
    const GeneratorKind& own = generator_kind(kind, architecture);
    if (own.check) own.check(*this);
    activation_from(activation);
    penalty_from(penalty);
    require_widths(widths, "widths");
    require_widths(critic_widths, "critic_widths");
    require_count(batch, 1, kMostBatch, "batch");
    require_count(iterations, 1, kMostIterations, "iterations");
    require_count(critic_steps, 1, kMostCriticSteps, "critic_steps");
    require(rate > 0 && critic_rate > 0, "learning rates must be > 0");
    require(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1, "betas must be in [0, 1)");
    require(energy_weight >= 0, "energy_weight must be ≥ 0");
    require(penalty_weight >= 0, "penalty_weight must be ≥ 0");
    require_count(penalty_every, 1, kMostCriticSteps, "penalty_every");
    require(ema >= 0 && ema < 1, "ema must be in [0, 1)");
    require(whiten == "conditional" || whiten == "global",
            "whiten must be conditional or global");
    require(held_out >= 0 && held_out < 1, "held_out must be in [0, 1)");
    require(validation_bins >= 1, "validation needs at least 1 bin");
    require_count(validation_samples, kLeastValidationSamples, kMostValidationSamples,
                  "validation_samples");
    require_count(validation_every, 1, kMostIterations, "validation_every");
    require_count(kernel, 1, kMostKernel, "kernel");
    require(kernel % 2 == 1, "kernel must be odd");
    require_count(waves, 0, kMostWaves, "waves");
    require_count(latent, 0, kMostLatent, "latent");
    require_count(flow_steps, 1, kMostFlowSteps, "flow_steps");
    require_count(time_waves, 0, kMostWaves, "time_waves");
    require(group >= kLeastGroup && group <= kMostGroup && (group & (group - 1)) == 0,
            "group must be a power of two, 2 to 64");
}

std::unique_ptr<GeneratorTrainer> make_trainer(Stream& stream, const TrainerConfig& config,
                                               int states, int conditions) {
    config.validate();
    if (states < 1 || states > kMostStates)
        throw InputError("a generator needs 1 to " + std::to_string(kMostStates) + " states");
    if (conditions < 1 || conditions > kMostConditions)
        throw InputError("a generator needs 1 to " + std::to_string(kMostConditions) +
                         " conditions");
    const GeneratorKind& kind = generator_kind(config.kind, config.architecture);
    TrainerConfig own = config;
    own.ring = config.ring && kind.ring;
    if (std::none_of(own.state_periods.begin(), own.state_periods.end(),
                     [](double p) { return p > 0; }))
        own.state_periods.clear();
    if (own.state_periods.empty()) return kind.make(stream, own, states, conditions);
    if (static_cast<int>(own.state_periods.size()) != states)
        throw InputError("generator: there must be a period for each state, or none");
    if (own.ring) throw InputError("generator: states of a ring cannot go round themselves");
    if (!kind.circle) return make_embedded(stream, own, conditions, kind.make);
    return kind.make(stream, own, states, conditions);
}

}  // namespace microlift
