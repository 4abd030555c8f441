// A block while it runs: its warps, their registers (32 lanes side by side), the groups that a warp
// has split into.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/emulator/ptx.h"
#include "tests/emulator/ptx/run/races.h"

namespace emulator {

inline constexpr int kLanes = 32;
inline constexpr std::uint32_t kAllLanes = 0xffffffffu;

struct Warp;
struct Instruction;
// Returns what comes next; nullptr: the warp stops here for now.
using Handler = const Instruction* (*)(Warp&, const Instruction*);

struct Instruction {
    Handler run = nullptr;
    std::int64_t immediate = 0;           // offset of an address; a branch's target
    const std::uint32_t* more = nullptr;  // all slots, where there are over six
    std::uint32_t slot[6] = {};           // bytes from the start of the warp's registers
    std::uint32_t line = 0;
    std::uint32_t extra = 0;  // what the handler wants
    std::uint32_t kind = 0;   // of an access: space and more, see locate.h
};

// Tags of the windows that generic addresses may lie in besides global memory.
inline constexpr std::uint64_t kWindow = std::uint64_t{1} << 56;
inline constexpr std::uint64_t kSharedWindow = 1 * kWindow, kLocalWindow = 2 * kWindow,
                               kParamWindow = 3 * kWindow;

// Lanes that stand at one instruction while other lanes of their warp run.
struct Group {
    const Instruction* at;
    std::uint32_t lanes;
    std::uint32_t members;  // lanes that must be there before it goes on; 0: it may go on at once
};

struct Block;

struct Warp {
    std::byte* file = nullptr;  // registers
    Block* block = nullptr;
    int number = 0;
    std::uint32_t active = 0;                     // lanes that run now
    bool full = false;                            // all 32
    alignas(64) std::uint32_t mask[kLanes] = {};  // of the active lanes, a word each
    alignas(64) std::uint32_t carry[kLanes] = {};
    std::uint32_t alive = 0;    // lanes that have not returned
    std::vector<Group> groups;  // the others
    const Instruction* next =
        nullptr;  // where the first of those groups that could run stands, or past all code
    std::byte* local = nullptr;  // lane after lane
    std::uint8_t* local_states = nullptr;
    std::uint32_t syncs = 0;                // .sync instructions so far
    const Instruction* barrier = nullptr;   // that it waits at
    int barrier_id = 0, barrier_count = 0;  // 0: all of the block

    template <class T>
    T* at(std::uint32_t slot) {
        return reinterpret_cast<T*>(file + slot);
    }
    void set_active(std::uint32_t lanes);
};

struct Release {
    void operator()(std::byte* p) const { std::free(p); }
};
using Bytes = std::unique_ptr<std::byte[], Release>;  // aligned to 64
Bytes aligned_bytes(std::size_t n);

struct Block {
    const Kernel* kernel = nullptr;
    const Instruction* code = nullptr;
    std::vector<std::uint64_t> entered;  // lanes that have begun a run of instructions, where it begins
    Dim3 grid, size, index;
    int threads = 0;
    std::vector<Warp> warps;
    Bytes files, local;
    const std::byte* parameters = nullptr;
    std::size_t parameter_bytes = 0, shared_bytes = 0, dynamic_shared = 0, local_bytes = 0;
    std::vector<std::byte> shared;
    std::vector<std::uint8_t> shared_states, local_states;
    Races races;
    bool check_races = true, whole_warps = false;
    int arrived[16] = {};  // by bar.arrive
};

// Names kernel, block, thread and line.
[[noreturn]] void fault(const Warp& w, const Instruction* at, int lane, const std::string& what);

// "PTX line 12 `bar.sync 0;`"
std::string where(const Warp& w, const Instruction* at);

// Whether all lanes of `members` that have not returned are at this instruction now. If not, the
// active lanes stay here and `next` is what the warp does in the meantime.
bool together(Warp& w, const Instruction* at, std::uint32_t members, const Instruction*& next);

}  // namespace emulator
