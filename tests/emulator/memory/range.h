// Where the bytes of a device address lie: three ranges of one size, reserved once. In the first
// nothing is mapped (a host that dereferences a device pointer stops); the second holds the bytes;
// the third one state a byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace emulator {

// States of a byte. A load needs kWritten, a store anything but kNothing.
inline constexpr std::uint8_t kNothing = 0, kAllocated = 1, kWritten = 3;

struct Range {
    std::uint64_t base = 0;   // first address
    std::uint64_t bytes = 0;  // of each of the three ranges
    std::byte* data = nullptr;
    std::uint8_t* states = nullptr;

    bool holds(std::uint64_t address) const { return address - base < bytes; }
    std::byte* at(std::uint64_t address) const { return data + (address - base); }
    std::uint8_t* state(std::uint64_t address) const { return states + (address - base); }
};

// Of the device; reserved at the first call.
const Range& device_range();

// Whether all states equal kWritten; n is small.
inline bool all_written(const std::uint8_t* states, std::size_t n) {
    std::uint8_t both = kWritten;
    for (std::size_t i = 0; i < n; ++i) both &= states[i];
    return both == kWritten;
}
inline bool all_allocated(const std::uint8_t* states, std::size_t n) {
    std::uint8_t both = kAllocated;
    for (std::size_t i = 0; i < n; ++i) both &= states[i];
    return both == kAllocated;
}

}  // namespace emulator
