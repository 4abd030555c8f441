// Sizes and positions are signed here (`index`); the standard library's are not.
#pragma once

#include <cstddef>

#include "kernels/lane/lane.h"

namespace microlift {

constexpr std::size_t at(index i) {
    return static_cast<std::size_t>(i);
}

}  // namespace microlift
