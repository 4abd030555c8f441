#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>

#include "tests/emulator/fault.h"
#include "tests/emulator/memory.h"
#include "tests/emulator/memory/range.h"

namespace emulator {

namespace {

constexpr std::uint64_t kRangeBytes = std::uint64_t{1}
                                      << 38;  // of addresses, so that none returns soon
constexpr std::uint64_t kDeviceBytes = std::uint64_t{16} << 30;  // of memory
constexpr std::uint64_t kAlign = 256, kGap = 256;

void* reserve(int protection) {
    void* p =
        mmap(nullptr, kRangeBytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    return p;
}

std::uint64_t round_up(std::uint64_t x, std::uint64_t to) {
    return (x + to - 1) / to * to;
}

// Whole pages inside the range go back to the host.
void give_back(std::byte* from, std::uint64_t bytes) {
    constexpr std::uint64_t page = 4096;
    const auto first = round_up(reinterpret_cast<std::uint64_t>(from), page);
    const auto last = (reinterpret_cast<std::uint64_t>(from) + bytes) / page * page;
    if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace

const Range& device_range() {
    static const Range range{reinterpret_cast<std::uint64_t>(reserve(PROT_NONE)), kRangeBytes,
                             static_cast<std::byte*>(reserve(PROT_READ | PROT_WRITE)),
                             static_cast<std::uint8_t*>(reserve(PROT_READ | PROT_WRITE))};
    return range;
}

struct Memory::Buffers {
    struct Buffer {
        std::uint64_t bytes;
        std::string what;
    };
    mutable std::mutex mutex;
    std::map<std::uint64_t, Buffer> live, freed;  // by first address
    std::uint64_t next = 0;                       // where the search for a place begins
    std::uint64_t used = 0;

    static std::uint64_t end(const std::pair<const std::uint64_t, Buffer>& b) {
        return b.first + b.second.bytes;
    }

    // The first free place at or after `from`; 0: none.
    std::uint64_t place(std::uint64_t from, std::uint64_t bytes) const {
        const Range& range = device_range();
        std::uint64_t at = std::max(from, range.base + kGap);
        auto after = live.upper_bound(at);
        if (after != live.begin())
            at = std::max(at, round_up(end(*std::prev(after)) + kGap, kAlign));
        for (; after != live.end() && at + bytes + kGap > after->first; ++after)
            at = round_up(end(*after) + kGap, kAlign);
        return at + bytes + kGap <= range.base + range.bytes ? at : 0;
    }
    // The buffer that the address lies in or just past; end(): none.
    static auto find(const std::map<std::uint64_t, Buffer>& in, std::uint64_t address) {
        auto after = in.upper_bound(address);
        return after == in.begin() ? in.end() : std::prev(after);
    }
};

Memory::Memory() : buffers_(std::make_unique<Buffers>()) {
    buffers_->next = device_range().base;
}

Memory& Memory::device() {
    static Memory& memory =
        *new Memory;  // lives as long as the process: buffers may be freed by destructors
    return memory;
}

bool Memory::is_device(std::uint64_t address) {
    return device_range().holds(address);
}

std::uint64_t Memory::allocate(std::size_t bytes, const std::string& what) {
    const std::lock_guard lock(buffers_->mutex);
    if (bytes > kDeviceBytes - buffers_->used) throw std::bad_alloc();
    std::uint64_t at = buffers_->place(buffers_->next, bytes);
    if (!at) at = buffers_->place(device_range().base, bytes);
    if (!at) throw std::bad_alloc();
    // What was freed there is forgotten.
    auto old = buffers_->freed.lower_bound(at);
    while (old != buffers_->freed.end() && old->first < at + bytes + kGap)
        old = buffers_->freed.erase(old);
    buffers_->live[at] = {bytes, what};
    buffers_->used += bytes;
    buffers_->next = round_up(at + bytes + kGap, kAlign);
    std::memset(device_range().state(at), kAllocated, bytes);
    return at;
}

void Memory::free(std::uint64_t address) {
    const std::lock_guard lock(buffers_->mutex);
    const auto found = buffers_->live.find(address);
    if (found == buffers_->live.end()) {
        if (buffers_->freed.contains(address))
            throw Fault("buffer '" + buffers_->freed[address].what + "' is freed twice");
        throw Fault("an address is freed that no buffer starts at");
    }
    const std::uint64_t bytes = found->second.bytes;
    std::memset(device_range().state(address), kNothing, bytes);
    give_back(device_range().at(address), bytes);
    give_back(reinterpret_cast<std::byte*>(device_range().state(address)), bytes);
    buffers_->used -= bytes;
    buffers_->freed[address] = std::move(found->second);
    buffers_->live.erase(found);
}

std::byte* Memory::at(std::uint64_t address, std::size_t bytes, Access access,
                      std::size_t alignment) {
    const Range& range = device_range();
    if (!range.holds(address) || range.bytes - (address - range.base) < bytes)
        throw Fault("access to " + describe(address));
    if (address % alignment != 0)
        throw Fault("access at " + describe(address) + " is not aligned to " +
                    std::to_string(alignment));
    std::uint8_t* states = range.state(address);
    const bool reads = access == Access::read || access == Access::update;
    constexpr std::size_t chunk = 256;
    for (std::size_t i = 0; i < bytes; ++i) {
        if (const std::size_t n = std::min(chunk, bytes - i);
            i % chunk == 0 && (reads ? all_written(states + i, n) : all_allocated(states + i, n))) {
            i += n - 1;
            continue;
        }
        if (states[i] == kNothing) throw Fault("access to " + describe(address + i));
        if (reads && states[i] != kWritten)
            throw Fault("read of " + describe(address + i) + ", which was never written");
    }
    if (access == Access::write) std::memset(states, kWritten, bytes);
    return range.at(address);
}

void Memory::copy(std::uint64_t to, std::uint64_t from, std::size_t bytes) {
    const std::byte* source = at(from, bytes, Access::peek);
    std::byte* target = at(to, bytes, Access::peek);
    std::memmove(target, source, bytes);
    std::memmove(device_range().state(to), device_range().state(from), bytes);
}

std::string Memory::describe(std::uint64_t address) const {
    if (address == 0) return "the null pointer";
    if (!is_device(address)) {
        char text[64];
        std::snprintf(text, sizeof text, "a host address (0x%llx)",
                      static_cast<unsigned long long>(address));
        return text;
    }
    const std::lock_guard lock(buffers_->mutex);
    const auto name = [&](const auto& found) {
        return "buffer '" + found->second.what + "' (" + std::to_string(found->second.bytes) +
               " bytes)";
    };
    const auto live = Buffers::find(buffers_->live, address),
               freed = Buffers::find(buffers_->freed, address);
    if (live != buffers_->live.end() && address < Buffers::end(*live))
        return "byte " + std::to_string(address - live->first) + " of " + name(live);
    if (freed != buffers_->freed.end() && address < Buffers::end(*freed))
        return "byte " + std::to_string(address - freed->first) + " of the freed " + name(freed);
    const auto after = buffers_->live.upper_bound(address);
    if (after != buffers_->live.end() &&
        (live == buffers_->live.end() || after->first - address < address - Buffers::end(*live)))
        return std::to_string(after->first - address) + " bytes before " + name(after);
    if (live != buffers_->live.end())
        return std::to_string(address - Buffers::end(*live)) + " bytes past the end of " +
               name(live);
    return "an address of the device that no buffer holds";
}

std::size_t Memory::total_bytes() const {
    return kDeviceBytes;
}
std::size_t Memory::free_bytes() const {
    const std::lock_guard lock(buffers_->mutex);
    return kDeviceBytes - buffers_->used;
}
std::size_t Memory::live_buffers() const {
    const std::lock_guard lock(buffers_->mutex);
    return buffers_->live.size();
}

}  // namespace emulator
