// What a fuzzer is: inputs to begin with, and a test of any bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

// Inputs that are sound, or nearly; each fuzzer's own.
std::vector<std::string> fuzz_seeds();

namespace microlift {

// Reads the bytes of an input as choices; at its end all of them are 0.
class Choices {
public:
    Choices(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}
    bool more() const { return left_ > 0; }
    std::uint8_t byte() {
        if (left_ == 0) return 0;
        --left_;
        return *data_++;
    }
    std::size_t below(std::size_t n) {
        const std::size_t two = static_cast<std::size_t>(byte()) << 8;
        return n == 0 ? 0 : (two | byte()) % n;
    }
    // Ordinary numbers, and those that break something.
    double number();
    long long whole();

private:
    const std::uint8_t* data_;
    std::size_t left_;
};

}  // namespace microlift
