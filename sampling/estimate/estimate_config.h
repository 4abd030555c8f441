// [estimate]: the free energy from the biased samples.
#pragma once

#include <string>
#include <vector>

#include "kernels/lane/lane.h"

namespace microlift {

class Config;
struct UmbrellaConfig;
template <class Struct>
class Section;

struct EstimateConfig {
    bool enabled = false;
    std::string method;
    std::vector<index> bins;
    index blocks = 0;
    double tolerance = 0;
    index max_iterations = 0;
};

extern const Section<EstimateConfig> estimate_section;

// Keeps what is wrong.
EstimateConfig read_estimate(Config& config, const UmbrellaConfig& umbrella, int cvs);

}  // namespace microlift
