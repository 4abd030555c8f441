#include "tests/emulator/ptx/text/values.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <map>

namespace emulator {

Type type_named(std::string_view name) {
    // Never destroyed: bodies are parsed until the very end of a program.
    static const auto& types = *new const std::map<std::string_view, Type>{
        {"pred", Type::pred},     {"b8", Type::b8},     {"u8", Type::u8},
        {"s8", Type::s8},         {"b16", Type::b16},   {"u16", Type::u16},
        {"s16", Type::s16},       {"f16", Type::f16},   {"bf16", Type::bf16},
        {"b32", Type::b32},       {"u32", Type::u32},   {"s32", Type::s32},
        {"f32", Type::f32},       {"tf32", Type::tf32}, {"f16x2", Type::f16x2},
        {"bf16x2", Type::bf16x2}, {"b64", Type::b64},   {"u64", Type::u64},
        {"s64", Type::s64},       {"f64", Type::f64},   {"b128", Type::b128}};
    const auto found = types.find(name);
    return found == types.end() ? Type::none : found->second;
}

namespace {

template <class T>
T parse_with(Lexer& lexer, std::string_view digits, int base) {
    T value{};
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (result.ec != std::errc{} || result.ptr != digits.data() + digits.size())
        lexer.fail("not a number");
    return value;
}

}  // namespace

Operand number(Lexer& lexer) {
    Operand result;
    result.kind = Operand::Kind::integer;
    std::string_view text = lexer.peek().text;
    const std::string_view head = text.substr(0, 2);
    if (head == "0f" || head == "0F") {
        result.kind = Operand::Kind::real;
        result.real = static_cast<double>(
            std::bit_cast<float>(parse_with<std::uint32_t>(lexer, text.substr(2), 16)));
    } else if (head == "0d" || head == "0D") {
        result.kind = Operand::Kind::real;
        result.real = std::bit_cast<double>(parse_with<std::uint64_t>(lexer, text.substr(2), 16));
    } else if (head == "0x" || head == "0X") {
        if (text.back() == 'U') text.remove_suffix(1);
        result.bits = parse_with<std::uint64_t>(lexer, text.substr(2), 16);
    } else if (text.find('.') != text.npos) {
        result.kind = Operand::Kind::real;
        const auto end = std::from_chars(text.data(), text.data() + text.size(), result.real);
        if (end.ec != std::errc{} || end.ptr != text.data() + text.size())
            lexer.fail("not a number");
    } else {
        if (text.back() == 'U') text.remove_suffix(1);
        const int base = head == "0b" || head == "0B"        ? 2
                         : text.size() > 1 && text[0] == '0' ? 8
                                                             : 10;
        result.bits = parse_with<std::uint64_t>(lexer, base == 2 ? text.substr(2) : text, base);
    }
    lexer.take();
    return result;
}

std::uint64_t integer(Lexer& lexer) {
    const bool minus = lexer.accept("-");
    const Operand n = number(lexer);
    if (n.kind != Operand::Kind::integer) lexer.fail("an integer is expected here");
    return minus ? 0 - n.bits : n.bits;
}

namespace {

void store(Variable& v, std::size_t at, const Operand& value, Type type) {
    std::byte bytes[8];
    const float single = static_cast<float>(value.real);
    if (value.kind != Operand::Kind::real) {
        std::memcpy(bytes, &value.bits, 8);
    } else if (width(type) == 4) {
        std::memcpy(bytes, &single, 4);
    } else {
        std::memcpy(bytes, &value.real, 8);
    }
    std::memcpy(v.initial.data() + at, bytes, width(type));
}

void initial_values(Lexer& lexer, Variable& v, Type type, std::size_t& at) {
    if (lexer.accept("{")) {
        do {
            initial_values(lexer, v, type, at);
        } while (lexer.accept(","));
        lexer.expect("}");
        return;
    }
    if (at + width(type) > v.bytes) lexer.fail("more initial values than the variable holds");
    if (lexer.peek().kind == Token::Kind::word) {
        Variable::Reference r{at, lexer.take().text, 0, false};
        if (r.name == "generic") {
            r.generic = true;
            lexer.expect("(");
            r.name = lexer.word().text;
            lexer.expect(")");
        }
        if (lexer.accept("+")) r.plus = static_cast<std::int64_t>(integer(lexer));
        v.references.push_back(r);
    } else {
        const bool minus = lexer.accept("-");
        Operand n = number(lexer);
        if (minus) n.bits = 0 - n.bits, n.real = -n.real;
        store(v, at, n, type);
    }
    at += width(type);
}

}  // namespace

Variable variable(Lexer& lexer, Space space) {
    Variable v;
    v.space = space;
    std::size_t count = 1;
    Type type = Type::none;
    for (;;) {
        const std::string_view word = lexer.word().text;
        if (word == ".align") {
            v.align = integer(lexer);
        } else if (word == ".v2" || word == ".v4") {
            count = word == ".v2" ? 2 : 4;
        } else if (word == ".ptr" || word == ".global" || word == ".const" || word == ".shared" ||
                   word == ".local" || word == ".param" || word == ".generic") {
        } else if (word == ".attribute") {
            lexer.expect("(");
            while (!lexer.accept(")")) lexer.take();
        } else if (word[0] == '.') {
            type = type_named(word.substr(1));
            if (type == Type::none || type == Type::pred) lexer.fail("not a type of a variable");
        } else {
            v.name = word;
            break;
        }
    }
    if (type == Type::none) lexer.fail("a variable without a type");
    v.element = width(type);
    v.align = std::max(v.align, v.element * (count > 1 ? count : 1));
    while (lexer.accept("[")) {
        if (lexer.accept("]")) {
            v.is_extern = true;
            count = 0;
            continue;
        }
        count *= integer(lexer);
        lexer.expect("]");
    }
    v.bytes = count * width(type);
    v.initial.assign(space == Space::global || space == Space::constant ? v.bytes : 0,
                     std::byte{0});
    std::size_t at = 0;
    if (lexer.accept("=")) initial_values(lexer, v, type, at);
    return v;
}

}  // namespace emulator
