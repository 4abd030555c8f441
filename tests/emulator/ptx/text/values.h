// Literals, and variables with what they hold at first.
#pragma once

#include <cstdint>

#include "tests/emulator/ptx/text/lexer.h"
#include "tests/emulator/ptx/text/syntax.h"

namespace emulator {

// A literal: 0fXXXXXXXX, 0dXXXXXXXXXXXXXXXX, decimal, hexadecimal, octal, binary, with U; or 1.5.
Operand number(Lexer& lexer);
std::uint64_t integer(Lexer& lexer);  // with its sign

// After the space's word: ".align 8 .b8 name[24][2] = {…}". The ';' is left.
Variable variable(Lexer& lexer, Space space);

}  // namespace emulator
