// Addresses of a warp's lanes, checked, as places of the host's memory.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tests/emulator/memory.h"
#include "tests/emulator/ptx/decode/opcode.h"
#include "tests/emulator/ptx/run/warp.h"

namespace emulator {

// Instruction::kind of an access.
inline constexpr std::uint32_t kSpaceMask = 7, kNarrowAddress = 8;  // and kStrongAccess
std::uint32_t access_kind(const Opcode& o, std::size_t address_width);

struct Lanes {
    enum class Pattern { scattered, contiguous, uniform };
    Pattern pattern = Pattern::scattered;
    bool shared = false;  // race checks are the caller's: only it knows the values
    alignas(64) std::uint64_t address[kLanes] = {};  // in its space
    std::byte* place[kLanes] = {};  // of the active lanes; contiguous, uniform: of the first alone
};

// Throws Fault naming the lane. Bytes that are written count as written from now on. Reads: extra
// has a bit for each byte that must have been written.
void locate(Warp& w, const Instruction* i, std::uint32_t address_slot, std::size_t bytes,
            Access access, Lanes& lanes);

// Throws Fault where another thread touches these bytes of shared memory in the same interval, one
// of them writing.
void check_race(Warp& w, const Instruction* i, int lane, std::uint64_t address, std::size_t bytes,
                SharedAccess access);

}  // namespace emulator
