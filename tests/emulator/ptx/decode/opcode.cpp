#include "tests/emulator/ptx/decode/opcode.h"

#include <algorithm>

namespace emulator {

Opcode::Opcode(std::string_view opcode) : text(opcode) {
    std::string_view left = opcode;
    bool first = true;
    while (!left.empty()) {
        const std::size_t dot = std::min(left.find('.'), left.size());
        const std::string_view part = left.substr(0, dot);
        left.remove_prefix(std::min(dot + 1, left.size()));
        if (first) {
            base = part;
        } else {
            parts.push_back(part);
            if (const Type type = type_named(part); type != Type::none) types.push_back(type);
        }
        first = false;
    }
}

bool Opcode::has(std::string_view part) const {
    return std::find(parts.begin(), parts.end(), part) != parts.end();
}

Operation select(const Opcode& opcode, const Shape& shape) {
    for (const auto& of_class :
         {select_move, select_float, select_integer, select_compare, select_memory, select_control,
          select_convert, select_bits, select_approximate, select_atomic, select_exchange,
          select_product}) {
        Operation found = of_class(opcode, shape);
        if (found.run) return found;
    }
    return {};
}

}  // namespace emulator
