// The stages of a run, each a function in stages/NAME.cpp (or a folder of that name) and a line of the
// table in stages.cpp.
#pragma once

#include "sampling/run/run.h"

namespace microlift {

struct Stage {
    const char* name;
    const char* section;  // of the configuration, which asks for it
    enum class When { every_round, at_the_end } when;
    bool (*wanted)(const Run& run);
    void (*run)(Run& run);
    std::vector<std::string> files;  // that it may leave
};

// In the order in which they run.
const std::vector<Stage>& stages();

void take(Run& run);  // samples made elsewhere
void anneal(Run& run);  // a population, which sampling then goes on with
void sample(Run& run);
void find_string(Run& run);
void steer(Run& run);  // walkers along a path, and back
void discard_outdated(Run& run);
void store(Run& run);
void estimate(Run& run);
void train(Run& run);
void plan_round(Run& run);

void compute_rates(Run& run);
void write_shared_bias(Run& run);
void write_potential(Run& run);
void write_reference(Run& run);  // of a molecule
void compare_generators(Run& run);
void learn(Run& run);
void ablate(Run& run);
void check_samples(Run& run);
void check_basins(Run& run);  // of a molecule's torsions
void check_accuracy(Run& run);
// The same where no samples are kept: of the states that trajectories end in.
void check_last_states(Run& run, Ensemble& ensemble, const SampleBlock& block);
void average_samples(Run& run);
void close(Run& run);
void lift(Run& run);
void lift_classically(Run& run);
void weigh_proposals(Run& run);
void judge_molecule(Run& run);  // states that a generator makes
void check_consistency(Run& run);
void compare_energies(Run& run);
void write_conditional(Run& run);
void write_exact(Run& run);

}  // namespace microlift
