// An entry of a module, decoded when it is first asked for.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tests/emulator/ptx.h"
#include "tests/emulator/ptx/decode/program.h"
#include "tests/emulator/ptx/text/syntax.h"

namespace emulator {

// What a kernel's names stand for outside its body.
class Symbols {
public:
    virtual ~Symbols() = default;
    virtual const Variable* variable(std::string_view name) const = 0;
    virtual std::uint64_t address(std::string_view name) const = 0;  // of a global or constant one
};

class Kernel {
public:
    Kernel(const Symbols& symbols, const Entry& entry, std::string_view ptx)
        : symbols_(symbols), entry_(entry), ptx_(ptx) {}
    ~Kernel();

    std::string name() const { return std::string(entry_.name); }
    const Program& program() const;
    const KernelFacts& facts() const;
    std::string_view line(int number) const;  // text of the module
    bool launched() const;
    void cover(Coverage& into) const;
    // Blocks with their registers, kept between launches.
    std::unique_ptr<Block> take_block() const;
    void keep_block(std::unique_ptr<Block> block) const;

private:
    const Symbols& symbols_;
    const Entry& entry_;
    std::string_view ptx_;
    mutable std::mutex mutex_;
    mutable std::unique_ptr<const Program> program_;
    mutable KernelFacts facts_;
    mutable std::vector<std::unique_ptr<Block>> kept_;
};

}  // namespace emulator
