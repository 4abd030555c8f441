// What one run does: the configuration file as structs. Each table stands beside what it describes;
// here they are put together, and only here an error of a key gets its file, line and column.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/config/config.h"
#include "sampling/bias/bias_config.h"
#include "sampling/closure/closure_config.h"
#include "sampling/estimate/estimate_config.h"
#include "sampling/learn/learn_config.h"
#include "sampling/lift/lift_config.h"
#include "sampling/model/model_config.h"
#include "sampling/numerics/grid.h"
#include "sampling/rates/rates_config.h"
#include "sampling/run/config/samples_config.h"

namespace microlift {

// How samples.h5 is written.
struct OutputConfig {
    index compress = 0;  // deflate's level, 0: not
    index thin = 1;      // each so manyth sample of a trajectory
};

// A configuration that was checked.
struct RunConfig : ModelConfig {
    std::uint64_t seed = 0;
    UmbrellaConfig umbrella;
    EstimateConfig estimate;
    GeneratorConfig generator;
    LiftingConfig lifting;
    CouplingConfig coupling;
    ClosureConfig closure;
    LearnConfig learn;

    // The checked file: `config.located(error)` adds the place of a key to an error, `config.to_toml()`
    // is the resolved configuration.
    Config config;
    BiasConfig bias;  // enabled: `umbrella` is its one window
    SamplesConfig samples;  // enabled: instead of either
    RatesConfig rates;
    OutputConfig output;
    bool sampled = true;  // false: there are neither windows nor a bias, rates alone

    // Samples that are stored, those of all rounds included.
    double stored_samples() const;
    // Of the estimates, over the umbrella's range.
    Grid grid() const;
    // Of the resolved configuration, which has those of its input files: by this the files of a run know
    // that they belong together.
    std::string checksum() const;
};

// Options of `microlift run` that are not part of the configuration.
struct RunOptions {
    std::string out_dir;
    std::string device = "auto";
    int threads = 0;  // 0: all cores
    std::string math;  // of trajectories: "fast", "portable", or empty (sampling/dynamics/mathematics.h)
    std::optional<std::uint64_t> seed;
    bool resume = false;
    bool force = false;
    bool quiet = false;
    bool report = true;
    std::vector<std::string> set;  // "key.path=value"
    double wall_time = 0;          // seconds until all has to be over; 0: as long as it takes
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
    std::string math;
    bool quiet = false;
};

// What biases a run: windows, or one bias that all walkers share; or its samples were made elsewhere; nothing where rates
// alone are computed.
enum class Biasing { windows, shared, given, none, either };
// All keys. A built-in system's own parameters are keys of [system]; give its name to add them. Those of a
// molecule are there where it is one.
// `alone`: of samples made elsewhere without a [system].
Schema run_schema(const std::string& system_name = "", bool molecule = false, Biasing biasing = Biasing::either,
                  bool alone = false);

// These throw an InputError with a line for each fault. `options.set` and `options.seed` override the
// file. The first two look at the keys alone: their values, and what they say together.
RunConfig load_run_config(const std::string& file, const RunOptions& options = {});
RunConfig parse_run_config(std::string_view text, const std::string& file,
                           const RunOptions& options = {});
// The system and its collective variables alone: other keys may be left out.
ModelConfig load_system(const std::string& file, const std::vector<std::string>& set);
ModelConfig parse_system(std::string_view text, const std::string& file, const std::vector<std::string>& set);
// What `check` does, and `run` before it begins: the keys, the formulas, the files that are named,
// whether the stages can do what they are asked for, and whether it fits into so much memory.
RunConfig check_run_config(const std::string& file, const RunOptions& options,
                           double available_bytes);
RunConfig check_run_config(std::string_view text, const std::string& file,
                           const RunOptions& options, double available_bytes);

}  // namespace microlift
