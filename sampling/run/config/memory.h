// The most memory that a run takes at once: of its process on a CPU, or of the device besides.
#pragma once

#include <string>
#include <vector>

#include "engine/device/device.h"
#include "sampling/run/config/run_config.h"

namespace microlift {

class Model;

// Of one stage, while it lasts.
struct StageMemory {
    std::string stage;
    double bytes = 0;
};

struct RunMemory {
    double process = 0;  // before it samples: code and libraries, formulas, threads, samples made elsewhere
    double samples = 0;  // of the stored samples, and what is computed of each and kept; to the end
    std::vector<StageMemory> stages;  // what comes to these; those that take more than a few megabytes

    const StageMemory& greatest() const;
    double most() const { return process + samples + greatest().bytes; }
};

// Of this process, as Linux counts it: now (VmRSS), and the most so far (VmHWM); 0 where the system does not say.
double resident_bytes();
double most_resident_bytes();
// The arrays are counted by what makes them, where that can be asked. `process`: of one that has read the configuration.
RunMemory run_memory(const RunConfig& run, const Model& model, const Device& device, double process);

}  // namespace microlift
