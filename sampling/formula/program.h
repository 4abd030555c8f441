// Expression graphs lowered to what runs: linear bytecode over tiles of trajectories on the CPU, and
// C++ source for run-time compilation on CUDA. Both come from one instruction list, so that in the
// portable mathematics both machines compute the same bits, in any lane width.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/lane/formula_code.h"
#include "kernels/lane/lane.h"
#include "sampling/formula/formula.h"

namespace microlift {

// Lanes an instruction works on at once: slot s of a tile is the kTile floats at slots + s*kTile.
// 256 lanes make the dispatch of an instruction cheap and keep 32 slots within 32 KiB of L1 cache.
inline constexpr int kTile = 256;

struct ProgramOutput {
    enum class Kind : std::uint8_t { constant, input, slot };
    Kind kind = Kind::constant;
    std::int32_t slot = -1;  // of an input: the input's own slot
    float value = 0.0f;      // of a constant
};

struct Program {
    int inputs = 0;  // slots 0 … inputs−1; never written
    int slots = 0;   // in all
    std::vector<Instruction> instructions;
    std::vector<ProgramOutput> outputs;

    bool is_constant(std::size_t output) const {
        return outputs[output].kind == ProgramOutput::Kind::constant;
    }
    std::size_t tile_floats() const { return static_cast<std::size_t>(slots) * kTile; }
};

// Throws FormulaError if a constant does not fit single precision.
Program lower(const Expressions& graph, std::span<const NodeId> outputs, int inputs);

// Runs the program on the first `lanes` lanes (rounded up to the native width) of a tile; `slots` is
// aligned to 64 bytes and holds program.tile_floats() floats, the inputs filled in.
void execute(const Program& program, float* slots, int lanes = kTile);

// One point, at width 1: the same bits as one lane of execute().
void execute_scalar(const Program& program, const float* inputs, float* outputs);

// The program as C++ statements on a lane type L with policy M. inputs[i] and outputs[o] are the
// expressions to read and assign ("x[0]", "f[1]"); an output with an empty string is not assigned, and
// what only such outputs need is left out. The others keep the bits of the whole program.
std::string source_statements(const Program& program, std::span<const std::string> inputs,
                              std::span<const std::string> outputs);
// A float literal that reads back as the same float, in any locale.
std::string source_literal(float value);

}  // namespace microlift
