// Instructions before registers have slots.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/emulator/ptx/decode/opcode.h"

namespace emulator {

struct Program;

struct Place {
    enum class Kind : std::uint8_t { reg, constant, special };
    Kind kind = Kind::reg;
    int index = 0;
};

struct Item {
    Handler run = nullptr;
    std::string_view opcode;
    std::vector<Place> places;
    std::size_t outputs = 0;  // the first of the places
    bool keeps = false;       // under a guard: what was in the outputs may stay
    std::int64_t immediate = 0;
    std::uint32_t extra = 0, kind = 0;
    int line = 0;
    std::vector<std::size_t> targets;  // of a branch, as indices of items
    bool falls_through = true;
};

// A kernel's instructions, widths of its registers, numbers of its constants and special registers.
struct Draft {
    std::vector<Item> items;
    std::vector<std::size_t> widths;
    std::map<std::pair<std::size_t, std::uint64_t>, int> constants;    // by width and bits
    std::map<std::pair<std::size_t, std::string_view>, int> specials;  // by width and name
};

struct Allocation {
    std::vector<std::uint32_t> slot;  // of each register
    std::size_t bytes = 0;
};

// Slots such that registers that are alive together have different ones; slots of one width are
// never reused for another, and an instruction with several outputs never shares one with its
// inputs.
Allocation allocate(const std::vector<Item>& items, const std::vector<std::size_t>& widths);

// Slots for everything.
std::unique_ptr<Program> encode(const Draft& draft);

}  // namespace emulator
