// Races in a block's shared memory: who touched each word since the last barrier.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace emulator {

struct Touch {
    std::uint32_t interval = 0;  // number of the barrier interval; an older one counts as none
    std::uint32_t active = 0;    // lanes that ran together
    std::uint32_t syncs = 0;     // of the warp, at that time
    std::uint32_t thread = 0;
    std::uint8_t bytes = 0;  // of the word
    bool several = false;    // readers of more than one warp
    bool atomic = false;
};

enum class SharedAccess : std::uint8_t { read, write, atomic };

class Races {
public:
    void reset(std::size_t bytes) {
        words_.resize((bytes + 3) / 4);
        next_interval();
    }
    void next_interval() { ++interval_; }

    // The thread that this access (a part of one word) is in conflict with; −1: none. Keeps the
    // access.
    int touch(std::size_t address, std::size_t bytes, SharedAccess access, int thread,
              std::uint32_t active, std::uint32_t syncs);

private:
    struct Word {
        Touch write, read;
    };
    std::vector<Word> words_;
    std::uint32_t interval_ = 0;
};

}  // namespace emulator
