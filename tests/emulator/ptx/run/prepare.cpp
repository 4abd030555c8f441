#include "tests/emulator/ptx/run/prepare.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "tests/emulator/fault.h"
#include "tests/emulator/ptx/run/lanes.h"

namespace emulator {

Bytes aligned_bytes(std::size_t n) {
    return Bytes(static_cast<std::byte*>(
        std::aligned_alloc(64, std::max<std::size_t>((n + 63) / 64 * 64, 64))));
}

namespace {

// Bits of a special register in one lane.
std::uint64_t special(const Block& b, const Warp& w, int lane, std::string_view name) {
    const unsigned thread = static_cast<unsigned>(w.number * kLanes + lane);
    const std::uint32_t bit = 1u << lane;
    const auto of = [&](const char* prefix, unsigned x, unsigned y, unsigned z,
                        std::uint64_t& into) {
        const std::string_view head = prefix;
        if (name.substr(0, head.size()) != head || name.size() != head.size() + 1) return false;
        into = name.back() == 'x' ? x : name.back() == 'y' ? y : z;
        return true;
    };
    std::uint64_t value = 0;
    if (of("%tid.", thread % b.size.x, thread / b.size.x % b.size.y, thread / b.size.x / b.size.y,
           value))
        return value;
    if (of("%ntid.", b.size.x, b.size.y, b.size.z, value)) return value;
    if (of("%ctaid.", b.index.x, b.index.y, b.index.z, value)) return value;
    if (of("%nctaid.", b.grid.x, b.grid.y, b.grid.z, value)) return value;
    if (name == "%laneid") return static_cast<unsigned>(lane);
    if (name == "%warpid") return static_cast<unsigned>(w.number);
    if (name == "%nwarpid") return 32;
    if (name == "%lanemask_eq") return bit;
    if (name == "%lanemask_lt") return bit - 1;
    if (name == "%lanemask_le") return bit - 1 + bit;
    if (name == "%lanemask_gt") return ~(bit - 1 + bit);
    if (name == "%lanemask_ge") return ~(bit - 1);
    if (name == "%smid" || name == "%gridid") return 0;
    if (name == "%nsmid") return 132;
    if (name == "%total_smem_size") return b.shared_bytes;
    if (name == "%dynamic_smem_size") return b.dynamic_shared;
    throw Fault("special register " + std::string(name) + " is not known");
}

template <class T>
void fill(Warp& w, std::uint32_t slot, std::uint64_t bits) {
    std::fill_n(w.at<T>(slot), kLanes, static_cast<T>(bits));
}

}  // namespace

void prepare(Block& b, const Program& program, Dim3 grid, Dim3 size, std::size_t dynamic_shared) {
    const auto same = [](Dim3 a, Dim3 c) { return a.x == c.x && a.y == c.y && a.z == c.z; };
    if (b.code && same(b.grid, grid) && same(b.size, size) && b.dynamic_shared == dynamic_shared)
        return;
    b.grid = grid;
    const int threads = static_cast<int>(size.x * size.y * size.z),
              warps = (threads + kLanes - 1) / kLanes;
    b.code = program.code.data();
    b.entered.resize(program.entered.size());
    b.size = size;
    b.dynamic_shared = dynamic_shared;
    b.shared_bytes = program.shared_bytes + dynamic_shared;
    b.shared.resize(b.shared_bytes);
    b.shared_states.resize(b.shared_bytes);
    b.local_bytes = program.local_bytes;
    if (static_cast<int>(b.warps.size()) != warps) {
        b.warps.assign(static_cast<std::size_t>(warps), {});
        b.files = aligned_bytes(program.file_bytes * static_cast<std::size_t>(warps));
        std::memset(b.files.get(), 0, program.file_bytes * static_cast<std::size_t>(warps));
        b.local = aligned_bytes(program.local_bytes * kLanes * static_cast<std::size_t>(warps));
        b.local_states.resize(program.local_bytes * kLanes * static_cast<std::size_t>(warps));
    }
    b.threads = threads;
    for (int n = 0; n < warps; ++n) {
        Warp& w = b.warps[static_cast<std::size_t>(n)];
        w.block = &b;
        w.number = n;
        const auto k = static_cast<std::size_t>(n);
        w.file = b.files.get() + program.file_bytes * k;
        w.local = b.local.get() + program.local_bytes * kLanes * k;
        w.local_states = b.local_states.data() + program.local_bytes * kLanes * k;
        for (const Program::Constant& c : program.constants) {
            if (c.width == 8) fill<std::uint64_t>(w, c.slot, c.bits);
            if (c.width == 4) fill<std::uint32_t>(w, c.slot, c.bits);
            if (c.width == 2) fill<std::uint16_t>(w, c.slot, c.bits);
        }
        for (const Program::Special& s : program.specials)
            for (int l = 0; l < kLanes; ++l)
                w.at<std::uint32_t>(s.slot)[l] =
                    static_cast<std::uint32_t>(special(b, w, l, s.name));
    }
}

void start(Block& b, const Program& program) {
    std::fill(b.shared_states.begin(), b.shared_states.end(), std::uint8_t{1});
    std::fill(b.local_states.begin(), b.local_states.end(), std::uint8_t{1});
    std::fill(std::begin(b.arrived), std::end(b.arrived), 0);
    if (b.check_races) b.races.reset(b.shared_bytes, b.warps.size());
    for (Warp& w : b.warps) {
        const int lanes = std::min(kLanes, b.threads - w.number * kLanes);
        w.alive = lanes == kLanes ? kAllLanes : (1u << lanes) - 1;
        w.groups.clear();
        w.next = reinterpret_cast<const Instruction*>(~std::uintptr_t{0});
        w.barrier = nullptr;
        w.syncs = 0;
        w.set_active(w.alive);
        count_lanes(w, b.code, w.active);
        for (const Program::Special& s : program.specials)
            if (s.name.starts_with("%ctaid"))
                fill<std::uint32_t>(w, s.slot, special(b, w, 0, s.name));
    }
}

}  // namespace emulator
