// Files that a configuration names (states to start from, learned coordinates): where they lie, and the
// copies that a run keeps, so that its directory needs nothing outside itself.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sampling/run/config/run_config.h"

namespace microlift {

// The key of the file of states.
inline constexpr const char* kInitial = "umbrella.initial";

// A relative path is one in the folder of the configuration, or else in the working directory, where
// options of the command line begin; where it is gone and `--resume` goes on, the run's copy. A fault
// for learned coordinates that are missing or have another checksum than the configuration says.
void find_inputs(RunConfig& run, const std::string& config_file, const RunOptions& options);
// Of a run that goes on: the copies of a molecule's files that are gone from the folder of the configuration,
// as changes of it.
std::vector<std::string> molecule_copies(const ConfigValue& system, const std::filesystem::path& folder,
                                         const std::filesystem::path& dir);
// The same faults for the file of states, which only a run reads.
void check_initial_file(const UmbrellaConfig& umbrella);

// The files of [samples], and of a molecule, by their whole paths: for a configuration that may lie anywhere.
void name_files_wholly(RunConfig& run);

struct RunInput {
    std::string key;      // that names it
    std::string name;     // of the copy in the run's directory
    std::string content;
    std::string checksum;
};
// Reads every file. From here on the configuration, as the run's directory keeps it, names the copies
// and their checksums.
std::vector<RunInput> take_inputs(RunConfig& run);
// Refuses to go on where a copy there was made of another file.
void check_same_inputs(const std::vector<RunInput>& inputs, const std::filesystem::path& dir);
// Writes the copies, which the run then reads.
void keep_inputs(RunConfig& run, const std::vector<RunInput>& inputs,
                 const std::filesystem::path& dir);
std::vector<std::string> input_names();  // that copies may have

// Refuses a file of a run's directory that another run wrote: its checksum of the configuration is another
// than that of config.toml beside it. Files of an earlier version have none.
void check_same_run(const std::filesystem::path& file, const std::string& configuration,
                    const RunConfig& run);

}  // namespace microlift
