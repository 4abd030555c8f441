// [rates]: how long it takes from one state to another, by trajectories that are split where they are rare.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "engine/config/section.h"
#include "sampling/model/model_config.h"

namespace microlift {

class Model;

// A value of the progress coordinate, or a formula of the collective variables.
struct StateOfRates {
    std::optional<double> value;
    std::string formula;
    bool given() const { return value.has_value() || !formula.empty(); }
};

struct RatesConfig {
    bool enabled = false;
    std::string method;
    StateOfRates from, to;
    std::string progress;        // formula of the collective variables; empty: the first of them
    std::vector<double> levels;  // between from and to; empty: `bins` of one width
    index bins = 0;
    index replicas = 0;          // 0: chosen by the method
    index repeats = 0;
    double discard = 0;          // splitting: share of replicas that end at a level, at least
    index loops = 0;             // splitting
    index interval = 0;          // weighted ensemble: steps between splits
    index steps = 0;             // weighted ensemble
    index iterations = 0;        // milestoning
    double relax = 0;            // share of steps or iterations that are left out
    index stride = 0;            // steps between looks at where trajectories are
    index equilibrate = 0;       // steps in `from` before it is left
    index longest = 0;           // steps of a trajectory, at most
    double dt = 0;               // 0: the integrator's
    std::vector<double> initial;  // a state; empty: the state zero, moved to `from`, or a molecule's coordinates
};

extern const Section<RatesConfig> rates_section;

// Keeps what is wrong.
RatesConfig read_rates(Config& config, const ModelConfig& model);
// What needs the model: names in formulas, and values that the variable can have. Throws KeyError.
void check_rates(const RatesConfig& rates, const ModelConfig& config, const Model& model);

// Along the progress coordinate, its sign changed where `to` lies below `from`: the borders of what trajectories
// are counted in, in ascending order.
struct LevelLadder {
    double sign = 1;
    std::vector<double> levels;
    index first = 0;  // of them, outside `from`
};
LevelLadder ladder_of(const RatesConfig& rates);
index replicas_of(const RatesConfig& rates);
// The most trajectories that run at a time.
double trajectories_of(const RatesConfig& rates);

// Force evaluations and bytes, as far as both are known before: what falls back falls back within `equilibrate` steps.
struct RatesCost {
    double force_evaluations = 0, memory_bytes = 0;
};
RatesCost rates_cost(const RatesConfig& rates, int variables, bool velocities);
std::string describe_rates(const RatesConfig& rates);

// Negative inside a state "x < 0 and y > 1 or z < 2" (`and` binds more closely), as a formula. KeyError of `key`.
std::string distance_formula(const std::string& key, const std::string& text);

}  // namespace microlift
