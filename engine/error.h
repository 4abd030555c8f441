// engine/: device, memory, streams, graphs, launches, files. May include kernels/ and the standard
// library; never nn/ or sampling/.
//
// Errors. Each kind carries the exit status that the command returns for it.
#pragma once

#include <stdexcept>
#include <string>

namespace microlift {

// What all errors of the library are: a message for people, and the exit status of the command.
class Error : public std::runtime_error {
public:
    Error(const std::string& message, int exit_code)
        : std::runtime_error(message), exit_code_(exit_code) {}
    int exit_code() const { return exit_code_; }  // 2, 3, 4, 75 or 128 + a signal's number

private:
    int exit_code_;
};

// What the user gave is wrong: configuration, option, file.
class InputError : public Error {
public:
    explicit InputError(const std::string& message) : Error(message, 2) {}
};

// No such device, or it failed.
class DeviceError : public Error {
public:
    explicit DeviceError(const std::string& message) : Error(message, 3) {}
};

// A trajectory blew up, an estimator did not converge.
class NumericError : public Error {
public:
    explicit NumericError(const std::string& message) : Error(message, 4) {}
};

// In place of a signal's number: the wall time of a run is over.
inline constexpr int kWallTime = 1000;
inline constexpr int kWallTimeStatus = 75;  // EX_TEMPFAIL of sysexits.h: to be tried again

// Stopped by a signal or at the end of the wall time, after a checkpoint was written.
class Interrupted : public Error {
public:
    explicit Interrupted(int signal)
        : Error(signal == kWallTime ? "the wall time is over; continue with --resume"
                                    : "stopped by signal " + std::to_string(signal) + "; continue with --resume",
                signal == kWallTime ? kWallTimeStatus : 128 + signal),
          signal_(signal) {}
    int signal() const { return signal_; }  // its number, or kWallTime

private:
    int signal_;
};

// Throws a DeviceError that names the call; `status` is a cudaError_t, a cublasStatus_t, ….
[[noreturn]] void throw_cuda_error(int status, const char* call, const char* file, int line);

}  // namespace microlift

#define CUDA_CHECK(call)                                                                   \
    do {                                                                                   \
        const int cuda_status = static_cast<int>(call);                                    \
        if (cuda_status != 0)                                                              \
            ::microlift::throw_cuda_error(cuda_status, #call, __FILE__, __LINE__);         \
    } while (false)
