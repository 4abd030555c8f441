#include "tests/emulator/ptx/text/values.h"

namespace emulator {

namespace {

std::size_t round_up(std::size_t x, std::size_t to) {
    return (x + to - 1) / to * to;
}

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
        if (word.is(".maxntid") || word.is(".reqntid")) {
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
        if (word.is(".version") || word.is(".target") || word.is(".address_size") ||
            word.is(".file") || word.is(".loc") || word.is(".pragma")) {
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
            result.variables.push_back(variable(lexer, word.is(".global")  ? Space::global
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

}  // namespace emulator
