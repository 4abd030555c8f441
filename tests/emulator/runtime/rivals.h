// Work that nothing orders: where one piece of it writes memory that another uses, the program is wrong, whichever
// comes first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace emulator {

// Bytes of device memory that work is known to use before it is done: those of copies, fills and frees.
struct Use {
    std::uint64_t address = 0;
    std::size_t bytes = 0;
    bool writes = false;
};

bool conflict(const Use& a, const Use& b);

// While it lives, every use of these bytes by a kernel is a fault, as of memory that is not there.
class Hidden {
public:
    explicit Hidden(std::vector<Use> uses);
    ~Hidden();
    Hidden(const Hidden&) = delete;
    Hidden& operator=(const Hidden&) = delete;

private:
    std::vector<Use> uses_;
    std::vector<std::vector<std::uint8_t>> states_;
};

}  // namespace emulator
