// Path kernels that can say what went wrong on the way to a state that is not finite.
#pragma once

#include <span>
#include <string>

#include "engine/device/stream.h"

namespace microlift {

class WayDescriber {
public:
    virtual ~WayDescriber() = default;
    // Of states (state, dim) of one trajectory from a good one up to the last that is finite.
    virtual std::string describe_way(Stream& stream, std::span<const float> states) const = 0;
};

}  // namespace microlift
