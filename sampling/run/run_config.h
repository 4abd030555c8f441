#pragma once
// What one run does: the configuration file as structs. Every key is described once, in
// run_schema(); the checks, the tests of refusal and the README's table of keys come from there.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/config/config.h"

namespace microlift {

struct SystemConfig {
    std::string name;                    // a built-in, or empty for the user's own formulas
    std::optional<double> beta;          // inverse temperature, 1/energy
    std::vector<std::string> variables;  // of a formula system
    std::string potential;               // formula; empty if drift is given
    std::vector<std::string> drift;
    std::vector<std::vector<std::string>> diffusion;  // one row: diagonal; else a matrix, by rows
    bool diffusion_is_matrix = false;
    std::vector<std::pair<std::string, double>> parameters;  // of the formulas, or the built-in
    std::vector<std::string> observe;  // what the generator learns instead of the state

    bool is_formula() const { return name.empty(); }
};

struct CvVariable {
    std::string formula;  // or, of a learned one, what stands for it in files and pictures
    std::vector<index> atoms;  // of a dihedral angle: four, each three variables
    std::string file;     // of a learned one: what `microlift learn` wrote
    int coordinate = 1;   // its number there
    std::string name;     // for file headers and pictures; the formula itself by default
    std::string unit;     // empty: none
    double period = 0.0;  // 0: not periodic
};

struct CvConfig {
    std::vector<CvVariable> variables;
    int count() const { return static_cast<int>(variables.size()); }
};

struct IntegratorConfig {
    std::string scheme;
    double dt = 0.0;
    double mass = 1.0;      // baoab only
    double friction = 1.0;  // baoab only, 1/time
    int philox_rounds = 10;  // of the noise: 10 or 7
    double compile_after = 1e9;  // trajectory-steps; formula systems on the CPU; below 0: never
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
    std::vector<double> initial_state;
    std::string initial_file;
    bool initial_line = false;
    bool histogram = false;  // keep counts and sums, no samples

    index window_count() const;
    index trajectories() const { return window_count() * replicas; }
    index samples_per_trajectory() const { return steps / stride; }
    index sample_count() const { return trajectories() * samples_per_trajectory(); }
};

struct EstimateConfig {
    bool enabled = false;
    std::string method;
    std::vector<index> bins;
    index blocks = 0;
    double tolerance = 0.0;
    index max_iterations = 0;
};

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
    double generator_rate = 0.0;
    double critic_rate = 0.0;
    double beta1 = 0.0;
    double beta2 = 0.0;
    std::string penalty;
    double penalty_weight = 0.0;
    double energy_weight = 0.0;
    double ema = 0.0;
    index flow_steps = 0;
    index time_waves = 0;
    index group = 0;
    std::vector<std::string> compare;  // further kinds, trained on the same data
    bool project = true;
    std::string architecture;
    index kernel = 0;
    bool ring = false;  // the variables are like sites of a ring, in order
    std::string precision;
    double held_out = 0.0;
    index validate_every = 0;
    index validation_states = 0;
};

struct LiftingConfig {
    index values = 0;      // of the collective variables at which lifting is judged
    index states = 0;      // generated at each
    index heal_steps = 0;  // 0: no healing; −1: as long as the measured relaxation asks for
    index heal_limit = 0;  // of that
    index energies = 0;         // values at which energies are compared; 0: none
    index energy_states = 0;    // generated at each
    index reference_steps = 0;  // of the runs that they are compared with
    index proposals = 0;   // weighed at each bin, of generators with a density; 0: none
};

struct CouplingConfig {
    bool enabled = false;
    index rounds = 0;
    index windows = 0;
    index replicas = 0;
    index equilibrate = 0;
    index steps = 0;
    index iterations = 0;
    index exchange = 0;         // 0: none
    index jump = 0;             // steps between jumps to lifted states; 0: none
    double budget = 0.0;        // force evaluations, the umbrella's included; 0: no limit
    double target_error = 0.0;  // largest standard error of the free energy; 0: none
    double target_w1 = 0.0;     // largest held-out W1/sigma above its floor; 0: none
    double discard = 0.0;       // standard errors; 0: nothing is discarded
    bool ablation = false;
};

