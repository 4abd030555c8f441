#include "sampling/formula/substitute.h"

#include <cstddef>

namespace microlift {

namespace {

bool begins_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_numeral(char c) { return c >= '0' && c <= '9'; }

// Behind a number that begins here: 2.5e-3 has no name in it.
std::size_t after_number(std::string_view text, std::size_t i) {
    while (i < text.size() && (is_numeral(text[i]) || text[i] == '.')) ++i;
    if (i < text.size() && (text[i] == 'e' || text[i] == 'E')) {
        std::size_t power = i + 1;
        if (power < text.size() && (text[power] == '+' || text[power] == '-')) ++power;
        if (power < text.size() && is_numeral(text[power])) {
            i = power;
            while (i < text.size() && is_numeral(text[i])) ++i;
        }
    }
    return i;
}

}  // namespace

std::string with_names(std::string_view formula,
                       const std::function<std::string(std::string_view, bool)>& of) {
    std::string out;
    for (std::size_t i = 0; i < formula.size();) {
        std::size_t end = i + 1;
        if (is_numeral(formula[i]) || formula[i] == '.') {
            end = after_number(formula, i);
        } else if (begins_name(formula[i])) {
            while (end < formula.size() && (begins_name(formula[end]) || is_numeral(formula[end]))) ++end;
            const std::size_t next = formula.find_first_not_of(" \t\r\n", end);
            const bool called = next != std::string_view::npos && formula[next] == '(';
            const std::string value = of(formula.substr(i, end - i), called);
            out += value.empty() ? std::string(formula.substr(i, end - i)) : value;
            i = end;
            continue;
        }
        out += formula.substr(i, end - i);
        i = end;
    }
    return out;
}

}  // namespace microlift
