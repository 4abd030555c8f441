// What a block needs before it runs.
#pragma once

#include "tests/emulator/ptx/decode/program.h"
#include "tests/emulator/ptx/run/warp.h"

namespace emulator {

// Registers, local and shared memory for the blocks of a launch.
void prepare(Block& b, const Program& program, Dim3 grid, Dim3 size, std::size_t dynamic_shared);

// A block at its beginning: all lanes at the first instruction, nothing written yet.
void start(Block& b, const Program& program);

}  // namespace emulator
