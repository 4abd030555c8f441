#pragma once
// tools/: the microlift command, set-up, checks, report, examples. May include everything.
//
// One function for each command. They throw; main.cpp turns what they throw into an exit status.

#include <optional>
#include <string>
#include <vector>

#include "bench/bench.h"
#include "engine/progress.h"
#include "sampling/run/config/run_config.h"
#include "sampling/run/evaluate.h"

namespace microlift {

void command_run(const std::string& config_file, const RunOptions& options);
// The same, shown by whoever made `progress`; of a configuration that stands in no file its text is given, and what
// messages call it.
void run_configuration(const std::string& config_file, const std::optional<std::string>& text,
                       const RunOptions& options, Progress& progress);
void command_generate(const GenerateOptions& options);
void command_evaluate(const EvaluateOptions& options);
void command_check(const std::string& config_file, const RunOptions& options, bool advise);
void command_systems(const std::string& name, bool markdown);
void command_keys();
void command_plumed();
void command_info();
void command_learn(const LearnOptions& options);
void command_status(const std::string& dir, bool json);
void command_report(const std::string& dir);
void command_bench(const BenchOptions& options);

// Runs tools/report/report.py; InputError if Python or one of its packages is missing.
void write_report(const std::string& dir);

}  // namespace microlift
