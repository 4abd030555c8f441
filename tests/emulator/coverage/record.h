// What a process has executed, in a file; files of many processes, added up.
#pragma once

#include <string>

#include "tests/emulator/ptx.h"

namespace emulator {

// The entries launched, in a file of its own in the folder.
void write_coverage(const std::string& folder, const Coverage& coverage);

// Adds the folder's files; the opcodes of entries that `into` does not hold are unknown (""). False: there is none.
// Throws Fault for what is no such file.
bool read_coverage(const std::string& folder, Coverage& into);

}  // namespace emulator
