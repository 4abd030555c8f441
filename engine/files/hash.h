#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace microlift {

// XXH64 of Yann Collet, fed in pieces.
class Hash64 {
public:
    explicit Hash64(std::uint64_t seed = 0);
    void add(const void* data, std::size_t bytes);
    std::uint64_t value() const;
    std::string digits() const;  // the value as 16 hexadecimal digits

private:
    std::uint64_t lanes_[4];
    std::uint64_t seed_;
    std::uint64_t total_ = 0;
    unsigned char pending_[32];
    std::size_t held_ = 0;
};

std::string checksum_of(std::string_view content);  // its XXH64 in digits

}  // namespace microlift
