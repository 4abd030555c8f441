// Which mathematics trajectories are computed in: the portable one, the same bits on every machine, or that
// of a CUDA device's own functions.
#pragma once

#include <string>

#include "engine/device/device.h"

namespace microlift {

inline std::string mathematics_name(bool portable) { return portable ? "portable" : "fast"; }

// Whether it is the portable one. `asked` is "portable", "fast" or empty: what is usual on the device, fast on
// CUDA; the CPU has the portable one alone, and InputError says so where the other was asked for.
bool portable_mathematics(const std::string& asked, const Device& device);

// The same for work that was begun in `begun`, which it goes on with; InputError where it cannot, or where
// another one was asked for. `where` is the file that says so.
bool same_mathematics(const std::string& asked, const std::string& begun, const Device& device,
                      const std::string& where);

}  // namespace microlift
