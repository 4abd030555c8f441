// Pinned memory between the host's own and a CUDA device's: a copy from pageable memory goes through memory of the
// driver's, in pieces that the host waits for. An upload is staged and goes on by itself; a download waits once.
#pragma once

#include <cstddef>

#include "engine/device/device.h"

namespace microlift {

// Staged without a wait up to this many bytes.
inline constexpr std::size_t kStagedBytes = std::size_t{8} << 20;

void upload(const Device& device, void* to, const void* from, std::size_t bytes);
void download(const Device& device, void* to, const void* from, std::size_t bytes);

}  // namespace microlift
