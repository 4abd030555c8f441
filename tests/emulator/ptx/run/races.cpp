#include "tests/emulator/ptx/run/races.h"

namespace emulator {

namespace {

std::uint64_t thread_of(std::uint64_t touch) {
    return touch >> 6 & 1023;
}
std::uint64_t run_of(std::uint64_t touch) {
    return touch >> 16 & 0xfffff;
}

}  // namespace

// Lanes of a warp that ran together, or met at a .sync since, are in order.
bool Races::conflict(std::uint64_t before, std::uint64_t now) const {
    if (before >> 36 != interval_ || !(before & now & 0x3c) || (before & now & kAtomic))
        return false;
    if (before & kSeveral) return true;
    const std::uint64_t other = thread_of(before), self = thread_of(now);
    if (other == self) return false;
    if (other / 32 != self / 32) return true;
    const Run a = runs_[self / 32][run_of(before)], b = runs_[self / 32][run_of(now)];
    return a.syncs == b.syncs && a.active != b.active;
}

int Races::compare(Word& word, std::uint64_t now, SharedAccess access) const {
    int other = conflict(word.write, now) ? static_cast<int>(thread_of(word.write)) : -1;
    if (access != SharedAccess::read) {
        if (conflict(word.read, now)) other = static_cast<int>(thread_of(word.read));
        word.write = now;
        return other;
    }
    if (word.read >> 36 != interval_) {
        word.read = now;
    } else if (thread_of(word.read) / 32 != thread_of(now) / 32) {
        word.read |= kSeveral | (now & 0x3c);
    } else if (!(word.read & kSeveral)) {
        word.read = now;
    }
    return other;
}

}  // namespace emulator
