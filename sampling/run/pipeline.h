// The stages of a run, in order: sample, estimate, train, couple, close; their files and checkpoints.
#pragma once

#include <functional>

#include "engine/progress.h"
#include "sampling/learn/learn.h"
#include "sampling/run/config/run_config.h"

namespace microlift {

class Model;

// Writes into options.out_dir (exists, config.toml in place, locked by the caller) everything but
// report.html; tells a short summary at the end. With options.resume it goes on from checkpoint.h5.
void run_pipeline(const RunConfig& config, const RunOptions& options, Progress& progress);

inline constexpr const char* kStatusName = "status.json";  // of what it is doing, while it does
inline constexpr const char* kLogName = "run.log";

// Every file that a run may leave in its directory; anything else there is not the run's.
std::vector<std::string> run_files();

// `microlift generate`: lifts options.at into options.out_file.
void generate_states(const GenerateOptions& options, Progress& progress);
// The same, given away by rows of `dim` numbers, piece after piece; before any is made, no rows.
using StatesTaker = std::function<void(const Model& model, index dim, const float* rows, index count)>;
void generate_states(const GenerateOptions& options, Progress& progress, const StatesTaker& take);

// `microlift learn`: learns from the samples of the run in options.dir. What is to be said of it.
std::string learn_from_run(const LearnOptions& options, Progress& progress);

}  // namespace microlift
