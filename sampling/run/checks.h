// What runs check by themselves: one table. metrics.json says which checks a run made and what they
// found, and the report reads it there.
#pragma once

#include "sampling/run/run.h"

namespace microlift {

struct RunCheck {
    const char* name;
    const char* passed;  // what is known where nothing was found
    const char* without_windows = nullptr;  // the same of a run that has none
};

const std::vector<RunCheck>& run_checks();

// A check of the table is made as long as this lives; what the run warns of meanwhile it found.
class Checking {
public:
    Checking(Run& run, const char* name);
    ~Checking();
    Checking(const Checking&) = delete;
    Checking& operator=(const Checking&) = delete;

private:
    Run& run_;
    const RunCheck& check_;
    const std::size_t warned_;
};

// A check whose warning comes later, unless another round settles it: what the last one found counts.
void note_check(Run& run, const std::string& name, bool found);

}  // namespace microlift
