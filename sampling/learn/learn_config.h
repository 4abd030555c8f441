// [learn] and `microlift learn`: a diffusion map of the samples.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "kernels/lane/lane.h"

namespace microlift {

class Config;
template <class Struct>
class Section;

struct LearnConfig {
    bool enabled = false;
    double alpha = 0;
    double epsilon = 0;  // 0: from the data
    index points = 0;
    int coordinates = 0;
    int landmarks = 0;
    int neighbours = 0;     // 0: dense
    bool bursts = false;    // Mahalanobis distances from short runs
    double burst_time = 0;  // 0: one step of the run's integrator
    int burst_replicas = 0;
    bool unweighted = false;
    std::string features;   // of a molecule: torsions or distances
};

extern const Section<LearnConfig> learn_section;

// Options of `microlift learn` beside those of the map.
struct LearnOptions : LearnConfig {
    LearnOptions();  // the section's defaults
    std::string dir;       // of the run whose samples teach
    std::string out_file;  // .json
    std::optional<std::uint64_t> seed;
    std::string device = "auto";
    int threads = 0;
    std::string math;
    bool quiet = false;
};

// Keeps what is wrong. `stored`: samples of the run.
LearnConfig read_learn(Config& config, index stored);

}  // namespace microlift
