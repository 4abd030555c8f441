#include "tests/emulator/ptx/run/locate.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "tests/emulator/memory/range.h"
#include "tests/emulator/ptx/run/lanes.h"

namespace emulator {

namespace {

std::string name_of(const char* space, std::uint64_t offset, std::size_t bytes) {
    return "byte " + std::to_string(offset) + " of the " + std::to_string(bytes) + " bytes of " +
           space + " memory";
}

// Memory that a block or a thread has to itself.
struct Window {
    const char* space;
    std::byte* data;
    std::uint8_t* states;
    std::size_t bytes;
};
Window shared_window(const Warp& w) {
    Block& b = *w.block;
    return {"shared", b.shared.data(), b.shared_states.data(), b.shared_bytes};
}
Window local_window(const Warp& w, int lane) {
    const std::size_t size = w.block->local_bytes, first = size * static_cast<std::size_t>(lane);
    return {"local", w.local + first, w.local_states + first, size};
}

// Accesses of kBytes by the lanes of a warp.
template <std::size_t kBytes>
struct Accesses {
    Warp& w;
    const Instruction* i;
    Access access;

    [[noreturn]] void fail(int lane, const std::string& what) const { fault(w, i, lane, what); }

    bool states_allow(const std::uint8_t* states) const {
        return access == Access::write ? all_allocated(states, kBytes)
                                       : all_written(states, kBytes);
    }
    // Not all states allow it: which byte, and does it matter?
    template <class Name>
    [[gnu::noinline]] void examine(int lane, const std::uint8_t* states, const Name& name) const {
        for (std::size_t k = 0; k < kBytes; ++k) {
            if (states[k] == kNothing)
                fail(lane, (access == Access::write ? "write to " : "read of ") + name(k));
            const bool used = access == Access::update || i->extra >> k & 1u;
            if (access != Access::write && used && states[k] != kWritten)
                fail(lane, "read of " + name(k) + ", which was never written");
        }
    }
    [[noreturn]] void unaligned(int lane, const std::string& name) const {
        fail(lane, "access of " + std::to_string(kBytes) + " bytes at " + name + " is not aligned");
    }

    std::byte* global(int lane, std::uint64_t address) const {
        const Range& range = device_range();
        const auto name = [&](std::size_t k) { return Memory::device().describe(address + k); };
        if (!range.holds(address)) fail(lane, "access to " + name(0));
        if (address % kBytes != 0) unaligned(lane, name(0));
        std::uint8_t* states = range.state(address);
        if (!states_allow(states)) examine(lane, states, name);
        if (access == Access::write) std::memset(states, kWritten, kBytes);
        return range.at(address);
    }
    std::byte* windowed(int lane, std::uint64_t offset, const Window& in) const {
        const auto name = [&](std::size_t k) { return name_of(in.space, offset + k, in.bytes); };
        if (offset >= in.bytes || in.bytes - offset < kBytes) fail(lane, "access to " + name(0));
        if (offset % kBytes != 0) unaligned(lane, name(0));
        std::uint8_t* states = in.states + offset;
        if (!states_allow(states)) examine(lane, states, name);
        if (access == Access::write) std::memset(states, kWritten, kBytes);
        return in.data + offset;
    }
    std::byte* parameter(int lane, std::uint64_t offset) const {
        const Block& b = *w.block;
        const auto name = [&] { return name_of("parameter", offset, b.parameter_bytes); };
        if (offset >= b.parameter_bytes || b.parameter_bytes - offset < kBytes ||
            access != Access::read)
            fail(lane, "access to " + name());
        if (offset % kBytes != 0) unaligned(lane, name());
        return const_cast<std::byte*>(b.parameters) + offset;
    }

    bool neighbours(const std::uint64_t* address) const {
        std::uint64_t differs = address[0] % kBytes;
        for (std::uint64_t l = 0; l < kLanes; ++l)
            differs |= address[l] ^ (address[0] + l * kBytes);
        return w.full && differs == 0;
    }
    bool all_equal(const std::uint64_t* address, std::uint64_t first) const {
        std::uint64_t differs = 0;
        for (int l = 0; l < kLanes; ++l) differs |= w.mask[l] ? address[l] ^ first : 0;
        return differs == 0;
    }
    // A whole warp's neighbouring numbers, if nothing is wrong with them.
    bool run_allowed(std::uint8_t* states) const {
        constexpr std::size_t n = kBytes * kLanes;
        if (!(access == Access::write ? all_allocated(states, n) : all_written(states, n)))
            return false;
        if (access == Access::write) std::memset(states, kWritten, n);
        return true;
    }

