#include "sampling/lift/lift_config.h"

#include <algorithm>

#include "engine/config/section.h"
#include "nn/generators/registry.h"
#include "nn/train/limits.h"
#include "sampling/dynamics/limits.h"
#include "sampling/model/model_config.h"

namespace microlift {

using Gen = GeneratorConfig;
const Section<GeneratorConfig> generator_section{"generator", {
    enabled(&Gen::enabled, "whether to train a generator"),
    key(&Gen::kind, "kind", "cgan",
        "kind of generator: a GAN, a flow (slower to lift, knows its density), one taught by the energy "
        "score, or one by denoising score matching (like a flow); all but the first have other defaults "
        "of batch, iterations, rate, betas and validate_every").one_of(generator_kinds()),
    key(&Gen::generator_widths, "generator_widths", {64, 64, 64},
        "widths of the generator's hidden layers").from(1).to(kMostWidth),
    key(&Gen::critic_widths, "critic_widths", {64, 64, 64},
        "widths of the critic's hidden layers").from(1).to(kMostWidth),
    key(&Gen::latent, "latent", 4,
        "dimension of the noise; 0: that of what is generated, at least 4")
        .from(0).to(kMostLatent),
    key(&Gen::activation, "activation", "silu", "activation of hidden layers")
        .one_of({"silu", "leaky_relu", "tanh", "softplus"}),
    key(&Gen::batch, "batch", 512, "samples in each update").from(1).to(kMostBatch),
    key(&Gen::iterations, "iterations", 8000, "generator updates").from(1).to(kMostIterations),
    key(&Gen::critic_steps, "critic_steps", 2, "critic updates for each generator update")
        .from(1).to(kMostCriticSteps),
    key(&Gen::generator_rate, "generator_rate", 2e-3,
        "learning rate of the generator at the start").above(0),
    key(&Gen::critic_rate, "critic_rate", 1e-3,
        "learning rate of the critic at the start").above(0),
    key(&Gen::beta1, "beta1", 0.0, "Adam's first decay").from(0).below(1),
    key(&Gen::beta2, "beta2", 0.99, "Adam's second decay").from(0).below(1),
    key(&Gen::penalty, "penalty", "one_sided",
        "gradient penalty of the critic (r1r2: relativistic loss with R1 and R2)")
        .one_of({"one_sided", "two_sided", "r1r2"}),
    key(&Gen::penalty_weight, "penalty_weight", 1.0, "weight of the gradient penalty").from(0),
    key(&Gen::penalty_every, "penalty_every", 2,
        "of an iteration's critic steps the first and then every so many have the penalty, weighed as many times as much")
        .from(1).to(kMostCriticSteps),
    key(&Gen::energy_weight, "energy_weight", 1.0,
        "weight of the energy score beside the critic; 0: the critic alone").from(0),
    key(&Gen::ema, "ema", 0.9995,
        "decay of the running mean of the generator's weights; 0: none").from(0).below(1),
    key(&Gen::flow_steps, "flow_steps", 10, "steps of a flow or score from noise to a state")
        .from(1).to(kMostFlowSteps),
    key(&Gen::time_waves, "time_waves", 4, "Fourier features of the time of a flow or score")
        .from(0).to(kMostWaves),
    key(&Gen::group, "group", 8,
        "states that kind energy generates for each sample: 2, 4, … 64").from(kLeastGroup).to(kMostGroup),
    optional(&Gen::compare, "compare", "[\"flow\", \"energy\"]",
        "further kinds to train on the same data, with their own defaults, and to compare"),
    key(&Gen::project, "project", true,
        "whether generated states are moved onto xi(x) = s by Newton steps"),
    key(&Gen::architecture, "architecture", "mlp",
        "a network of full layers, or, of a flow on a ring, of circular convolutions: "
        "generator_widths are their channels then").one_of({"mlp", "conv"}),
    key(&Gen::kernel, "kernel", 5, "width of a convolution in sites, an odd number")
        .from(1).to(kMostKernel),
    key(&Gen::ring, "ring", false,
        "whether the variables are like sites of a ring, in order: a flow then learns from them "
        "turned and mirrored at random"),
    key(&Gen::precision, "precision", "tf32",
        "how a CUDA device rounds the factors of a network's products; tf32x3 comes close to fp32, "
        "which is the slow reference. The CPU computes in fp32 always")
        .one_of({"tf32", "bf16", "tf32x3", "fp32"}),
    key(&Gen::held_out, "held_out", 0.1,
        "share of the trajectories kept for validation; 0: none, the last weights are kept")
        .from(0).below(1),
    key(&Gen::validate_every, "validate_every", 500, "generator updates between validations")
        .from(1).to(kMostIterations),
    key(&Gen::validation_states, "validation_states", 10000,
        "generated states at each condition that validation looks at")
        .from(kLeastValidationSamples).to(kMostValidationSamples),
    key(&Gen::stop_at_floor, "stop_at_floor", false,
        "end a training when two validations in a row are within 5 % of the sampling floor; what held-out "
        "samples cannot tell may still be learned after that"),
}};

using Lifting = LiftingConfig;
const Section<LiftingConfig> lifting_section{"lifting", {
    key(&Lifting::values, "values", 50,
        "values of the collective variables at which lifting is judged").from(1).to(10000),
    key(&Lifting::states, "states", 20000, "states generated at each").from(100).to(1e8),
    key(&Lifting::heal_steps, "heal_steps", 2000,
        "steps that heal a generated state; 0: none; -1: five measured relaxation times")
        .from(-1).to(kMostSteps),
    key(&Lifting::heal_limit, "heal_limit", 20000, "most steps that heal_steps = -1 may choose")
        .from(64).to(kMostSteps),
    key(&Lifting::energies, "energies", 0,
        "values at which the potential energy of lifted and of healed states is compared with long "
        "runs held there; 0: none").from(0).to(1000),
    key(&Lifting::energy_states, "energy_states", 20000, "states generated at each of them")
        .from(100).to(1e8),
    key(&Lifting::reference_steps, "reference_steps", 20000,
        "steps of the 256 runs at each of them, after a quarter as many more")
        .from(64).to(kMostSteps),
    key(&Lifting::candidates, "candidates", 1,
        "states of a generator with a density of which each lifted state is chosen, by weight "
        "exp(-beta V) over density; 1: no choice").from(1).to(1000),
    key(&Lifting::proposals, "proposals", 4096,
        "states of a flow that are weighed against exp(-beta V) at each bin; 0: none")
        .from(0).to(1e8),
}};

using Coupling = CouplingConfig;
const Section<CouplingConfig> coupling_section{"coupling", {
    enabled(&Coupling::enabled, "whether to couple"),
    key(&Coupling::rounds, "rounds", 0, "rounds of new biased runs from generated states; 0: none")
        .from(0).to(1000),
    key(&Coupling::windows, "windows", 8, "new windows in each round").from(1).to(1e6),
    key(&Coupling::replicas, "replicas", 64, "trajectories in each new window").from(1).to(1e8),
    key(&Coupling::equilibrate, "equilibrate", 2000, "steps of a new run before its first sample")
        .from(0).to(kMostSteps),
    key(&Coupling::steps, "steps", 20000, "steps sampled of a new run").from(1).to(kMostSteps),
    key(&Coupling::iterations, "iterations", 2000, "generator updates after each round")
        .from(1).to(kMostIterations),
    key(&Coupling::exchange, "exchange", 0,
        "steps between exchange attempts of a round's neighbouring windows; 0: none")
        .from(0).to(kMostSteps),
    key(&Coupling::jump, "jump", 100,
        "steps between attempts of a round's trajectories to jump to a lifted state, accepted by "
        "Metropolis; rounded up to whole umbrella.stride; 0: none").from(0).to(kMostSteps),
    key(&Coupling::budget, "budget", 0.0,
        "force evaluations of all biased runs, the umbrella's included, after which no round begins; "
        "0: no limit").from(0).to(1e18),
    key(&Coupling::target_error, "target_error", 0.0,
        "largest standard error of the free energy at which rounds end, once coupling.target_w1 is "
        "met too (energy); 0: not asked for").from(0),
    key(&Coupling::target_w1, "target_w1", 0.0,
        "largest held-out W1/sigma above its floor at which rounds end; 0: not asked for").from(0),
    key(&Coupling::discard, "discard", 3.0,
        "a window's earlier samples are discarded where a later run at the same place disagrees by "
        "more than so many standard errors d, or sqrt(d^2 + 2 ln n) of n comparisons; 0: never").from(0),
    key(&Coupling::ablation, "ablation", false,
        "whether to compare, at equal force evaluations, with umbrella sampling alone and with the "
        "generator alone"),
}};

namespace {

// What the kind leaves open: its own batch, rates and so on.
void fill_from_kind(Config& config, const std::string& kind) {
    const TrainerConfig base = TrainerConfig::defaults("cgan"), own = TrainerConfig::defaults(kind);
    const auto fill = [&](const char* path, auto member) {
        if (!config.given(path) && config.sound(path) && own.*member != base.*member) {
            config.set(path, ConfigValue::of(own.*member));
        }
    };
    fill("generator.batch", &TrainerConfig::batch);
    fill("generator.iterations", &TrainerConfig::iterations);
    fill("generator.generator_rate", &TrainerConfig::rate);
    fill("generator.beta1", &TrainerConfig::beta1);
    fill("generator.beta2", &TrainerConfig::beta2);
    fill("generator.ema", &TrainerConfig::ema);
    fill("generator.validate_every", &TrainerConfig::validation_every);
}

void check_compare(const GeneratorConfig& generator) {
    const auto& kinds = generator_kinds();
    for (const std::string& kind : generator.compare) {
        if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end() || kind == generator.kind ||
            std::count(generator.compare.begin(), generator.compare.end(), kind) > 1) {
            throw KeyError("generator.compare",
                           "key 'generator.compare' names '" + kind + "', which " +
                               (kind == generator.kind
                                    ? "is the kind that is trained anyway"
                                    : "is no kind of generator, or stands there twice"),
                           "name other kinds than 'generator.kind', of " + join(kinds, ", "));
        }
    }
}

void check_convolutions(Checks& checks, const GeneratorConfig& generator) {
    if (generator.architecture != "conv") return;
    checks.with({"generator.architecture", "generator.kind", "generator.ring"}, [&] {
        if (generator.kind != "flow") {
            throw KeyError("generator.architecture",
                           "key 'generator.architecture' is \"conv\", which is built for flows; "
                           "'generator.kind' is \"" + generator.kind + "\"",
                           "use kind = \"flow\", or architecture = \"mlp\"");
        }
        if (!generator.ring) {
            throw KeyError("generator.architecture",
                           "key 'generator.architecture' is \"conv\", which needs a ring of like "
                           "variables, but 'generator.ring' is false",
                           "set ring = true if the variables are one, or use architecture = \"mlp\"");
        }
    });
    checks.with({"generator.architecture", "generator.compare"}, [&] {
        if (!generator.compare.empty()) {
            throw KeyError("generator.compare",
                           "key 'generator.compare' names kinds without convolutions",
                           "leave it out, or use architecture = \"mlp\"");
        }
    });
    checks.with({"generator.architecture", "generator.generator_widths"}, [&] {
        const auto& widths = generator.generator_widths;
        for (const index channels : widths) {
            if (channels % 16 != 0 || channels > kMostChannels) {
                throw KeyError("generator.generator_widths",
                               "key 'generator.generator_widths' holds " + std::to_string(channels) +
                                   ", no multiple of 16 up to " + std::to_string(kMostChannels) +
                                   ", which channels of convolutions must be",
                               "give for example [32, 32, 32]");
            }
        }
    });
}

}  // namespace

