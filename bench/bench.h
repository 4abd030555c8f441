// bench/: the throughput of microlift's own parts. May include kernels/, engine/, nn/, sampling/.
//
// Every benchmark checks its own physics after it was timed and throws NumericError if that is
// off: a fast wrong answer has no speed.
#pragma once

#include <string>
#include <vector>

namespace microlift {

// Prints a table to stdout and, if `json_file` is not empty, writes the figures there. No names:
// all that take seconds on this device. `device` as for a run; where it is "auto" and threads > 0, the
// CPU with so many; `math` of trajectories (sampling/dynamics/mathematics.h). InputError for an unknown name.
void run_benchmarks(const std::vector<std::string>& names, const std::string& json_file,
                    const std::string& device, int threads, const std::string& math);

}  // namespace microlift
