// PTX as the parser gives it: names of registers resolved, opcodes not yet understood. Texts point
// into the module's own.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace emulator {

enum class Type : std::uint8_t {
    none,
    pred,
    b8,
    u8,
    s8,
    b16,
    u16,
    s16,
    f16,
    bf16,
    b32,
    u32,
    s32,
    f32,
    tf32,
    f16x2,
    bf16x2,
    b64,
    u64,
    s64,
    f64,
    b128
};

constexpr std::size_t width(Type t) {  // bytes
    if (t >= Type::b128) return 16;
    if (t >= Type::b64) return 8;
    if (t >= Type::b32) return 4;
    if (t >= Type::b16) return 2;
    if (t >= Type::b8) return 1;
    return t == Type::pred ? 4 : 0;  // a word a lane: all bits or none
}
constexpr bool is_signed(Type t) {
    return t == Type::s8 || t == Type::s16 || t == Type::s32 || t == Type::s64;
}
constexpr bool is_float(Type t) {
    return t == Type::f16 || t == Type::bf16 || t == Type::f32 || t == Type::tf32 || t == Type::f64;
}
// "u32" and the like; none for anything else.
Type type_named(std::string_view name);

struct Register {
    std::string_view name;  // without the number of a range
    Type type = Type::none;
};

struct Operand {
    enum class Kind { reg, integer, real, name, address, list, pair, sink };
    Kind kind = Kind::sink;
    int reg = -1;
    bool negated = false;    // a predicate's !
    std::uint64_t bits = 0;  // integer
    double real = 0.0;
    std::string_view name;       // symbol, label or special register
    std::int64_t offset = 0;     // address, or symbol + offset
    std::vector<Operand> parts;  // list; pair d|p; address: what it starts from
};

struct Statement {
    std::string_view opcode;  // "": a label, `label`
    std::string_view label;
    std::vector<Operand> operands;
    int guard = -1;  // register of @p
    bool guard_negated = false;
    int line = 0;
    std::uint64_t used_bytes = ~std::uint64_t{0};  // .pragma "used_bytes_mask" before it
};

enum class Space : std::uint8_t { generic, global, constant, shared, local, param };

struct Variable {
    std::string_view name;
    Space space = Space::global;
    std::size_t align = 1, bytes = 0, element = 1;
    std::size_t place = 0;   // a parameter's, in their block
    bool is_extern = false;  // .extern .shared: the dynamic part
    std::vector<std::byte> initial;
    struct Reference {
        std::size_t offset;
        std::string_view name;
        std::int64_t plus;
        bool generic;
    };
    std::vector<Reference> references;  // initial values that are addresses
};

struct Body {
    std::vector<Register> registers;
    std::vector<Statement> statements;
    std::vector<Variable> variables;  // shared, local
    struct Targets {
        std::string_view name;
        std::vector<std::string_view> labels;
    };
    std::vector<Targets> targets;  // .branchtargets
};

struct Entry {
    std::string_view name, body;  // body: text between the braces
    int line = 0;                 // of the body's start
    std::vector<Variable> parameters;
    int max_threads = 1024;
    bool has_body = true;
};

struct ModuleText {
    std::vector<Entry> entries;
    std::vector<Variable> variables;
};

// Both throw Fault with the line and the text there.
ModuleText parse_module(std::string_view ptx);
Body parse_body(std::string_view body, int line);

}  // namespace emulator
