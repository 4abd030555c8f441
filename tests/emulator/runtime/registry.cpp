#include "tests/emulator/runtime/registry.h"

#include <cxxabi.h>

#include <cstdint>
#include <cstdlib>

#include "tests/emulator/runtime/fatbin.h"
#include "tests/emulator/runtime/status.h"

namespace emulator {

std::string readable(const std::string& name) {
    int status = 0;
    char* text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
    const std::string result = status == 0 ? text : name;
    std::free(text);
    return result;
}

const Module& Binary::module() {
    if (!module_) {
        if (fatbin_) ptx_ = ptx_of_image(fatbin_);
        module_ = Module::parse(ptx_);
        ptx_.clear();
    }
    return *module_;
}

const Kernel& Function::kernel() {
    if (!kernel_) kernel_ = binary->module().kernel(name);
    if (!kernel_) throw Refusal(Status::invalid_device_function, "no kernel " + readable(name));
    return *kernel_;
}

Binary* Registry::add_fatbin(const void* wrapper) {
    binaries_.push_back(std::make_unique<Binary>(wrapper));
    return binaries_.back().get();
}

// The caller may give its memory back.
Binary* Registry::add_image(const void* image) {
    binaries_.push_back(std::make_unique<Binary>(ptx_of_image(image)));
    return binaries_.back().get();
}

void Registry::add_function(Binary* binary, const void* host, const char* name) {
    auto function = std::make_unique<Function>();
    function->binary = binary;
    function->name = name;
    functions_[host] = std::move(function);
}

void Registry::add_variable(Binary* binary, const void* host, const char* name) {
    variables_[host] = {binary, name};
}

Function& Registry::function(const void* symbol) {
    if (const auto found = functions_.find(symbol); found != functions_.end()) return *found->second;
    for (const auto& [host, function] : functions_)
        if (function.get() == symbol) return *function;
    throw Refusal(Status::invalid_device_function, "no kernel was registered at this address");
}

Function& Registry::function(Binary* binary, const std::string& name) {
    for (const auto& [host, function] : functions_)
        if (function->binary == binary && function->name == name) return *function;
    auto function = std::make_unique<Function>();
    function->binary = binary;
    function->name = name;
    if (!binary->module().kernel(name)) throw Refusal(Status::symbol_not_found, name);
    Function& made = *function;
    functions_[function.get()] = std::move(function);
    return made;
}

std::uint64_t Registry::variable(const void* host, std::size_t* bytes) {
    const auto found = variables_.find(host);
    const std::uint64_t address =
        found == variables_.end() ? 0 : found->second.first->module().global(found->second.second, bytes);
    if (address == 0) throw Refusal(Status::invalid_symbol, "no variable was registered at this address");
    return address;
}

void Registry::unload(Binary* binary) {
    std::erase_if(functions_, [&](const auto& entry) { return entry.second->binary == binary; });
}

}  // namespace emulator
