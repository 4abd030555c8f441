// [generator], [lifting] and [coupling]: what makes fine-scale states, how it is judged, and the rounds
// in which it and the sampling help each other.
#pragma once

#include <string>
#include <vector>

#include "kernels/lane/lane.h"

namespace microlift {

class Config;
class Checks;
struct CvConfig;
struct TrainerConfig;
template <class Struct>
class Section;

struct GeneratorConfig {
    bool enabled = false;
    std::string kind;
    std::vector<index> generator_widths;
    std::vector<index> critic_widths;
    index latent = 0;
    std::string activation;
    index batch = 0;
    index iterations = 0;
    index critic_steps = 0;
    double generator_rate = 0;
    double critic_rate = 0;
    double beta1 = 0;
    double beta2 = 0;
    std::string penalty;
    double penalty_weight = 0;
    index penalty_every = 0;
    double energy_weight = 0;
    double ema = 0;
    index flow_steps = 0;
    index time_waves = 0;
    index group = 0;
    std::vector<std::string> compare;  // further kinds, trained on the same data
    bool project = false;
    std::string architecture;
    index kernel = 0;
    bool ring = false;  // the variables are like sites of a ring, in order
    std::string precision;
    double held_out = 0;
    index validate_every = 0;
    index validation_states = 0;
    bool stop_at_floor = false;
};

struct LiftingConfig {
    index values = 0;           // of the collective variables at which lifting is judged
    index states = 0;           // generated at each
    index heal_steps = 0;       // 0: no healing; −1: as long as the measured relaxation asks for
    index heal_limit = 0;       // of that
    index energies = 0;         // values at which energies are compared; 0: none
    index energy_states = 0;    // generated at each
    index reference_steps = 0;  // of the runs that they are compared with
    index candidates = 1;       // states of which each lifted one is chosen by weight
    index proposals = 0;        // weighed at each bin, of generators with a density; 0: none
};

struct CouplingConfig {
    bool enabled = false;
    index rounds = 0;
    index windows = 0;
    index replicas = 0;
    index equilibrate = 0;
    index steps = 0;
    index iterations = 0;
    index exchange = 0;       // 0: none
    index jump = 0;           // steps between jumps to lifted states; 0: none
    double budget = 0;        // force evaluations, the umbrella's included; 0: no limit
    double target_error = 0;  // largest standard error of the free energy; 0: none
    double target_w1 = 0;     // largest held-out W1/sigma above its floor; 0: none
    double discard = 0;       // standard errors; 0: nothing is discarded
    bool ablation = false;

    double trajectories() const {  // of a round
        return static_cast<double>(windows) * static_cast<double>(replicas);
    }
};

// States that are lifted at each bin for averages, and healed ones.
struct AveragedStates {
    index generated = 0, healed = 0;
};
AveragedStates averaged_states(index bins, int variables);

extern const Section<GeneratorConfig> generator_section;
extern const Section<LiftingConfig> lifting_section;
extern const Section<CouplingConfig> coupling_section;

// These keep what is wrong. `stride`: of stored samples; cvs: of collective variables.
GeneratorConfig read_generator(Config& config);
CouplingConfig read_coupling(Config& config, index stride, int cvs);

// How the generator is trained.
TrainerConfig trainer_config(const GeneratorConfig& generator, const CvConfig& cv, index iterations,
                             std::uint64_t seed);
// How a further kind is trained on the same data: by its own defaults, for as large a share of its own
// updates as the run's kind is given of its.
TrainerConfig compared_config(const GeneratorConfig& generator, const CvConfig& cv,
                              const std::string& kind, std::uint64_t seed);

// KeyErrors of a generator that has `variables` to make, of a state of `dim`; `observed`: functions
// of the state instead. The trainer's own refusals are among them.
void check_generator(Checks& checks, const GeneratorConfig& generator, const CvConfig& cv,
                     index variables, index dim, bool observed);

}  // namespace microlift
