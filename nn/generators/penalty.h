// The penalties that hold a critic to a slope of one, or its gradients small.
#pragma once

#include <string>

#include "kernels/lane/lane.h"

namespace microlift {

enum class Penalty : int32 { one_sided, two_sided, relativistic };

// InputError unless it is one of one_sided, two_sided, relativistic (also called r1r2).
Penalty penalty_from(const std::string& name);

}  // namespace microlift
