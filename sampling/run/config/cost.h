// What a run will take: trajectories, samples, force evaluations, memory, disk.
#pragma once

#include "sampling/run/config/run_config.h"

namespace microlift {

struct RunCost {
    double trajectories = 0.0;
    double samples = 0.0;            // stored
    double force_evaluations = 0.0;  // all biased runs of the run
    double memory_bytes = 0.0;       // at the peak, on the device
    double disk_bytes = 0.0;         // samples.h5 and checkpoint.h5
};
RunCost run_cost(const RunConfig& run);
// KeyErrors if the run takes more memory than there is.
void check_memory(Checks& checks, const RunConfig& run, double available_bytes);
double available_memory_bytes();  // of this machine
// Of the file system that holds a directory; infinite where it does not say.
double free_disk_bytes(const std::string& dir);

}  // namespace microlift
