// The stages of a run, in order: sample, estimate, train, couple, close; their files and checkpoints.
#pragma once

#include "engine/progress.h"
#include "sampling/learn/learn.h"
#include "sampling/run/config/run_config.h"

namespace microlift {

// Writes into options.out_dir (exists, config.toml in place, locked by the caller) everything but
// report.html; prints a short summary to stdout. With options.resume it goes on from checkpoint.h5.
void run_pipeline(const RunConfig& config, const RunOptions& options, Progress& progress);

inline constexpr const char* kStatusName = "status.json";  // of what it is doing, while it does
inline constexpr const char* kLogName = "run.log";

// Every file that a run may leave in its directory; anything else there is not the run's.
std::vector<std::string> run_files();

// `microlift generate`: lifts options.at into options.out_file.
void generate_states(const GenerateOptions& options, Progress& progress);

// `microlift learn`: learns from the samples of the run in options.dir. What is to be said of it.
std::string learn_from_run(const LearnOptions& options, Progress& progress);

}  // namespace microlift
