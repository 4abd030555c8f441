// `microlift check --advise`: which way of sampling fits a system, from a pilot run.
#pragma once

#include <string>
#include <vector>

#include "sampling/run/config/run_config.h"

namespace microlift {

// What a short run under one bias of walkers found of the free energy along ξ and of what ξ does not see, and what
// follows from it: lines of words with numbers. It takes some seconds and leaves nothing behind.
std::vector<std::string> advice(const RunConfig& run, const RunOptions& options);

// InputError where there is no system to run, or no range of the collective variables to advise on.
void check_advisable(RunConfig& run);

// The highest barrier of a free energy on a grid, by persistence: of all wells but the deepest the largest rise from its
// bottom to the pass to a deeper one, and the rise to that pass from the deepest bottom. Bins without data are walls.
struct Barrier {
    double from_well = 0, from_lowest = 0;
    int wells = 0;  // whose rise is more than `noise`
};
Barrier highest_barrier(const Grid& grid, const std::vector<double>& free_energy, double noise);

}  // namespace microlift
