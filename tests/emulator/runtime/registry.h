// Modules, kernels and variables that the program has registered or loaded. A module is parsed when something
// of it is first asked for.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/emulator/ptx.h"

namespace emulator {

class Binary {
public:
    explicit Binary(std::string ptx) : ptx_(std::move(ptx)) {}
    explicit Binary(const void* fatbin) : fatbin_(fatbin) {}
    const Module& module();

private:
    std::string ptx_;
    const void* fatbin_ = nullptr;
    std::shared_ptr<const Module> module_;
};

// What a cudaKernel_t points to.
struct Function {
    Binary* binary = nullptr;
    std::string name;
    int dynamic_shared = 48 << 10;  // the most that a launch may ask for
    const Kernel& kernel();         // refuses a name that the module does not have

private:
    const Kernel* kernel_ = nullptr;
};

class Registry {
public:
    Binary* add_fatbin(const void* wrapper);
    Binary* add_image(const void* image);
    void add_function(Binary* binary, const void* host, const char* name);
    void add_variable(Binary* binary, const void* host, const char* name);

    // By the address of its host stub, or as a handle. Refuses what is neither.
    Function& function(const void* symbol);
    // Of a loaded library.
    Function& function(Binary* binary, const std::string& name);
    std::uint64_t variable(const void* host, std::size_t* bytes);
    // Its kernels are known no more; the module stays, since work may be under way.
    void unload(Binary* binary);

private:
    std::vector<std::unique_ptr<Binary>> binaries_;
    std::map<const void*, std::unique_ptr<Function>> functions_;  // by the host's address, or its own
    std::map<const void*, std::pair<Binary*, std::string>> variables_;
};

// A mangled name as a person reads it.
std::string readable(const std::string& name);

}  // namespace emulator
