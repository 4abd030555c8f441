// The state behind the runtime's calls: streams, modules, allocations, errors. One lock for all of it.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "tests/emulator/memory.h"
#include "tests/emulator/ptx.h"
#include "tests/emulator/runtime/registry.h"
#include "tests/emulator/runtime/streams.h"

namespace emulator {

struct Options {
    std::uint64_t seed = 0;  // EMULATOR_SEED: the order in which streams are served
    int threads = 1;         // EMULATOR_THREADS: over the blocks of a launch
    int devices = 1;         // EMULATOR_DEVICES
    bool broken = false;     // EMULATOR_BROKEN=1: they are counted, and do nothing else
    bool go_on = false;      // EMULATOR_FAULT=report: errors as CUDA gives them; else a fault aborts
    bool notes = false;      // EMULATOR_NOTES=1: at the end, work that was never done, and opcodes not executed
    std::string coverage;    // EMULATOR_COVERAGE: a folder that gets, at the end, what was executed
    bool whole_warps = false;  // EMULATOR_WHOLE_WARPS=1: lanes there that wait count, too
    static Options read();
};

struct Launch {
    Function* function = nullptr;
    Dim3 grid, block;
    std::size_t dynamic_shared = 0;
    void** arguments = nullptr;
};

class Runtime {
public:
    static Runtime& get();  // never destroyed: programs call it until their very end

    // Does a call: the lock, what the device does meanwhile, and the errors.
    template <class Body>
    int call(const char* name, const Body& body) {
        const std::lock_guard lock(mutex_);
        return guarded(name, body);
    }

    Streams streams;
    Registry registry;
    const Options options;

    // --- memory (allocations.cpp) ---
    std::uint64_t allocate(std::size_t bytes, const char* call);
    void* allocate_pinned(std::size_t bytes);
    void free_pinned(void* data);
    bool is_pinned(const void* data, std::size_t bytes) const;
    void copy(void* to, const void* from, std::size_t bytes, int kind, Stream& stream);
    void copy_now(void* to, const void* from, std::size_t bytes, int kind);
    void fill(void* to, int value, std::size_t bytes, Stream& stream);

    void launch(const Launch& launch, Stream& stream);

    // --- errors ---
    int take_error();
    int peek_error() const;
    const char* error_text(int status) const;

    int device() const;
    void set_device(int ordinal);

private:
    Runtime();
    int guarded(const char* name, const std::function<void()>& body);
    int fault(const std::string& message);

    std::recursive_mutex mutex_;
    int sticky_ = 0;
    std::string sticky_text_;
    std::map<const std::byte*, std::size_t> pinned_;
    int allocated_ = 0;
};

// Tells, where the host touches device memory, which buffer that was.
void watch_host_accesses();

}  // namespace emulator
