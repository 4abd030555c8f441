#pragma once

#include "kernels/lane/lane.h"

namespace microlift {

// The processors that this process may use: how many, and a number that tells them from others.
struct Processors {
    int count = 1;
    uint64 key = 0;
};
Processors usable_processors();

}  // namespace microlift
