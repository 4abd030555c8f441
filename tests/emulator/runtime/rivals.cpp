#include "tests/emulator/runtime/rivals.h"

#include <cstring>

#include "tests/emulator/memory/range.h"

namespace emulator {

bool conflict(const Use& a, const Use& b) {
    return (a.writes || b.writes) && a.address < b.address + b.bytes && b.address < a.address + a.bytes;
}

Hidden::Hidden(std::vector<Use> uses) : uses_(std::move(uses)) {
    for (const Use& use : uses_) {
        std::uint8_t* states = device_range().state(use.address);
        states_.emplace_back(states, states + use.bytes);
        std::memset(states, kNothing, use.bytes);
    }
}

// Last first, since they may overlap.
Hidden::~Hidden() {
    for (std::size_t u = uses_.size(); u-- > 0;)
        std::memcpy(device_range().state(uses_[u].address), states_[u].data(), states_[u].size());
}

}  // namespace emulator
