// [samples]: samples made elsewhere, instead of [umbrella] and [bias].
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sampling/bias/umbrella_config.h"
#include "sampling/model/model_config.h"
#include "sampling/samples/files/colvar.h"
#include "sampling/samples/given_samples.h"

namespace microlift {

class Model;

struct SamplesConfig {
    bool enabled = false;
    std::vector<std::string> states, colvar;  // files, one of each a trajectory
    std::vector<std::string> weights;         // columns of bias energy
    std::string windows;                      // file of each trajectory's umbrella
    std::optional<double> temperature;        // K; of states without a system
    std::string energy_unit, length_unit;     // empty: by default
    double discard = 0;                       // share of each trajectory, at its start
    index colvar_first = 0, colvar_stride = 1;
    std::string gathered, checksum;  // of a run: all of them in one file

    // What was read: the samples, and columns of the COLVAR files beside them, to compare with.
    std::shared_ptr<const GivenSamples> given;
    struct Beside {
        std::string name;           // of the column
        std::vector<double> value;  // of each row of `given`
    };
    std::vector<Beside> beside;
    // Where each trajectory's rows stand, for messages.
    struct Origin {
        std::string states, colvar;
        index first = 0;           // state of the first row
        std::vector<index> lines;  // of the COLVAR, of each row
    };
    std::vector<Origin> origins;
};

extern const Section<SamplesConfig> samples_section;
extern const Section<UmbrellaConfig> given_window_section;  // of [samples]: what [umbrella] has, too
void add_samples_keys(Schema& schema);

// The copy of all samples in a run's directory.
inline constexpr const char* kGathered = "input_samples.safetensors";

// Reads the samples. `model` has its system, or none, which it then gets: the variables of the states. Files lie in
// `folder`, or else in the working directory; of a run that goes on, and whose files are gone, in `dir`. KeyError.
void gather_samples(Config& config, SamplesConfig& samples, ModelConfig& model, const std::filesystem::path& folder,
                    const std::filesystem::path& dir);

// The windows of later rounds and the range of results, once the collective variables are known.
UmbrellaConfig read_given_windows(Config& config, ModelConfig& model, const SamplesConfig& samples);

// KeyError where the collective variables are not finite, or not those of the COLVAR files, naming the first row.
void check_given_cvs(const SamplesConfig& samples, const ModelConfig& config, const Model& model,
                     const UmbrellaConfig& umbrella);

}  // namespace microlift
