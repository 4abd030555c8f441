// Places of a kernel's variables in shared and local memory and of its parameters.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>

#include "tests/emulator/ptx/decode/kernel.h"

namespace emulator {

class Layout {
public:
    Layout(const Symbols& symbols, const Entry& entry, const Body& body);

    // What a name stands for as a number: an offset in its space, an address in global memory.
    std::optional<std::uint64_t> value(std::string_view name) const;
    std::size_t shared_bytes() const { return shared_bytes_; }
    std::size_t local_bytes() const { return local_bytes_; }

private:
    void place(const Variable& v);
    const Symbols& symbols_;
    std::map<std::string_view, std::uint64_t> places_;
    std::size_t shared_bytes_ = 0, local_bytes_ = 0;
};

}  // namespace emulator