GeneratorConfig read_generator(Config& config) {
    if (config.sound("generator.kind")) fill_from_kind(config, config.text("generator.kind"));
    const GeneratorConfig generator = generator_section.read(config);
    config.with({"generator.kind", "generator.compare"}, [&] { check_compare(generator); });
    check_convolutions(config, generator);
    config.with({"generator.kernel"}, [&] {
        if (generator.kernel % 2 == 0) {
            throw KeyError("generator.kernel",
                           "key 'generator.kernel' is " + std::to_string(generator.kernel) +
                               ", not odd",
                           "use 3, 5, 7 or another odd number");
        }
    });
    config.with({"generator.group"}, [&] {
        if ((generator.group & (generator.group - 1)) != 0) {
            throw KeyError("generator.group",
                           "key 'generator.group' is " + std::to_string(generator.group) +
                               ", no power of two",
                           "use 2, 4, 8, 16, 32 or 64");
        }
    });
    const auto check_layers = [&](const char* path, const std::vector<index>& widths) {
        config.with({path}, [&] {
            if (widths.size() > static_cast<std::size_t>(kMostHiddenLayers)) {
                throw KeyError(path,
                               "key '" + std::string(path) + "' has more than " +
                                   std::to_string(kMostHiddenLayers) + " layers",
                               "give the widths of the hidden layers, for example [64, 64, 64]");
            }
        });
    };
    check_layers("generator.generator_widths", generator.generator_widths);
    check_layers("generator.critic_widths", generator.critic_widths);
    return generator;
}

