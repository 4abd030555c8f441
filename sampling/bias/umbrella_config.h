// [umbrella]: windows with the bias U = stiffness/2 (xi - centre)^2, all of them in one batch.
#pragma once

#include <string>
#include <vector>

#include "sampling/model/model_config.h"

namespace microlift {

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

    index window_count() const;
    index trajectories() const { return window_count() * replicas; }
    index samples_per_trajectory() const { return steps / stride; }
    index sample_count() const { return trajectories() * samples_per_trajectory(); }
};

extern const Section<UmbrellaConfig> umbrella_section;

// Keeps what is wrong. The dihedral angles among the variables are cut opposite to the windows.
UmbrellaConfig read_umbrella(Config& config, ModelConfig& model);

// One value for all collective variables is repeated; the resolved file shows every one.
template <class T>
void spread(Config& config, const char* path, std::vector<T>& values, int count);

}  // namespace microlift
