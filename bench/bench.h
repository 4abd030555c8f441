// bench/: the throughput of microlift's own parts. May include kernels/, engine/, nn/, sampling/.
//
// Every benchmark checks its own physics after it was timed and throws NumericError if that is
// off: a fast wrong answer has no speed.
#pragma once

#include <string>
#include <vector>

namespace microlift {

struct BenchOptions {
    std::vector<std::string> names;  // none: all that take seconds on the device
    std::string json_file;           // gets the figures; empty: none
    std::string device = "auto";     // as for a run; where it is "auto" and threads > 0, the CPU with so many
    int threads = 0;
    std::string math;     // of trajectories (sampling/dynamics/mathematics.h)
    std::string compare;  // earlier figures, to stand beside these
    std::string with;     // figures of a file in place of a run's
    double fail_below = 0;  // see bench/compare.h
};

// Prints a table to stdout. InputError for an unknown name, and before anything runs for files that cannot be
// read or written.
void run_benchmarks(const BenchOptions& options);

}  // namespace microlift
