#include "tests/emulator/ptx/run/races.h"

#include "tests/emulator/ptx/run/warp.h"

namespace emulator {

// Lanes of a warp that ran together, or met at a .sync since, are in order.
int Races::touch(std::size_t address, std::size_t bytes, SharedAccess access, int thread,
                 std::uint32_t active, std::uint32_t syncs) {
    Word& word = words_[address / 4];
    const auto mask = static_cast<std::uint8_t>(((1u << bytes) - 1) << address % 4);
    const auto self = static_cast<std::uint32_t>(thread);
    const bool atomic = access == SharedAccess::atomic;
    const auto conflicts = [&](const Touch& t) {
        if (t.interval != interval_ || !(t.bytes & mask) || (t.atomic && atomic)) return false;
        if (t.several) return true;
        if (t.thread == self) return false;
        return t.thread / kLanes != self / kLanes || (t.syncs == syncs && t.active != active);
    };
    int other = conflicts(word.write) ? static_cast<int>(word.write.thread) : -1;
    const Touch now{interval_, active, syncs, self, mask, false, atomic};
    if (access != SharedAccess::read) {
        if (conflicts(word.read)) other = static_cast<int>(word.read.thread);
        word.write = now;
        return other;
    }
    Touch& read = word.read;
    if (read.interval != interval_) {
        read = now;
    } else if (read.thread / kLanes != self / kLanes) {
        read.several = true;
        read.bytes |= mask;
    } else if (!read.several) {
        read = now;
    }
    return other;
}

}  // namespace emulator
