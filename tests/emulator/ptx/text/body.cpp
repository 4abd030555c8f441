#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include "tests/emulator/ptx/text/values.h"

namespace emulator {

namespace {

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
            body_.variables.push_back(
                variable(lexer_, word == ".shared" ? Space::shared : Space::local));
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
            body_.registers.resize(
                body_.registers.size() + static_cast<std::size_t>(std::max(count, 1)),
                {name, type});
        } while (lexer_.accept(","));
    }

    // −1: no register of this name.
    int find(std::string_view name) const {
        std::size_t digits = name.size();
        while (digits > 0 && name[digits - 1] >= '0' && name[digits - 1] <= '9') --digits;
        for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
            if (const auto exact = scope->find(name);
                exact != scope->end() && exact->second.count < 0)
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

}  // namespace

Body parse_body(std::string_view body, int line) {
    return BodyParser(body, line).parse();
}

}  // namespace emulator
