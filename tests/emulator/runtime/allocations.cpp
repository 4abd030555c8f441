// Memory of the device and of the host, copies between them. How a copy is ordered: CUDA runtime API, "API
// synchronization behavior".
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "tests/emulator/fault.h"
#include "tests/emulator/runtime/runtime.h"

namespace emulator {

namespace {

enum Kind { kHostToHost, kHostToDevice, kDeviceToHost, kDeviceToDevice, kDefault };  // CUDA's numbers

std::uint64_t address_of(const void* data) { return reinterpret_cast<std::uint64_t>(data); }

bool on_device(const void* data) { return Memory::is_device(address_of(data)); }

std::byte* bytes_of(const void* data, std::size_t bytes, Access access) {
    if (on_device(data)) return Memory::device().at(address_of(data), bytes, access);
    return static_cast<std::byte*>(const_cast<void*>(data));
}

// What work is known to use: of these two, what lies on the device.
std::vector<Use> uses_of(const void* to, const void* from, std::size_t bytes) {
    std::vector<Use> uses;
    if (on_device(to)) uses.push_back({address_of(to), bytes, true});
    if (on_device(from)) uses.push_back({address_of(from), bytes, false});
    return uses;
}

const char* side(bool device) { return device ? "device" : "host"; }

}  // namespace

std::uint64_t Runtime::allocate(std::size_t bytes, const char* call) {
    return Memory::device().allocate(bytes, std::string(call) + " " + std::to_string(++allocated_));
}

void* Runtime::allocate_pinned(std::size_t bytes) {
    void* data = std::aligned_alloc(4096, (std::max<std::size_t>(bytes, 1) + 4095) / 4096 * 4096);
    if (!data) throw std::bad_alloc();
    pinned_[static_cast<std::byte*>(data)] = bytes;
    return data;
}

void Runtime::free_pinned(void* data) {
    if (!data) return;
    if (pinned_.erase(static_cast<std::byte*>(data)) == 0)
        throw Refusal(Status::invalid_value, "no pinned memory starts there");
    streams.scheduler().finish_all();
    std::free(data);
}

bool Runtime::is_pinned(const void* data, std::size_t bytes) const {
    const auto* at = static_cast<const std::byte*>(data);
    auto after = pinned_.upper_bound(at);
    if (after == pinned_.begin()) return false;
    --after;
    return at + bytes <= after->first + after->second;
}

void Runtime::copy_now(void* to, const void* from, std::size_t bytes, int kind) {
    if (bytes == 0) return;
    const bool to_device = on_device(to), from_device = on_device(from);
    const bool as_said = kind == kDefault || kind == (from_device ? 2 : 0) + (to_device ? 1 : 0);
    if (!as_said)
        throw Fault(std::string("a copy from ") + side(from_device) + " to " + side(to_device) +
                    " memory, which its kind denies");
    const std::uint64_t a = address_of(from), b = address_of(to);
    if (a < b + bytes && b < a + bytes)
        throw Fault("a copy between overlapping ranges of " + Memory::device().describe(a));
    if (to_device && from_device) return Memory::device().copy(b, a, bytes);
    const std::byte* source = bytes_of(from, bytes, Access::read);
    std::memcpy(bytes_of(to, bytes, Access::write), source, bytes);
}

void Runtime::copy(void* to, const void* from, std::size_t bytes, int kind, Stream& stream) {
    const Task task{"copy of " + std::to_string(bytes) + " bytes", uses_of(to, from, bytes)};
    const bool pageable_to = !on_device(to) && !is_pinned(to, bytes);
    const bool pageable_from = !on_device(from) && !is_pinned(from, bytes);
    const auto later = [this, to, from, bytes, kind] { copy_now(to, from, bytes, kind); };
    if (stream.capture || (!pageable_to && !pageable_from)) {
        streams.submit(stream, task, later);
    } else if (pageable_to || options.seed % 2) {
        // To pageable memory: the call returns after the copy. From it: the driver may wait, too, …
        streams.submit(stream, task, later);
        streams.finish(stream);
    } else {
        // … or stage the bytes and return.
        const auto* first = static_cast<const std::byte*>(from);
        const std::vector<std::byte> staged(first, first + bytes);
        if (kind == kDeviceToHost || kind == kDeviceToDevice) return later();  // says what is wrong
        streams.submit(stream, task, [this, to, staged] {
            copy_now(to, staged.data(), staged.size(), kHostToDevice);
        });
    }
}

void Runtime::fill(void* to, int value, std::size_t bytes, Stream& stream) {
    if (bytes == 0) return;
    if (!on_device(to) && !is_pinned(to, bytes))
        throw Refusal(Status::invalid_value, "the target is pageable host memory");
    streams.submit(stream, {"memset of " + std::to_string(bytes) + " bytes", uses_of(to, nullptr, bytes)},
                   [to, value, bytes] {
        std::memset(bytes_of(to, bytes, Access::write), value, bytes);
    });
}

}  // namespace emulator