CouplingConfig read_coupling(Config& config, index stride, int cvs) {
    CouplingConfig coupling = coupling_section.read(config);
    coupling.enabled = coupling.enabled && coupling.rounds > 0;
    config.with({"coupling.exchange", "umbrella.stride"}, [&] {
        if (coupling.exchange % stride != 0) {
            throw KeyError("coupling.exchange",
                           "'coupling.exchange' = " + std::to_string(coupling.exchange) +
                               " is not a multiple of umbrella.stride",
                           "exchange at steps that are sampled, for example every " +
                               std::to_string(stride));
        }
    });
    config.with({"coupling.exchange", "cv.variables"}, [&] {
        if (coupling.exchange > 0 && cvs != 1) {
            throw KeyError("coupling.exchange",
                           "'coupling.exchange' needs a single collective variable",
                           "leave it out: the places of new windows are no grid");
        }
    });
    config.with({"coupling.enabled", "coupling.rounds", "generator.enabled"}, [&] {
        if (coupling.enabled && !config.enabled("generator")) {
            throw KeyError("coupling.rounds",
                           "key 'coupling.rounds' is " + std::to_string(coupling.rounds) +
                               " but no generator is trained",
                           "add a [generator] table, or set rounds = 0");
        }
    });
    config.with({"coupling.enabled", "coupling.rounds", "coupling.steps", "umbrella.stride"}, [&] {
        if (coupling.enabled && coupling.steps < stride) {
            throw KeyError("coupling.steps",
                           "key 'coupling.steps' is " + std::to_string(coupling.steps) +
                               ", less than 'umbrella.stride' = " + std::to_string(stride) +
                               ": a round would store no sample",
                           "give at least one stride");
        }
    });
    config.with({"coupling.enabled", "coupling.windows", "coupling.replicas"}, [&] {
        if (coupling.enabled && coupling.trajectories() > kMostTrajectories) {
            throw KeyError("coupling.replicas",
                           "'coupling.windows' times 'coupling.replicas' is more than " +
                               std::to_string(static_cast<index>(kMostTrajectories)),
                           "give fewer windows or replicas");
        }
    });
    return coupling;
}

