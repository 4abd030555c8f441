// Global memory of the emulated device. Its addresses are a reserved range of this process in which nothing is
// mapped, so that the host stops where it reads a device pointer; the bytes lie elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace emulator {

// update: an atomic, which reads what must have been written; peek: bounds alone, for whole copies to the host whose
// padding nobody wrote.
enum class Access { read, write, update, peek };

class Memory {
public:
    static Memory& device();

    // A buffer of never-written bytes, aligned to 256, with a gap to its neighbours. Throws std::bad_alloc where the
    // device is full. `what` names it in messages.
    std::uint64_t allocate(std::size_t bytes, const std::string& what);
    // Throws Fault for an address that no buffer starts at (twice freed, never allocated).
    void free(std::uint64_t address);
    // Whether the address lies in the device's range, mapped or not.
    static bool is_device(std::uint64_t address);

    // Where the bytes lie. Throws Fault beyond a buffer's bounds, in a freed buffer, for a host address, for an address
    // that is no multiple of `alignment`, and for a read of bytes never written. The caller completes the
    // message with who asked.
    std::byte* at(std::uint64_t address, std::size_t bytes, Access access, std::size_t alignment = 1);
    // Copies bytes inside the device; those never written stay so.
    void copy(std::uint64_t to, std::uint64_t from, std::size_t bytes);
    // "byte 12 of buffer 'weights' (64 bytes)", "64 bytes past …", "a host address", for messages.
    std::string describe(std::uint64_t address) const;

    std::size_t total_bytes() const;
    std::size_t free_bytes() const;
    std::size_t live_buffers() const;

private:
    Memory();
    struct Buffers;
    std::unique_ptr<Buffers> buffers_;
};

}  // namespace emulator
