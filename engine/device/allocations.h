// What buffers take.
#pragma once

#include <cstddef>
#include <functional>

namespace microlift {

// Bytes of all buffers of this process, on whatever device.
std::size_t allocated_bytes();
// The most that work() had at once, beyond what there was before. Large buffers of the CPU take memory where they are
// written to, so that a plan may make what it asks about.
std::size_t most_allocated(const std::function<void()>& work);

}  // namespace microlift
