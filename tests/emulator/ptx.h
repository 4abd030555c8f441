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
#include <utility>
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
    bool whole_warps = false;        // what some lanes of a warp execute counts as executed by all
};

// Runs all blocks to their end. Throws Fault.
void execute(const Kernel& kernel, Dim3 grid, Dim3 block, std::size_t dynamic_shared,
             std::span<const std::byte> parameters, const Execution& execution = {});

// What parsed modules hold, and what of it has been executed in this process. An instruction under a guard counts
// when it is reached.
struct Coverage {
    struct Entry {
        std::vector<std::string> opcodes;  // with suffixes, of each instruction
        std::vector<std::uint64_t> executed;  // lanes that have reached it
        bool launched() const { return !executed.empty() && executed[0] > 0; }
    };
    // By name and `digest`: texts of one name may differ.
    std::map<std::pair<std::string, std::uint64_t>, Entry> entries;

    void add(const std::string& name, Entry entry);
    std::set<std::string> held() const, executed() const;  // opcodes
};
Coverage coverage(bool launched_alone = false);
std::uint64_t digest(const std::vector<std::string>& opcodes);

}  // namespace emulator
