#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <set>

#include "tests/emulator/fault.h"
#include "tests/emulator/memory.h"
#include "tests/emulator/ptx/decode/kernel.h"

namespace emulator {

namespace {

class PtxModule;

// What has been executed outlives its module.
struct Registry {
    std::mutex mutex;
    std::set<const PtxModule*> modules;
    Coverage past;
};
Registry& registry() {
    static Registry& all = *new Registry;
    return all;
}

class PtxModule : public Module, public Symbols {
public:
    explicit PtxModule(std::string_view ptx) : ptx_(ptx.substr(0, ptx.find('\0'))) {
        text_ = parse_module(ptx_);
        for (const Variable& v : text_.variables) {
            variables_[v.name] = &v;
            if (v.space != Space::shared && !v.is_extern)
                addresses_[v.name] =
                    Memory::device().allocate(v.bytes, "variable " + std::string(v.name));
        }
        for (const Variable& v : text_.variables)
            if (addresses_.contains(v.name)) initialise(v);
        for (const Entry& e : text_.entries)
            if (e.has_body) kernels_.try_emplace(e.name, std::make_unique<Kernel>(*this, e, ptx_));
        const std::lock_guard lock(registry().mutex);
        registry().modules.insert(this);
    }
    ~PtxModule() override {
        {
            const std::lock_guard lock(registry().mutex);
            registry().modules.erase(this);
            cover(registry().past, false);
        }
        for (const auto& [name, address] : addresses_) Memory::device().free(address);
    }

    const Kernel* kernel(std::string_view name) const override {
        const auto found = kernels_.find(name);
        return found == kernels_.end() ? nullptr : found->second.get();
    }
    std::vector<std::string> kernels() const override {
        std::vector<std::string> names;
        for (const Entry& e : text_.entries) names.emplace_back(e.name);
        return names;
    }
    std::uint64_t global(std::string_view name, std::size_t* bytes) const override {
        const auto found = addresses_.find(name);
        if (found == addresses_.end()) return 0;
        if (bytes) *bytes = variables_.find(name)->second->bytes;
        return found->second;
    }

    const Variable* variable(std::string_view name) const override {
        const auto found = variables_.find(name);
        return found == variables_.end() ? nullptr : found->second;
    }
    std::uint64_t address(std::string_view name) const override { return global(name, nullptr); }

    void cover(Coverage& into, bool launched_alone) const {
        for (const auto& [name, kernel] : kernels_)
            if (!launched_alone || kernel->launched()) kernel->cover(into);
    }

private:
    void initialise(const Variable& v) {
        std::vector<std::byte> bytes = v.initial;
        for (const Variable::Reference& r : v.references) {
            const std::uint64_t value = address(r.name) + static_cast<std::uint64_t>(r.plus);
            std::memcpy(bytes.data() + r.offset, &value, std::min<std::size_t>(8, v.element));
        }
        if (!bytes.empty())
            std::memcpy(Memory::device().at(addresses_[v.name], bytes.size(), Access::write),
                        bytes.data(), bytes.size());
    }

    const std::string ptx_;
    ModuleText text_;
    std::map<std::string_view, const Variable*> variables_;
    std::map<std::string_view, std::uint64_t> addresses_;
    std::map<std::string_view, std::unique_ptr<Kernel>> kernels_;
};

}  // namespace

std::shared_ptr<const Module> Module::parse(std::string_view ptx) {
    return std::make_shared<const PtxModule>(ptx);
}

Coverage coverage(bool launched_alone) {
    const std::lock_guard lock(registry().mutex);
    Coverage result = registry().past;
    for (const PtxModule* m : registry().modules) m->cover(result, launched_alone);
    return result;
}

}  // namespace emulator
