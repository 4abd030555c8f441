#include <bit>
#include <charconv>
#include <cstring>
#include <map>
#include <utility>

#include "tests/emulator/ptx/text/lexer.h"
#include "tests/emulator/ptx/text/syntax.h"

namespace emulator {

Type type_named(std::string_view name) {
    static const std::map<std::string_view, Type> types{
        {"pred", Type::pred}, {"b8", Type::b8},     {"u8", Type::u8},       {"s8", Type::s8},
        {"b16", Type::b16},   {"u16", Type::u16},   {"s16", Type::s16},     {"f16", Type::f16},
        {"bf16", Type::bf16}, {"b32", Type::b32},   {"u32", Type::u32},     {"s32", Type::s32},
        {"f32", Type::f32},   {"tf32", Type::tf32}, {"f16x2", Type::f16x2}, {"bf16x2", Type::bf16x2},
        {"b64", Type::b64},   {"u64", Type::u64},   {"s64", Type::s64},     {"f64", Type::f64},
        {"b128", Type::b128}};
    const auto found = types.find(name);
    return found == types.end() ? Type::none : found->second;
}

namespace {

template <class T>
T parse_with(Lexer& lexer, std::string_view digits, int base) {
    T value{};
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (result.ec != std::errc{} || result.ptr != digits.data() + digits.size()) lexer.fail("not a number");
    return value;
}

// A literal: 0fXXXXXXXX, 0dXXXXXXXXXXXXXXXX, decimal, hexadecimal, octal, binary, with U; or 1.5.
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
        if (end.ec != std::errc{} || end.ptr != text.data() + text.size()) lexer.fail("not a number");
    } else {
        if (text.back() == 'U') text.remove_suffix(1);
        const int base = head == "0b" || head == "0B" ? 2 : text.size() > 1 && text[0] == '0' ? 8 : 10;
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

// After the space's word: ".align 8 .b8 name[24][2] = {…}". The ';' is left.
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
        } else if (word == ".ptr" || word == ".global" || word == ".const" || word == ".shared" || word == ".local" ||
                   word == ".param" || word == ".generic") {
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
    v.initial.assign(space == Space::global || space == Space::constant ? v.bytes : 0, std::byte{0});
    std::size_t at = 0;
    if (lexer.accept("=")) initial_values(lexer, v, type, at);
    return v;
}

class BodyParser {
public:
    BodyParser(std::string_view text, int line) : lexer_(text, line) { scopes_.emplace_back(); }

    Body parse() {
        while (lexer_.peek().kind != Token::Kind::end) item();
        return std::move(body_);
    }

private:
    struct Range {
        int first, count;  // count −1: the name alone
    };
    using Scope = std::map<std::string_view, Range>;

    void item() {
        if (lexer_.accept(";")) return;
        if (lexer_.accept("{")) {
            scopes_.emplace_back();
        } else if (lexer_.accept("}")) {
            if (scopes_.size() == 1) lexer_.fail("a brace too many");
            scopes_.pop_back();
        } else if (lexer_.peek().text[0] == '.') {
            directive();
        } else {
            statement();
        }
    }

    void directive() {
        const std::string_view word = lexer_.peek().text;
        if (word == ".loc" || word == ".file") return lexer_.skip_line();
        lexer_.take();
        if (word == ".reg") {
            registers();
        } else if (word == ".shared" || word == ".local") {
            body_.variables.push_back(variable(lexer_, word == ".shared" ? Space::shared : Space::local));
        } else if (word == ".param") {  // of a call
            variable(lexer_, Space::param);
        } else if (word == ".pragma") {
            const std::string_view text = lexer_.take().text, mask = "used_bytes_mask ";
            if (text.starts_with(mask)) {
                Lexer value(text.substr(mask.size()), lexer_.peek().line);
                used_bytes_ = integer(value);
            }
        } else {
            lexer_.fail("directive not understood");
        }
        lexer_.expect(";");
    }

    void registers() {
        const Type type = type_named(lexer_.word().text.substr(1));
        if (type == Type::none) lexer_.fail("not a type of a register");
        do {
            const std::string_view name = lexer_.word().text;
            int count = -1;
            if (lexer_.accept("<")) {
                count = static_cast<int>(integer(lexer_));
                lexer_.expect(">");
            }
            scopes_.back()[name] = {static_cast<int>(body_.registers.size()), count};
            body_.registers.resize(body_.registers.size() + static_cast<std::size_t>(std::max(count, 1)),
                                   {name, type});
        } while (lexer_.accept(","));
    }

    // −1: no register of this name.
    int find(std::string_view name) const {
        std::size_t digits = name.size();
        while (digits > 0 && name[digits - 1] >= '0' && name[digits - 1] <= '9') --digits;
        for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
            if (const auto exact = scope->find(name); exact != scope->end() && exact->second.count < 0)
                return exact->second.first;
            const auto range = scope->find(name.substr(0, digits));
            if (digits == name.size() || range == scope->end()) continue;
            int number = 0;
            std::from_chars(name.data() + digits, name.data() + name.size(), number);
            if (number < range->second.count) return range->second.first + number;
        }
        return -1;
    }

    void statement() {
        Statement s;
        s.line = lexer_.peek().line;
        if (lexer_.accept("@")) {
            s.guard_negated = lexer_.accept("!");
            s.guard = find(lexer_.word().text);
            if (s.guard < 0) lexer_.fail("an unknown predicate");
        }
        const Token word = lexer_.word();
        if (s.guard < 0 && lexer_.accept(":")) return label(word);
        s.opcode = word.text;
        s.used_bytes = used_bytes_;
        used_bytes_ = ~std::uint64_t{0};
        if (s.opcode == "call" || s.opcode.starts_with("call.")) return call(std::move(s));
        if (!lexer_.peek().is(";")) {
            do {
                s.operands.push_back(operand());
            } while (lexer_.accept(","));
        }
        if (lexer_.peek().is("}") && word.text.size()) return body_.statements.push_back(std::move(s));
        lexer_.expect(";");
        body_.statements.push_back(std::move(s));
    }

