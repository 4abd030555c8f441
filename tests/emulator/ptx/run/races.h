// Races in a block's shared memory: who touched each word since the last barrier.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace emulator {

enum class SharedAccess : std::uint8_t { read, write, atomic };

// Lanes of a warp that run together, from one .sync instruction or change of paths to the next.
struct Run {
    std::uint32_t active, syncs;
};

class Races {
public:
    void reset(std::size_t bytes, std::size_t warps) {
        words_.resize((bytes + 3) / 4);
        runs_.resize(warps);
        next_interval();
    }
    void next_interval() {
        ++interval_;
        for (auto& runs : runs_) runs.clear();
    }
    // The number of the warp's present run.
    std::uint64_t run(std::size_t warp, std::uint32_t active, std::uint32_t syncs) {
        auto& runs = runs_[warp];
        if (runs.empty() || runs.back().active != active || runs.back().syncs != syncs)
            runs.push_back({active, syncs});
        return runs.size() - 1 < kMostRuns ? runs.size() - 1 : kMostRuns;
    }

    // The thread that this access (a part of one word) is in conflict with; −1: none. Keeps it.
    int touch(std::size_t address, std::size_t bytes, SharedAccess access, std::uint64_t thread,
              std::uint64_t run) {
        Word& word = words_[address / 4];
        const std::uint64_t mask = ((1u << bytes) - 1u) << address % 4;
        const std::uint64_t now = interval_ << 36 | run << 16 | thread << 6 | mask << 2 |
                                  (access == SharedAccess::atomic ? kAtomic : 0);
        const bool written = word.write >> 36 == interval_, read = word.read >> 36 == interval_;
        if (access == SharedAccess::read && !written && !read) {
            word.read = now;
            return -1;
        }
        if (access != SharedAccess::read && !written && !read) {
            word.write = now;
            return -1;
        }
        return compare(word, now, access);
    }

private:
    // The last that wrote and the last that read: interval (28 bits), run (20), thread (10), bytes
    // of the word (4), flags (2).
    struct Word {
        std::uint64_t write = 0, read = 0;
    };
    static constexpr std::uint64_t kAtomic = 1, kSeveral = 2;  // readers of more than one warp
    static constexpr std::uint64_t kMostRuns = (1u << 20) - 1;

    int compare(Word& word, std::uint64_t now, SharedAccess access) const;
    bool conflict(std::uint64_t before, std::uint64_t now) const;
    std::vector<Word> words_;
    std::vector<std::vector<Run>> runs_;  // of each warp, in this interval
    std::uint64_t interval_ = 0;
};

}  // namespace emulator
