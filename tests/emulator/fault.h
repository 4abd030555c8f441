// What a kernel or a call of the runtime did wrong on the emulated device: the message names the kernel, block,
// thread, instruction, address and buffer as far as there are any.
#pragma once

#include <stdexcept>
#include <string>

namespace emulator {

class Fault : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

}  // namespace emulator