    void label(const Token& word) {
        if (lexer_.accept(".branchtargets")) {
            Body::Targets targets{word.text, {}};
            do {
                targets.labels.push_back(lexer_.word().text);
            } while (lexer_.accept(","));
            body_.targets.push_back(std::move(targets));
            return lexer_.expect(";");
        }
        Statement s;
        s.label = word.text;
        s.line = word.line;
        body_.statements.push_back(std::move(s));
    }

    // The function's name alone: nothing is called here, see control.cpp.
    void call(Statement s) {
        Operand name;
        name.kind = Operand::Kind::name;
        int depth = 0;
        while (!lexer_.peek().is(";")) {
            const Token t = lexer_.take();
            depth += t.is("(") - t.is(")");
            if (depth == 0 && t.kind == Token::Kind::word && name.name.empty()) name.name = t.text;
            if (t.kind == Token::Kind::end) lexer_.fail("a call without its end");
        }
        lexer_.expect(";");
        s.operands.push_back(name);
        body_.statements.push_back(std::move(s));
    }

    Operand operand() {
        Operand first = simple();
        if (!lexer_.accept("|")) return first;
        Operand pair;
        pair.kind = Operand::Kind::pair;
        pair.parts = {first, simple()};
        return pair;
    }

    Operand simple() {
        Operand o;
        if (lexer_.accept("{")) {
            o.kind = Operand::Kind::list;
            do {
                o.parts.push_back(simple());
            } while (lexer_.accept(","));
            lexer_.expect("}");
            return o;
        }
        if (lexer_.accept("[")) {
            o.kind = Operand::Kind::address;
            o.parts.push_back(simple());
            o.offset = std::exchange(o.parts[0].offset, 0);
            lexer_.expect("]");
            return o;
        }
        if (lexer_.accept("-")) {
            o = number(lexer_);
            o.bits = 0 - o.bits;
            o.real = -o.real;
            return o;
        }
        if (lexer_.peek().kind == Token::Kind::number) return number(lexer_);
        o.negated = lexer_.accept("!");
        const std::string_view name = lexer_.word().text;
        if (name == "_") return o;
        o.reg = find(name);
        o.kind = o.reg >= 0 ? Operand::Kind::reg : Operand::Kind::name;
        o.name = name;
        if (lexer_.accept("+")) o.offset = static_cast<std::int64_t>(integer(lexer_));
        return o;
    }

    Lexer lexer_;
    Body body_;
    std::vector<Scope> scopes_;
    std::uint64_t used_bytes_ = ~std::uint64_t{0};
};

std::size_t round_up(std::size_t x, std::size_t to) { return (x + to - 1) / to * to; }

Entry entry(Lexer& lexer) {
    Entry e;
    e.name = lexer.word().text;
    std::size_t at = 0;
    if (lexer.accept("(")) {
        while (!lexer.accept(")")) {
            lexer.expect(".param");
            Variable v = variable(lexer, Space::param);
            at = round_up(at, v.align);
            v.place = at;
            at += v.bytes;
            e.parameters.push_back(std::move(v));
            lexer.accept(",");
        }
    }
    while (!lexer.peek().is("{") && !lexer.peek().is(";")) {
        const Token word = lexer.take();
        if (word.kind == Token::Kind::end) lexer.fail("an entry without a body");
        if (word.is(".maxntid")) {
            e.max_threads = 1;
            do {
                e.max_threads *= static_cast<int>(integer(lexer));
            } while (lexer.accept(","));
        }
    }
    if (lexer.accept(";")) {
        e.has_body = false;
        return e;
    }
    lexer.expect("{");
    e.line = lexer.peek().line;
    e.body = lexer.block();
    return e;
}

void skip_function(Lexer& lexer) {
    while (!lexer.peek().is("{") && !lexer.peek().is(";"))
        if (lexer.take().kind == Token::Kind::end) return;
    if (lexer.accept("{"))
        lexer.block();
    else
        lexer.take();
}

}  // namespace

ModuleText parse_module(std::string_view ptx) {
    Lexer lexer(ptx, 1);
    ModuleText result;
    bool is_extern = false;
    while (lexer.peek().kind != Token::Kind::end) {
        const Token word = lexer.peek();
        if (word.is(".version") || word.is(".target") || word.is(".address_size") || word.is(".file") ||
            word.is(".loc") || word.is(".pragma")) {
            lexer.skip_line();
            continue;
        }
        lexer.take();
        if (word.is(".visible") || word.is(".weak") || word.is(".common")) continue;
        if (word.is(".extern")) {
            is_extern = true;
            continue;
        }
        if (word.is(".entry")) {
            result.entries.push_back(entry(lexer));
        } else if (word.is(".func")) {
            skip_function(lexer);
        } else if (word.is(".global") || word.is(".const") || word.is(".shared")) {
            result.variables.push_back(variable(lexer, word.is(".global") ? Space::global
                                                       : word.is(".const") ? Space::constant
                                                                           : Space::shared));
            result.variables.back().is_extern |= is_extern;
            lexer.expect(";");
        } else if (word.is(".section")) {
            lexer.take();
            lexer.expect("{");
            lexer.block();
        } else if (!word.is(";")) {
            lexer.fail("not understood after '" + std::string(word.text) + "'");
        }
        is_extern = false;
    }
    return result;
}

Body parse_body(std::string_view body, int line) { return BodyParser(body, line).parse(); }

}  // namespace emulator