    // Neighbouring numbers for neighbouring lanes and one number for all are what mostly happens.
    void locate_global(Lanes& lanes) const {
        const Range& range = device_range();
        const std::uint64_t first = lanes.address[0];
        if (access != Access::update && neighbours(lanes.address) && range.holds(first) &&
            range.holds(first + kBytes * kLanes) && run_allowed(range.state(first))) {
            lanes.pattern = Lanes::Pattern::contiguous;
            lanes.place[0] = range.at(first);
            return;
        }
        const int lane = std::countr_zero(w.active);
        if (access == Access::read && all_equal(lanes.address, lanes.address[lane])) {
            lanes.pattern = Lanes::Pattern::uniform;
            lanes.place[0] = global(lane, lanes.address[lane]);
            return;
        }
        each_active(w, [&](int l) { lanes.place[l] = global(l, lanes.address[l]); });
    }
    void locate_shared(Lanes& lanes) const {
        lanes.shared = true;
        const Window shared = shared_window(w);
        const std::uint64_t first = lanes.address[0];
        if (access != Access::update && neighbours(lanes.address) && first < shared.bytes &&
            shared.bytes - first >= kBytes * kLanes && run_allowed(shared.states + first)) {
            lanes.pattern = Lanes::Pattern::contiguous;
            lanes.place[0] = shared.data + first;
            return;
        }
        each_active(w, [&](int l) { lanes.place[l] = windowed(l, lanes.address[l], shared); });
    }
    void locate_local(Lanes& lanes) const {
        each_active(
            w, [&](int l) { lanes.place[l] = windowed(l, lanes.address[l], local_window(w, l)); });
    }
    void locate_parameter(Lanes& lanes) const {
        const int lane = std::countr_zero(w.active);
        if (all_equal(lanes.address, lanes.address[lane])) {
            lanes.pattern = Lanes::Pattern::uniform;
            lanes.place[0] = parameter(lane, lanes.address[lane]);
        } else {
            each_active(w, [&](int l) { lanes.place[l] = parameter(l, lanes.address[l]); });
        }
    }
    // Each lane's address may lie in another space.
    void locate_generic(Lanes& lanes) const {
        std::uint64_t windows = 0;
        for (int l = 0; l < kLanes; ++l)
            windows |= w.mask[l] ? lanes.address[l] & ~(kWindow - 1) : 0;
        if (windows == 0) return locate_global(lanes);
        const SharedAccess kind = access == Access::read    ? SharedAccess::read
                                  : access == Access::write ? SharedAccess::write
                                                            : SharedAccess::atomic;
        each_active(w, [&](int l) {
            const std::uint64_t window = lanes.address[l] & ~(kWindow - 1);
            const std::uint64_t offset = lanes.address[l] & (kWindow - 1);
            if (window == kSharedWindow) {
                lanes.place[l] = windowed(l, offset, shared_window(w));
                check_race(w, i, l, offset, kBytes, kind);
            } else if (window == kLocalWindow) {
                lanes.place[l] = windowed(l, offset, local_window(w, l));
            } else if (window == kParamWindow) {
                lanes.place[l] = parameter(l, offset);
            } else {
                lanes.place[l] = global(l, lanes.address[l]);
            }
        });
    }

    void locate(Lanes& lanes) const {
        switch (static_cast<Space>(i->kind & kSpaceMask)) {
            case Space::generic: return locate_generic(lanes);
            case Space::global:
            case Space::constant: return locate_global(lanes);
            case Space::shared: return locate_shared(lanes);
            case Space::local: return locate_local(lanes);
            case Space::param: return locate_parameter(lanes);
        }
    }
};

}  // namespace

void locate(Warp& w, const Instruction* i, std::uint32_t slot, std::size_t bytes, Access access,
            Lanes& lanes) {
    const auto offset = static_cast<std::uint64_t>(i->immediate);
    if (i->kind & kNarrowAddress) {
        const std::uint32_t* base = w.at<std::uint32_t>(slot);
        for (int l = 0; l < kLanes; ++l)
            lanes.address[l] =
                static_cast<std::uint32_t>(base[l] + static_cast<std::uint32_t>(offset));
    } else {
        const std::uint64_t* base = w.at<std::uint64_t>(slot);
        for (int l = 0; l < kLanes; ++l) lanes.address[l] = base[l] + offset;
    }
    switch (bytes) {
        case 1: return Accesses<1>{w, i, access}.locate(lanes);
        case 2: return Accesses<2>{w, i, access}.locate(lanes);
        case 4: return Accesses<4>{w, i, access}.locate(lanes);
        case 8: return Accesses<8>{w, i, access}.locate(lanes);
        default: return Accesses<16>{w, i, access}.locate(lanes);
    }
}

void check_race(Warp& w, const Instruction* i, int lane, std::uint64_t address, std::size_t bytes,
                SharedAccess access) {
    Block& b = *w.block;
    if (!b.check_races) return;
    if (i->kind & kStrongAccess) access = SharedAccess::atomic;
    const auto warp = static_cast<std::size_t>(w.number);
    const std::uint64_t run = b.races.run(warp, w.active, w.syncs);
    for (std::size_t k = 0; k < bytes; k += 4) {
        const int other = b.races.touch(address + k, std::min<std::size_t>(bytes - k, 4), access,
                                        warp * kLanes + static_cast<std::size_t>(lane), run);
        if (other >= 0)
            fault(w, i, lane,
                  "race in shared memory at " + name_of("shared", address + k, b.shared_bytes) +
                      ": thread " + std::to_string(other) +
                      " of the block touched it, too, with no barrier between");
    }
}

std::uint32_t access_kind(const Opcode& o, std::size_t address_width) {
    const auto space = o.has("global")                           ? Space::global
                       : o.has("shared") || o.has("shared::cta") ? Space::shared
                       : o.has("local")                          ? Space::local
                       : o.has("param")                          ? Space::param
                       : o.has("const")                          ? Space::constant
                                                                 : Space::generic;
    std::uint32_t kind =
        static_cast<std::uint32_t>(space) | (address_width == 4 ? kNarrowAddress : 0u);
    for (const char* word : {"volatile", "relaxed", "acquire", "release", "acq_rel", "mmio"})
        if (o.has(word)) kind |= kStrongAccess;
    return kind;
}

}  // namespace emulator
