// An opcode taken apart, and what the classes of instructions make of it.
#pragma once

#include <string_view>
#include <vector>

#include "tests/emulator/ptx/run/warp.h"
#include "tests/emulator/ptx/text/syntax.h"

namespace emulator {

// "cvt.rn.f32.s32": base "cvt", parts {"rn", "f32", "s32"}, types {f32, s32}.
struct Opcode {
    explicit Opcode(std::string_view text);
    std::string_view text, base;
    std::vector<std::string_view> parts;
    std::vector<Type> types;

    bool has(std::string_view part) const;
    Type type(std::size_t k = 0) const { return k < types.size() ? types[k] : Type::none; }
};

// Widths of a statement's operands in bytes, by their parts; 0: not a register.
struct Shape {
    std::vector<std::vector<std::size_t>> widths;
    std::size_t operands() const { return widths.size(); }
    std::size_t parts(std::size_t operand) const {
        return operand < widths.size() ? widths[operand].size() : 0;
    }
    std::size_t width(std::size_t operand) const { return parts(operand) ? widths[operand][0] : 0; }
};

struct Operation {
    Handler run = nullptr;  // nullptr: not of this class
    std::vector<Type>
        types;  // of each operand, or of each part of one; registers must have just this width
    int outputs = 1;          // how many operands, from the first, are written
    bool parts_ways = false;  // ends, waits or branches: a guard becomes a branch around it
    bool loose = false;       // registers may be wider than their type (ld, st, cvt)
    std::uint32_t extra = 0;
    std::int64_t immediate = 0;
    std::uint32_t kind = 0;  // of an access
};
inline constexpr std::uint32_t kStrongAccess = 16;  // in kind: volatile, relaxed, acquire, release

Operation select_move(const Opcode&, const Shape&);
Operation select_float(const Opcode&, const Shape&);
Operation select_approximate(const Opcode&, const Shape&);
Operation select_integer(const Opcode&, const Shape&);
Operation select_bits(const Opcode&, const Shape&);
Operation select_compare(const Opcode&, const Shape&);
Operation select_convert(const Opcode&, const Shape&);
Operation select_memory(const Opcode&, const Shape&);
Operation select_atomic(const Opcode&, const Shape&);
Operation select_control(const Opcode&, const Shape&);
Operation select_exchange(const Opcode&, const Shape&);
Operation select_product(const Opcode&, const Shape&);

// Of all classes; run is nullptr where none knows the opcode.
Operation select(const Opcode& opcode, const Shape& shape);

// Instructions that the decoder itself puts in.
extern const Handler kJoin;    // where paths may meet
extern const Handler kGuard;   // runs the next one for lanes where slot[0] holds (extra: holds not)
extern const Handler kBranch;  // all active lanes; by `immediate` instructions
extern const Handler kBranchIf;  // those where slot[0] holds (extra: holds not)
extern const Handler kEnd;       // past the last instruction
extern const Handler kNot;       // slot[0] = not slot[1], predicates

}  // namespace emulator
