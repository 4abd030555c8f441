#include "engine/text.h"

#include <cmath>
#include <cstdio>

namespace microlift {

namespace {

// Bytes of the UTF-8 character that begins here; 0: none does (Unicode, table 3-7).
std::size_t character_at(std::string_view text, std::size_t i) {
    const auto byte = [&](std::size_t j) {
        return j < text.size() ? static_cast<unsigned char>(text[j]) : 0u;
    };
    const unsigned first = byte(i), second = byte(i + 1);
    if (first < 0x80) return 1;
    const std::size_t length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
    const unsigned least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    const unsigned most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (length == 0 || second < least || second > most) return 0;
    for (std::size_t k = 2; k < length; ++k)
        if ((byte(i + k) & 0xc0) != 0x80) return 0;
    return length;
}

// How many bytes from here are a control character, or no character at all: U+0080 to U+009F are controls,
// too.
std::size_t control_at(std::string_view text, std::size_t i) {
    const auto byte = [&](std::size_t j) { return static_cast<unsigned char>(text[j]); };
    if (byte(i) < 0x20 || byte(i) == 0x7f || character_at(text, i) == 0) return 1;
    return byte(i) == 0xc2 && byte(i + 1) < 0xa0 ? 2 : 0;
}

void escape(std::string_view bytes, std::string& out) {
    for (const char c : bytes) {
        char code[8];
        std::snprintf(code, sizeof code, "\\x%02x", static_cast<unsigned char>(c));
        out += code;
    }
}

}  // namespace

std::string printable(std::string_view text, std::size_t limit, Controls controls) {
    std::string out;
    for (std::size_t i = 0; i < text.size() && out.size() < limit;) {
        const std::size_t control = control_at(text, i);
        const bool stays = controls == Controls::escape && (text[i] == '\n' || text[i] == '\t');
        const std::size_t whole = control == 0 ? character_at(text, i) : control;
        if (control == 0 && out.size() + whole > limit) break;
        if (control == 0 || stays)
            out += text.substr(i, whole);
        else if (controls == Controls::escape)
            escape(text.substr(i, control), out);
        else
            out += ' ';
        i += whole;
    }
    if (text.size() > limit) out += "...";
    return out;
}

std::string number(double value, int digits) {
    if (std::isnan(value)) return "nan";
    char text[64];
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    return text;
}

}  // namespace microlift
