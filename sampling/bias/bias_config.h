// [bias]: one bias that all walkers make together, instead of the windows of [umbrella].
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sampling/bias/umbrella_config.h"
#include "sampling/dynamics/schemes.h"

namespace microlift {

struct AdaptiveOptions;

// U = stiffness/2 (ξ − upper)² above `upper`, and likewise below `lower`.
struct WallConfig {
    index variable = 1;  // counted from 1, as in cv_1
    std::optional<double> lower, upper;
    double stiffness = 0;
};

// The vectors have one entry for each collective variable.
struct BiasConfig {
    bool enabled = false;
    std::string method;
    std::vector<index> bins;
    index pace = 0;
    double freeze = 0;  // share of the steps
    double target_error = 0;  // of the free energy; 0: all steps are taken
    double height = 0, biasfactor = 0, barrier = 0, full_samples = 0;
    std::vector<double> sigma, stiffness;
    std::vector<double> temperatures;  // kT
    index draw = 0;
    std::vector<WallConfig> walls;
    // steered
    std::vector<double> path;  // of its points, one after the other
    index move = 0;            // steps between moves
    double heat = 0;           // K, of a molecule on its way to the ends
    index heat_steps = 0;
    // population_annealing
    double hottest = 0;          // times the system's temperature
    index rungs = 0, anneal = 0; // temperatures after it, and steps at each
    // string
    index images = 0, iterations = 0, lag = 0;
    double smooth = 0;
    bool plumed = false;  // whether to write COLVAR and HILLS
    // Of all of umbrella.equilibrate, the steps before the bias acts.
    index start = 0;

    bool steered() const { return enabled && method == "steered"; }
    bool annealed() const { return enabled && method == "population_annealing"; }
    bool strings() const { return enabled && method == "string"; }
    bool along_path() const { return steered() || strings(); }
    bool shared() const { return enabled && !along_path() && !annealed(); }
};

extern const Section<UmbrellaConfig> shared_window_section;  // of [bias]: what [umbrella] has, too
extern const Section<BiasConfig> bias_section, output_section;  // [bias] and [output]
void add_bias_keys(Schema& schema);

// Keeps what is wrong, and makes of it the one window that sampling knows: while the bias is made it equilibrates.
BiasConfig read_bias(Config& config, ModelConfig& model, UmbrellaConfig& umbrella);

// The time loop that the method needs; without [bias] that of windows.
BiasKind bias_kind(const BiasConfig& bias);

// What `check` says of it: when the bias is made, of what, and when it is frozen.
std::string describe_bias(const BiasConfig& bias, const UmbrellaConfig& umbrella, double kt);

// The grid and the rest as the method wants it, energies in the unit of kT.
AdaptiveOptions adaptive_options(const BiasConfig& bias, const UmbrellaConfig& umbrella, double kt);

}  // namespace microlift
