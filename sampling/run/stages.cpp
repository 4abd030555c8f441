#include "sampling/run/stages.h"

namespace microlift {

namespace {

bool samples(const Run& run) { return run.config.sampled; }
bool computes_rates(const Run& run) { return run.config.rates.enabled && run.coupling.places.empty(); }
bool takes(const Run& run) { return run.config.samples.enabled && run.position.round == 0; }
bool steers(const Run& run) { return run.config.bias.steered(); }
bool anneals(const Run& run) { return run.config.bias.annealed() && run.position.round == 0; }
bool strings(const Run& run) { return run.config.bias.strings(); }
bool samples_one_law(const Run& run) { return samples(run) && !run.config.bias.along_path(); }
bool samples_itself(const Run& run) { return !takes(run) && samples_one_law(run); }
// Of states alone there is nothing that moves and no energy.
bool knows_system(const Run& run) { return !run.model.states_alone(); }
bool estimates(const Run& run) { return run.config.estimate.enabled && samples_one_law(run); }
bool keeps_samples(const Run& run) { return samples(run) && !run.config.umbrella.histogram; }
bool shares_bias(const Run& run) { return run.config.bias.shared(); }
bool is_molecule(const Run& run) { return samples(run) && run.model.molecule() != nullptr; }
bool has_torsions(const Run& run) { return is_molecule(run) && !run.model.torsion_names().empty() && keeps_samples(run); }
bool only_stores(const Run& run) { return !estimates(run) && keeps_samples(run); }
bool draws_potential(const Run& run) {
    return estimates(run) && keeps_samples(run) && !run.model.molecule() && knows_system(run);
}
// What tries steps and numbers of formulas, under the biases of windows.
bool tries_steps(const Run& run) { return keeps_samples(run) && !run.model.molecule() && !shares_bias(run) && !run.config.samples.enabled; }
bool has_generator(const Run& run) { return run.config.generator.enabled && keeps_samples(run); }
bool couples(const Run& run) { return run.config.coupling.enabled && run.config.coupling.rounds > 0; }
bool discards(const Run& run) {
    return run.position.round > 0 && run.config.coupling.discard > 0;
}
bool compares(const Run& run) { return has_generator(run) && !run.config.generator.compare.empty(); }
bool learns(const Run& run) { return run.config.learn.enabled; }
bool ablates(const Run& run) { return couples(run) && run.config.coupling.ablation; }
bool has_targets(const Run& run) {
    if (run.model.molecule() && run.model.feature_names().empty()) return false;
    return keeps_samples(run) && (run.model.observed() || !run.free.empty());
}
bool closes(const Run& run) { return run.config.closure.enabled && keeps_samples(run); }
bool lifts_variables(const Run& run);
bool weighs(const Run& run) {
    return lifts_variables(run) && run.config.lifting.proposals > 0 &&
           has_density(run.config.generator.kind);
}
bool lifts_states(const Run& run) {  // of a known potential, not functions of them
    return has_generator(run) && knows_system(run) && !run.model.observed() && run.model.gradient() && !run.free.empty();
}
// Ways of lifting that know variables, not molecules.
bool lifts_variables(const Run& run) { return has_generator(run) && knows_system(run) && !run.model.molecule(); }
bool makes_molecules(const Run& run) { return has_generator(run) && run.model.molecule(); }
bool settles(const Run& run) { return lifts_states(run) && !run.model.molecule(); }
bool compares_energies(const Run& run) {
    return lifts_states(run) && run.config.lifting.energies > 0;
}

std::vector<std::string> compared_files() {
    std::vector<std::string> files;
    for (const std::string& kind : generator_kinds())
        files.push_back("generator_" + kind + ".safetensors");
    return files;
}

}  // namespace

const std::vector<Stage>& stages() {
    constexpr auto every_round = Stage::When::every_round, at_the_end = Stage::When::at_the_end;
    static const std::vector<Stage> table{
        {"take", "samples", every_round, takes, take, {}},
        {"anneal", "bias", every_round, anneals, anneal, {"annealing.csv"}},
        {"sample", "umbrella", every_round, samples_itself, sample, {"histogram.csv"}},
        {"string", "bias", every_round, strings, find_string, {"string.csv"}},
        {"steer", "bias", every_round, steers, steer, {"work.csv", "steered.csv"}},
        {"discard", "coupling", every_round, discards, discard_outdated, {}},
        {"store", "umbrella", every_round, only_stores, store, {}},
        {"estimate", "estimate", every_round, estimates, estimate, {"free_energy.csv", "samples.h5", "samples_thinned.h5"}},
        {"train", "generator", every_round, has_generator, train, {"generator.safetensors"}},
        {"couple", "coupling", every_round, couples, plan_round, {}},
        {"rates", "rates", every_round, computes_rates, compute_rates, {"rates.csv", "rates.h5"}},
        {"bias", "bias", at_the_end, shares_bias, write_shared_bias,
         {"bias.csv", "bias.h5", "convergence.csv", "temperatures.csv", "COLVAR", "HILLS"}},
        {"reference", "umbrella", at_the_end, is_molecule, write_reference, {"reference.pdb", "torsions.h5"}},
        {"potential", "estimate", at_the_end, draws_potential, write_potential, {"potential.h5"}},
        {"compare", "generator", at_the_end, compares, compare_generators, compared_files()},
        {"learn", "learn", at_the_end, learns, learn, {"diffusion_map.json"}},
        {"ablation", "coupling", at_the_end, ablates, ablate, {}},
        {"check", "umbrella", at_the_end, keeps_samples, check_samples, {}},
        {"basins", "umbrella", at_the_end, has_torsions, check_basins, {}},
        {"accuracy", "umbrella", at_the_end, tries_steps, check_accuracy, {}},
        {"conditional", "umbrella", at_the_end, has_targets, average_samples, {}},
        {"close", "closure", at_the_end, closes, close, {"closure.csv", "bursts.csv", "reduced.csv"}},
        {"lift", "lifting", at_the_end, has_generator, lift, {"lifted.h5", "lifted.dcd"}},
        {"classical_lifting", "lifting", at_the_end, lifts_variables, lift_classically,
         {"classical_lifting.csv"}},
        {"weigh", "lifting", at_the_end, weighs, weigh_proposals, {}},
        {"molecule", "lifting", at_the_end, makes_molecules, judge_molecule, {"lifted_torsions.h5"}},
        {"consistency", "lifting", at_the_end, settles, check_consistency, {}},
        {"energies", "lifting", at_the_end, compares_energies, compare_energies,
         {"energies.csv", "correlation.csv"}},
        {"averages", "umbrella", at_the_end, has_targets, write_conditional, {"conditional.csv"}},
        {"exact", "umbrella", at_the_end, samples, write_exact, {"exact.csv"}},
    };
    return table;
}

}  // namespace microlift
