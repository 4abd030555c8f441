#include "tests/emulator/ptx/run/locate.h"

#include <bit>
#include <cstring>

#include "tests/emulator/memory/range.h"
#include "tests/emulator/ptx/run/lanes.h"

namespace emulator {

namespace {

// All states of a small access at once; wants: kWritten or kAllocated in every byte.
bool all_are(const std::uint8_t* states, std::size_t bytes, std::uint8_t wanted) {
    std::uint64_t word[2];
    const std::uint64_t repeated = 0x0101010101010101u * wanted;
    switch (bytes) {
        case 1: return (*states & wanted) == wanted;
        case 2:
            word[0] = 0, std::memcpy(word, states, 2);
            return (word[0] & repeated & 0xffffu) == (repeated & 0xffffu);
        case 4:
            word[0] = 0, std::memcpy(word, states, 4);
            return (word[0] & repeated & 0xffffffffu) == (repeated & 0xffffffffu);
        case 8: std::memcpy(word, states, 8); return (word[0] & repeated) == repeated;
        default: std::memcpy(word, states, 16); return (word[0] & word[1] & repeated) == repeated;
    }
}

std::string name_of(const char* space, std::uint64_t offset, std::size_t bytes) {
    return "byte " + std::to_string(offset) + " of the " + std::to_string(bytes) + " bytes of " +
           space + " memory";
}

struct Access1 {  // one lane's
    Warp& w;
    const Instruction* i;
    std::size_t bytes;
    Access access;

    [[noreturn]] void fail(int lane, const std::string& what) const { fault(w, i, lane, what); }

    std::uint8_t wanted() const { return access == Access::write ? kAllocated : kWritten; }

    // The states are not all as wanted: which byte, and does it matter?
    template <class Name>
    void examine(int lane, const std::uint8_t* states, const Name& name) const {
        for (std::size_t k = 0; k < bytes; ++k) {
            if (states[k] == kNothing)
                fail(lane, (access == Access::write ? "write to " : "read of ") + name(k));
            const bool used = access == Access::update || i->extra >> k & 1u;
            if (access != Access::write && used && states[k] != kWritten)
                fail(lane, "read of " + name(k) + ", which was never written");
        }
    }
    void check_alignment(int lane, std::uint64_t address, const std::string& name) const {
        if (address % bytes != 0)
            fail(lane,
                 "access of " + std::to_string(bytes) + " bytes at " + name + " is not aligned");
    }

