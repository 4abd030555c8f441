// Words, numbers, texts and signs of PTX, one at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace emulator {

struct Token {
    enum class Kind { end, word, number, text, sign };
    Kind kind = Kind::end;
    std::string_view text;
    int line = 0;
    bool is(std::string_view what) const { return text == what && kind != Kind::text; }
};

class Lexer {
public:
    Lexer(std::string_view text, int line) : text_(text), line_(line) { advance(); }

    const Token& peek() const { return token_; }
    Token take() {
        const Token taken = token_;
        advance();
        return taken;
    }
    bool accept(std::string_view what) {
        if (!token_.is(what)) return false;
        advance();
        return true;
    }
    void expect(std::string_view what);
    Token word();

    // The text up to the brace that closes the one just taken; that brace is taken, too.
    std::string_view block();
    void skip_line();

    [[noreturn]] void fail(const std::string& why) const;

private:
    void advance();
    void skip_space();
    std::string_view text_;
    std::size_t at_ = 0;
    int line_;
    Token token_;
};

}  // namespace emulator
