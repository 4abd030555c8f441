// A kernel's instructions, with slots for its registers and constants.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "tests/emulator/ptx/run/warp.h"
#include "tests/emulator/ptx/text/syntax.h"

namespace emulator {

class Symbols;

struct Program {
    std::vector<Instruction> code;
    std::vector<std::string_view> opcodes;      // of each instruction; "" for those of the decoder
    mutable std::vector<std::uint64_t> entered;  // of blocks that have run, as theirs
    std::vector<std::unique_ptr<std::uint32_t[]>> lists;
    std::vector<std::unique_ptr<std::int32_t[]>> tables;  // of indirect branches
    std::size_t file_bytes = 0;                           // registers of a warp
    std::size_t live_bytes = 0;                           // of these, what registers need
    std::size_t shared_bytes = 0, local_bytes = 0;
    bool ordered = false;  // blocks may tell each other something: they run one after another

    struct Constant {
        std::uint32_t slot;
        std::uint32_t width;
        std::uint64_t bits;
    };
    std::vector<Constant> constants;
    struct Special {
        std::uint32_t slot;
        std::string_view name;
    };
    std::vector<Special> specials;
};

// Throws Fault with the line and the text of what is not understood.
std::unique_ptr<const Program> decode(const Symbols& symbols, const Entry& entry, Body body);

}  // namespace emulator
