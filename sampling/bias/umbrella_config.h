// [umbrella]: windows with the bias U = stiffness/2 (xi - centre)^2, all of them in one batch.
#pragma once

#include <string>
#include <vector>

#include "engine/config/section.h"
#include "sampling/model/model_config.h"
#include "sampling/numerics/grid.h"

namespace microlift {

// Of a molecule: the short runs that bring its trajectories to their windows, and replica exchange in
// temperature.
struct MoleculeSampling {
    double heat = 0;       // K; at least the system's temperature
    index heat_steps = 0;  // 0: none
    std::vector<double> temperatures;  // K: of rungs above the system's own
    index tempering = 0;               // steps between attempts to swap neighbouring rungs
};

// The vectors have one entry for each collective variable.
struct UmbrellaConfig {
    std::vector<double> from;
    std::vector<double> to;
    std::vector<index> windows;
    std::vector<double> stiffness;  // energy / xi^2
    index replicas = 0;
    index equilibrate = 0;
    index steps = 0;
    index stride = 0;
    index exchange = 0;  // 0: none
    bool histogram = false;  // keep counts and sums, no samples
    std::vector<double> initial_state;
    std::string initial_file;
    std::string initial_checksum;  // of that file; empty: any
    bool initial_line = false;
    // Of [bias]: one window without a parabola, for all walkers. `windows` are then values along ξ at which they begin
    // and results are judged.
    bool shared = false;
    // Of [samples]: how many were made elsewhere; `windows` are then places at which results are judged, and the rest is of
    // the rounds of coupling.
    index given = 0;
    // Where windows are, in place of a grid of them; empty: that grid. Variables that have a period then go round it
    // whatever the windows cover, and no sample is stored.
    std::vector<CvValue> centers;
    MoleculeSampling molecule;
    // Whether the windows go all round the period, the last not repeated; then `to` is one period from
    // `from`.
    std::vector<bool> round;

    index window_count() const;
    bool all_round(std::size_t k) const { return k < round.size() && round[k]; }
    double period(std::size_t k) const { return all_round(k) ? to[k] - from[k] : 0.0; }
    double spacing(std::size_t k) const;  // of the centres
    index trajectories() const { return window_count() * replicas; }
    index samples_per_trajectory() const { return steps / stride; }
    index sample_count() const { return given > 0 ? given : trajectories() * samples_per_trajectory(); }
};

extern const Section<UmbrellaConfig> umbrella_section;
extern const Section<MoleculeSampling> molecule_sampling_section;  // of [umbrella], with a molecule

// Keeps what is wrong. Where from and to are one period apart the variable goes all round; a dihedral
// angle that does not is cut opposite to its windows.
UmbrellaConfig read_umbrella(Config& config, ModelConfig& model);
// The same of what was read already, whatever its keys are called.
void finish_umbrella(Config& config, ModelConfig& model, UmbrellaConfig& umbrella);
// `initial`, for tables that have such a key.
Key<UmbrellaConfig> initial_key();
Key<UmbrellaConfig> initial_checksum_key();

// One value for all collective variables is repeated; the resolved file shows every one.
template <class T>
void spread(Config& config, const char* path, std::vector<T>& values, int count);

}  // namespace microlift
