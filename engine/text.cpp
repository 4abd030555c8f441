#include "engine/text.h"

#include <cmath>
#include <cstdio>

namespace microlift {

namespace {

// How many bytes from here are a control character: U+0080 to U+009F are some, too.
std::size_t control_at(std::string_view text, std::size_t i) {
    const auto byte = [&](std::size_t j) { return static_cast<unsigned char>(text[j]); };
    if (byte(i) < 0x20 || byte(i) == 0x7f) return 1;
    return byte(i) == 0xc2 && i + 1 < text.size() && byte(i + 1) >= 0x80 && byte(i + 1) < 0xa0 ? 2 : 0;
}

void escape(std::string_view bytes, std::string& out) {
    for (const char c : bytes) {
        char code[8];
        std::snprintf(code, sizeof code, "\\x%02x", static_cast<unsigned char>(c));
        out += code;
    }
}

// Without a character of which the end is cut off.
void drop_partial(std::string& text) {
    while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xc0) == 0x80) text.pop_back();
    if (!text.empty() && static_cast<unsigned char>(text.back()) >= 0xc0) text.pop_back();
}

}  // namespace

std::string printable(std::string_view text, std::size_t limit, Controls controls) {
    std::string out;
    for (std::size_t i = 0; i < text.size() && out.size() < limit;) {
        const std::size_t control = control_at(text, i);
        const bool stays = controls == Controls::escape && (text[i] == '\n' || text[i] == '\t');
        if (control == 0 || stays)
            out += text[i];
        else if (controls == Controls::escape)
            escape(text.substr(i, control), out);
        else
            out += ' ';
        i += control == 0 ? 1 : control;
    }
    if (text.size() > limit) {
        drop_partial(out);
        out += "...";
    }
    return out;
}

std::string number(double value, int digits) {
    if (std::isnan(value)) return "nan";
    char text[64];
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    return text;
}

}  // namespace microlift
