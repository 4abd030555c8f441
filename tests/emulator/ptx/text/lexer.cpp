#include "tests/emulator/ptx/text/lexer.h"

#include <cctype>

#include "tests/emulator/fault.h"

namespace emulator {

namespace {

bool starts_word(char c) {
    return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%' ||
           c == '.';
}
bool in_word(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '.' ||
           c == '%';
}

}  // namespace

void Lexer::skip_space() {
    while (at_ < text_.size()) {
        const char c = text_[at_];
        if (c == '\n') ++line_;
        if (std::isspace(static_cast<unsigned char>(c))) {
            ++at_;
        } else if (text_.substr(at_, 2) == "//") {
            at_ = std::min(text_.find('\n', at_), text_.size());
        } else if (text_.substr(at_, 2) == "/*") {
            const std::size_t end = text_.find("*/", at_ + 2);
            for (; at_ < std::min(end, text_.size()); ++at_) line_ += text_[at_] == '\n';
            at_ = std::min(at_ + 2, text_.size());
        } else {
            return;
        }
    }
}

void Lexer::advance() {
    skip_space();
    token_ = {Token::Kind::end, {}, line_};
    if (at_ >= text_.size()) return;
    const std::size_t begin = at_;
    const char c = text_[at_++];
    if (starts_word(c)) {
        token_.kind = Token::Kind::word;
        while (at_ < text_.size()) {
            if (in_word(text_[at_])) {
                ++at_;
            } else if (text_.substr(at_, 2) == "::") {  // .L1::no_allocate
                at_ += 2;
            } else {
                break;
            }
        }
    } else if (std::isdigit(static_cast<unsigned char>(c))) {
        token_.kind = Token::Kind::number;
        while (at_ < text_.size() &&
               (in_word(text_[at_]) ||
                (text_[at_] == '-' && text_[at_ - 1] == 'e' && text_.substr(begin, 2) != "0x")))
            ++at_;
    } else if (c == '"') {
        token_.kind = Token::Kind::text;
        at_ = std::min(text_.find('"', at_), text_.size() - 1) + 1;
        token_.text = text_.substr(begin + 1, at_ - begin - 2);
        return;
    } else {
        token_.kind = Token::Kind::sign;
    }
    token_.text = text_.substr(begin, at_ - begin);
}

void Lexer::expect(std::string_view what) {
    if (!accept(what)) fail("'" + std::string(what) + "' is expected here");
}

Token Lexer::word() {
    if (token_.kind != Token::Kind::word) fail("a name is expected here");
    return take();
}

std::string_view Lexer::block() {
    // The token at hand is already the block's first.
    const std::size_t begin = static_cast<std::size_t>(token_.text.data() - text_.data());
    std::size_t at = begin;
    line_ = token_.line;
    for (int depth = 1; at < text_.size(); ++at) {
        const char c = text_[at];
        if (c == '\n') ++line_;
        if (c == '/' && text_.substr(at, 2) == "//")
            at = std::min(text_.find('\n', at), text_.size()) - 1;
        if (c == '"') at = std::min(text_.find('"', at + 1), text_.size() - 1);
        depth += (c == '{') - (c == '}');
        if (depth == 0) {
            at_ = at + 1;
            advance();
            return text_.substr(begin, at - begin);
        }
    }
    fail("a block without its end");
}

void Lexer::skip_line() {
    const int line = token_.line;
    while (token_.kind != Token::Kind::end && token_.line == line) advance();
}

void Lexer::fail(const std::string& why) const {
    const char* from = token_.text.data() ? token_.text.data() : text_.data() + text_.size();
    std::size_t begin = static_cast<std::size_t>(from - text_.data());
    begin = begin == 0 ? 0 : text_.rfind('\n', begin - 1) + 1;
    const std::string_view line = text_.substr(begin, text_.find('\n', begin) - begin);
    throw Fault("PTX line " + std::to_string(token_.line) + ": " + why + ": " + std::string(line));
}

}  // namespace emulator