    std::byte* global(int lane, std::uint64_t address) const {
        const Range& range = device_range();
        const auto name = [&](std::size_t k) { return Memory::device().describe(address + k); };
        if (!range.holds(address)) fail(lane, "access to " + name(0));
        if (address % bytes != 0) check_alignment(lane, address, name(0));
        std::uint8_t* states = range.state(address);
        if (!all_are(states, bytes, wanted())) examine(lane, states, name);
        if (access == Access::write) std::memset(states, kWritten, bytes);
        return range.at(address);
    }
    std::byte* windowed(int lane, std::uint64_t offset, const char* space, std::byte* data,
                        std::uint8_t* states, std::size_t size) const {
        const auto name = [&](std::size_t k) { return name_of(space, offset + k, size); };
        if (offset >= size || size - offset < bytes) fail(lane, "access to " + name(0));
        if (offset % bytes != 0) check_alignment(lane, offset, name(0));
        if (!all_are(states + offset, bytes, wanted())) examine(lane, states + offset, name);
        if (access == Access::write) std::memset(states + offset, kWritten, bytes);
        return data + offset;
    }
    std::byte* shared(int lane, std::uint64_t offset) const {
        Block& b = *w.block;
        return windowed(lane, offset, "shared", b.shared.data(), b.shared_states.data(),
                        b.shared_bytes);
    }
    std::byte* local(int lane, std::uint64_t offset) const {
        const std::size_t size = w.block->local_bytes,
                          first = size * static_cast<std::size_t>(lane);
        return windowed(lane, offset, "local", w.local + first, w.local_states + first, size);
    }
    std::byte* parameter(int lane, std::uint64_t offset) const {
        const Block& b = *w.block;
        if (offset >= b.parameter_bytes || b.parameter_bytes - offset < bytes ||
            access != Access::read)
            fail(lane, "access to " + name_of("parameter", offset, b.parameter_bytes));
        if (offset % bytes != 0)
            check_alignment(lane, offset, name_of("parameter", offset, b.parameter_bytes));
        return const_cast<std::byte*>(b.parameters) + offset;
    }
};

bool consecutive(const std::uint64_t* address, std::uint64_t bytes) {
    std::uint64_t differs = 0;
    for (std::uint64_t l = 0; l < kLanes; ++l) differs |= address[l] ^ (address[0] + l * bytes);
    return differs == 0;
}
bool equal(const std::uint64_t* address, const std::uint32_t* mask, std::uint64_t first) {
    std::uint64_t differs = 0;
    for (int l = 0; l < kLanes; ++l) differs |= mask[l] ? address[l] ^ first : 0;
    return differs == 0;
}

// Global memory: neighbouring numbers for neighbouring lanes and one number for all are what mostly
// happens.
void locate_global(const Access1& one, Lanes& lanes) {
    Warp& w = one.w;
    const Range& range = device_range();
    if (w.full && consecutive(lanes.address, one.bytes)) {
        const std::uint64_t first = lanes.address[0], n = one.bytes * kLanes;
        if (range.holds(first) && range.holds(first + n) && first % one.bytes == 0) {
            std::uint8_t* states = range.state(first);
            if (one.access == Access::write ? all_allocated(states, n) : all_written(states, n)) {
                if (one.access == Access::write) std::memset(states, kWritten, n);
                lanes.pattern = Lanes::Pattern::contiguous;
                lanes.place[0] = range.at(first);
                return;
            }
        }
    }
    const int lane = std::countr_zero(w.active);
    if (one.access == Access::read && equal(lanes.address, w.mask, lanes.address[lane])) {
        lanes.pattern = Lanes::Pattern::uniform;
        lanes.place[0] = one.global(lane, lanes.address[lane]);
        return;
    }
    each_active(w, [&](int l) { lanes.place[l] = one.global(l, lanes.address[l]); });
}

void locate_shared(const Access1& one, Lanes& lanes) {
    lanes.shared = true;
    each_active(one.w, [&](int l) { lanes.place[l] = one.shared(l, lanes.address[l]); });
}

void locate_generic(const Access1& one, Lanes& lanes) {
    Warp& w = one.w;
    std::uint64_t windows = 0;
    for (int l = 0; l < kLanes; ++l) windows |= w.mask[l] ? lanes.address[l] & ~(kWindow - 1) : 0;
    if (windows == 0) return locate_global(one, lanes);
    each_active(w, [&](int l) {
        const std::uint64_t window = lanes.address[l] & ~(kWindow - 1),
                            offset = lanes.address[l] & (kWindow - 1);
        if (window == kSharedWindow) {
            lanes.place[l] = one.shared(l, offset);
            check_race(w, one.i, l, offset, one.bytes,
                       one.access == Access::read    ? SharedAccess::read
                       : one.access == Access::write ? SharedAccess::write
                                                     : SharedAccess::atomic);
        } else if (window == kLocalWindow) {
            lanes.place[l] = one.local(l, offset);
        } else if (window == kParamWindow) {
            lanes.place[l] = one.parameter(l, offset);
        } else {
            lanes.place[l] = one.global(l, lanes.address[l]);
        }
    });
}

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
    const Access1 one{w, i, bytes, access};
    switch (static_cast<Space>(i->kind & kSpaceMask)) {
        case Space::generic: return locate_generic(one, lanes);
        case Space::global:
        case Space::constant: return locate_global(one, lanes);
        case Space::shared: return locate_shared(one, lanes);
        case Space::local:
            return each_active(w, [&](int l) { lanes.place[l] = one.local(l, lanes.address[l]); });
        case Space::param: break;
    }
    const int lane = std::countr_zero(w.active);
    lanes.pattern = Lanes::Pattern::uniform;
    lanes.place[0] = one.parameter(lane, lanes.address[lane]);
    if (!equal(lanes.address, w.mask, lanes.address[lane])) {
        lanes.pattern = Lanes::Pattern::scattered;
        each_active(w, [&](int l) { lanes.place[l] = one.parameter(l, lanes.address[l]); });
    }
}

void check_race(Warp& w, const Instruction* i, int lane, std::uint64_t address, std::size_t bytes,
                SharedAccess access) {
    Block& b = *w.block;
    if (!b.check_races) return;
    if (i->kind & kStrongAccess) access = SharedAccess::atomic;
    const int thread = w.number * kLanes + lane;
    for (std::size_t k = 0; k < bytes; k += 4) {
        const int other = b.races.touch(address + k, std::min<std::size_t>(bytes - k, 4), access,
                                        thread, w.active, w.syncs);
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
