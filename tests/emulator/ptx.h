// PTX, parsed once and executed by warps of 32 lanes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace emulator {

struct Dim3 {
    unsigned x = 1, y = 1, z = 1;
};

class Kernel;  // opaque: an entry of a module, decoded

class Module {
public:
    // Throws Fault with line and text of what is not understood. Global variables are placed in device memory here.
    static std::shared_ptr<const Module> parse(std::string_view ptx);
    virtual ~Module() = default;
    virtual const Kernel* kernel(std::string_view name) const = 0;  // nullptr: no such entry
    virtual std::vector<std::string> kernels() const = 0;
    virtual std::uint64_t global(std::string_view name, std::size_t* bytes) const = 0;  // 0: no such variable
};

struct KernelFacts {
    std::string name;
    std::size_t parameter_bytes = 0;             // of the packed parameter block
    std::vector<std::size_t> parameter_offsets;  // of each parameter in it
    std::vector<std::size_t> parameter_sizes;
    std::size_t shared_bytes = 0;  // static
    std::size_t local_bytes = 0;   // a thread
    int max_threads = 1024;        // .maxntid
    int registers = 0;             // an estimate: declared 32-bit equivalents are not what ptxas would give
};
const KernelFacts& facts(const Kernel& kernel);

struct Execution {
    int threads = 1;                 // host threads that blocks are spread over; results do not depend on it
    std::uint64_t order = 0;         // seed of the order of warps between barriers; 0: ascending
    bool check_races = true;         // in shared memory, between barriers
};

// Runs all blocks to their end. Throws Fault.
void execute(const Kernel& kernel, Dim3 grid, Dim3 block, std::size_t dynamic_shared,
             std::span<const std::byte> parameters, const Execution& execution = {});

// Opcodes with suffixes that have been executed in this process, and those that parsed modules hold.
struct Coverage {
    std::set<std::string> held, executed;
};
Coverage coverage();

}  // namespace emulator