// --- training ----------------------------------------------------------------------------------------

TrainerConfig trainer_config(const GeneratorConfig& g, const CvConfig& cv, index iterations,
                             std::uint64_t seed) {
    TrainerConfig c = TrainerConfig::defaults(g.kind);
    c.widths = g.generator_widths;
    c.critic_widths = g.critic_widths;
    c.latent = g.latent;
    c.activation = g.activation;
    c.batch = g.batch;
    c.iterations = iterations;
    c.critic_steps = g.critic_steps;
    c.rate = g.generator_rate;
    c.critic_rate = g.critic_rate;
    c.beta1 = g.beta1;
    c.beta2 = g.beta2;
    c.penalty = g.penalty == "r1r2" ? "relativistic" : g.penalty;
    c.penalty_weight = g.penalty_weight;
    c.penalty_every = g.penalty_every;
    c.energy_weight = g.energy_weight;
    c.ema = g.ema;
    c.flow_steps = g.flow_steps;
    c.time_waves = g.time_waves;
    c.group = g.group;
    c.architecture = g.architecture;
    c.kernel = g.kernel;
    c.ring = g.ring;
    c.precision = precision_from(g.precision);
    c.held_out = g.held_out;
    c.validation_every = g.validate_every;
    c.validation_samples = g.validation_states;
    c.stop_at_floor = g.stop_at_floor;
    for (const CvVariable& variable : cv.variables) c.periods.push_back(variable.period);
    c.seed = seed;
    return c;
}

