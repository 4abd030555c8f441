// Errors of the runtime, with CUDA's numbers, names and texts.
#pragma once

#include <stdexcept>
#include <string>

namespace emulator {

enum class Status : int {
    success = 0,
    invalid_value = 1,
    memory_allocation = 2,
    invalid_configuration = 9,
    invalid_symbol = 13,
    invalid_memcpy_direction = 21,
    devices_unavailable = 46,
    invalid_device_function = 98,
    no_device = 100,
    invalid_device = 101,
    invalid_kernel_image = 200,
    no_kernel_image = 209,
    invalid_ptx = 218,
    invalid_source = 300,
    invalid_handle = 400,
    illegal_state = 401,
    symbol_not_found = 500,
    not_ready = 600,
    illegal_address = 700,
    launch_failure = 719,
    not_supported = 801,
    capture_unsupported = 900,
    capture_invalidated = 901,
    capture_merge = 902,
    capture_unmatched = 903,
    capture_unjoined = 904,
    capture_isolation = 905,
    capture_implicit = 906,
    captured_event = 907,
    capture_wrong_thread = 908,
};

// "cudaErrorInvalidValue", "invalid argument".
const char* status_name(int status);
const char* status_text(int status);

// A call is refused: its status, and in words what is wrong with it.
class Refusal : public std::runtime_error {
public:
    Refusal(Status status, const std::string& why) : std::runtime_error(why), status_(status) {}
    Status status() const { return status_; }

private:
    Status status_;
};

}  // namespace emulator
