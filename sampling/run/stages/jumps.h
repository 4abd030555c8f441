// Do collective variables jump between samples that follow each other?
#pragma once

#include "sampling/run/run.h"

namespace microlift {

void check_jumps(Run& run);

}  // namespace microlift
