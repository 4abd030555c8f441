// Other programs: started without a shell, and gone when this one stops.
#pragma once

#include <string>
#include <vector>

namespace microlift {

struct ProgramEnd {
    int status = -1;       // exit status; 128 + signal; -1: it was not started
    bool stopped = false;  // killed because this process was told to stop
    std::string errors;    // what it wrote to stderr, up to a few kilobytes of its end
};

// The first word is a path, or a name that is looked for in the absolute folders of PATH. The program
// runs in `folder` with an empty input, and what it prints to stdout is thrown away. It is killed, with
// what it has started, where a signal stops this process meanwhile; the caller decides what then.
ProgramEnd run_program(const std::vector<std::string>& words, const std::string& folder = "/");

}  // namespace microlift
