#include "engine/text.h"

#include <cstdio>

namespace microlift {

std::string for_terminal(std::string_view text) {
    std::string out;
    const auto escape = [&out](unsigned char c) {
        char code[8];
        std::snprintf(code, sizeof code, "\\x%02x", c);
        out += code;
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto c = static_cast<unsigned char>(text[i]);
        const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
        if (c == 0xc2 && next >= 0x80 && next < 0xa0) {  // controls beyond ASCII
            escape(c);
            escape(next);
            ++i;
        } else if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) {
            escape(c);
        } else {
            out += static_cast<char>(c);
        }
    }
    return out;
}

}  // namespace microlift