TrainerConfig compared_config(const GeneratorConfig& g, const CvConfig& cv, const std::string& kind,
                              std::uint64_t seed) {
    const TrainerConfig own = TrainerConfig::defaults(kind);
    const double share = static_cast<double>(g.iterations) /
                         static_cast<double>(TrainerConfig::defaults(g.kind).iterations);
    const auto part = [share](index of) {
        return std::max<index>(1, static_cast<index>(share * static_cast<double>(of)));
    };
    TrainerConfig c = trainer_config(g, cv, part(own.iterations), seed);
    c.kind = kind;
    c.batch = own.batch;
    c.rate = own.rate;
    c.beta1 = own.beta1;
    c.beta2 = own.beta2;
    c.ema = own.ema;
    c.validation_every = part(own.validation_every);
    return c;
}

void check_generator(Checks& checks, const GeneratorConfig& generator, const CvConfig& cv,
                     index variables, index dim, bool observed) {
    if (!generator.enabled) return;
    checks.with({"generator.enabled"}, [&] {
        if (variables == 0) {
            throw KeyError("generator",
                           "the collective variables are the whole state, nothing is left for a "
                           "generator to make",
                           "leave out [generator], or choose fewer collective variables");
        }
        if (variables > kMostStates) {
            throw KeyError("generator",
                           "the generator would make " + std::to_string(variables) +
                               " variables, more than " + std::to_string(kMostStates),
                           "observe fewer functions of the state");
        }
    });
    checks.with({"generator.ring"}, [&] {
        if (generator.ring && !observed && variables != dim) {
            throw KeyError("generator.ring",
                           "key 'generator.ring' is true, but a collective variable is one of the "
                           "ring's variables, so that they are not alike",
                           "take a collective variable of all of them, or set ring = false");
        }
    });
    checks.with({"generator.kernel", "generator.architecture"}, [&] {
        if (generator.architecture == "conv" && generator.kernel > variables) {
            throw KeyError("generator.kernel",
                           "key 'generator.kernel' is " + std::to_string(generator.kernel) +
                               ", more than the " + std::to_string(variables) +
                               " sites of the ring",
                           "give a smaller odd number");
        }
    });
    checks.with({"generator"}, [&] {
        of_key("generator", [&] {
            trainer_config(generator, cv, generator.iterations, 0).validate();
        });
        for (const std::string& kind : generator.compare) {
            of_key("generator.compare",
                   [&] { compared_config(generator, cv, kind, 0).validate(); });
        }
    });
}

// Fewer states of many variables: each of them costs more, and tells more.
AveragedStates averaged_states(index bins, int variables) {
    constexpr double kGenerated = 4000000, kHealed = 800000;  // at all bins, at most
    constexpr index kGeneratedPerBin = 20000, kHealedPerBin = 4096, kLeastPerBin = 100;
    const double part = 10.0 / std::max(10, variables), share = part * part * part;
    const auto per_bin = [&](double all, index most) {
        return std::clamp<index>(static_cast<index>(all * share) / bins, kLeastPerBin, most);
    };
    const index generated = per_bin(kGenerated, kGeneratedPerBin);
    return {generated, std::min(generated, per_bin(kHealed, kHealedPerBin))};
}

}  // namespace microlift
