// How factors of the networks' products are rounded on a CUDA device; sums are fp32 in all.
#pragma once

#include "kernels/lane/lane.h"

namespace microlift {

// tf32x3 splits each factor into two and keeps the three larger products: close to fp32. fp32 uses no
// tensor cores and is the reference.
enum class Precision : int32 { tf32, bf16, tf32x3, fp32 };

}  // namespace microlift
