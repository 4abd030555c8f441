// bench/: the throughput of microlift's own parts. May include kernels/, engine/, nn/, sampling/.
//
// Every benchmark checks its own physics after it was timed and throws NumericError if that is
// off: a fast wrong answer has no speed.
#pragma once

#include <string>
#include <vector>

namespace microlift {

// Prints a table to stdout and, if `json_file` is not empty, writes the figures there. No names:
// all that take seconds on this device. threads = 0: a CUDA device if one works, else the CPU with one
// thread a processor; threads > 0: the CPU with so many. InputError for an unknown name.
void run_benchmarks(const std::vector<std::string>& names, const std::string& json_file,
                    int threads);

}  // namespace microlift
