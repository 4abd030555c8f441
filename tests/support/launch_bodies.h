// Small kernels for tests/engine/test_engine.cpp.
#pragma once

#include "engine/device/buffer.h"

namespace microlift {

void launch_axpy(Stream& stream, float a, Span<const float> x, Span<float> y);  // y += a x
void launch_add_one(Stream& stream, Span<double> y);
void launch_count(Stream& stream, Span<int> count);

}  // namespace microlift