struct ClosureConfig {
    bool enabled = false;
    bool bursts = true;
    double dt = 0.0;           // of bursts and first passages; 0: the integrator's
    index values = 0;          // of each collective variable at which bursts start
    index replicas = 0;        // bursts at each
    std::string start;         // physics | generator | healed | constrained
    index equilibrate = 0;     // steps held at a value before a burst, constrained only
    index burst_steps = 0;     // 0: chosen
    std::vector<index> burst_lags;  // steps; empty: chosen
    double tolerance = 0.0;    // change of the slowest rate a doubling of the lag on a plateau
    double relaxation = 0.0;   // trajectory-steps for the full model's slowest rate; 0: not measured
    std::vector<double> passage_from;   // a value of ξ, or empty
    std::vector<double> passage_to;     // thresholds of one CV; of two centres, one after the other
    std::vector<double> passage_radius; // of two CVs: half axes about passage_from and passage_to
    std::vector<double> passage_state;  // empty: states with ξ = passage_from
    index passages = 0;
    index passage_steps = 0;   // at most, of one slot
    std::vector<double> committor_a, committor_b;  // centre and radius of balls
    std::vector<double> committor_points;          // states, one after the other
    index committor_runs = 0;
};

// A diffusion map of the samples.
struct LearnConfig {
    bool enabled = false;
    double alpha = 0.5;
    double epsilon = 0.0;  // 0: from the data
    index points = 5000;
    int coordinates = 6;
    int landmarks = 120;
    int neighbours = 0;       // 0: dense
    bool bursts = false;      // Mahalanobis distances from short runs
    double burst_time = 0.0;  // 0: one step of the run's integrator
    int burst_replicas = 200;
    bool unweighted = false;
};

struct RunConfig {
    std::uint64_t seed = 1;
    SystemConfig system;
    CvConfig cv;
    IntegratorConfig integrator;
    UmbrellaConfig umbrella;
    EstimateConfig estimate;
    GeneratorConfig generator;
    LiftingConfig lifting;
    CouplingConfig coupling;
    ClosureConfig closure;
    LearnConfig learn;

    // The checked file: `config.fail("system.potential", wrong, right)` names the place of a key,
    // `config.to_toml()` is the resolved configuration.
    Config config;
};

// Options of `microlift run` that are not part of the configuration.
struct RunOptions {
    std::string out_dir;
    std::string device = "auto";
    int threads = 0;  // 0: all cores
    std::optional<std::uint64_t> seed;
    bool resume = false;
    bool force = false;
    bool quiet = false;
    bool report = true;
    std::vector<std::string> set;  // "key.path=value"
};

// Options of `microlift generate`.
struct GenerateOptions {
    std::string dir;         // of the run whose generator lifts
    std::vector<double> at;  // the collective variables
    index count = 0;
    std::string out_file;  // .npy, (count, variables)
    index heal_steps = 0;
    std::optional<std::uint64_t> seed;
    std::string device = "auto";
    int threads = 0;
    bool quiet = false;
};

// Options of `microlift learn` beside those of the map.
struct LearnOptions : LearnConfig {
    std::string dir;       // of the run whose samples teach
    std::string out_file;  // .json
    std::optional<std::uint64_t> seed;
    std::string device = "auto";
    int threads = 0;
    bool quiet = false;
};

// All keys. A built-in system's own parameters are keys of [system]; give its name to add them.
Schema run_schema(const std::string& system_name = "");

// Throws InputError. `options.set` and `options.seed` override the file.
RunConfig load_run_config(const std::string& file, const RunOptions& options = {});
RunConfig parse_run_config(std::string_view text, const std::string& file,
                           const RunOptions& options = {});

// The number of fine-scale variables.
int variable_count(const SystemConfig& system);

// What a run will take.
struct RunCost {
    double trajectories = 0.0;
    double samples = 0.0;            // stored
    double force_evaluations = 0.0;  // all biased runs of the run
    double memory_bytes = 0.0;       // at the peak, on the device
    double disk_bytes = 0.0;         // samples.h5 and checkpoint.h5
};
RunCost run_cost(const RunConfig& run);
// InputError if the run takes more memory than there is.
void check_memory(const RunConfig& run, const RunCost& cost, double available_bytes);
double available_memory_bytes();  // of this machine

}  // namespace microlift
