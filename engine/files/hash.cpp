#include "engine/files/hash.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>

namespace microlift {
namespace {

constexpr std::uint64_t kPrime1 = 0x9E3779B185EBCA87ULL;
constexpr std::uint64_t kPrime2 = 0xC2B2AE3D27D4EB4FULL;
constexpr std::uint64_t kPrime3 = 0x165667B19E3779F9ULL;
constexpr std::uint64_t kPrime4 = 0x85EBCA77C2B2AE63ULL;
constexpr std::uint64_t kPrime5 = 0x27D4EB2F165667C5ULL;

std::uint64_t word64(const unsigned char* p) {
    std::uint64_t w = 0;
    std::memcpy(&w, p, 8);
    return w;
}

std::uint64_t word32(const unsigned char* p) {
    std::uint32_t w = 0;
    std::memcpy(&w, p, 4);
    return w;
}

std::uint64_t mix(std::uint64_t lane, std::uint64_t word) {
    return std::rotl(lane + word * kPrime2, 31) * kPrime1;
}

std::uint64_t merge(std::uint64_t hash, std::uint64_t lane) {
    return (hash ^ mix(0, lane)) * kPrime1 + kPrime4;
}

}  // namespace

Hash64::Hash64(std::uint64_t seed)
    : lanes_{seed + kPrime1 + kPrime2, seed + kPrime2, seed, seed - kPrime1}, seed_(seed) {}

void Hash64::add(const void* data, std::size_t bytes) {
    const auto* from = static_cast<const unsigned char*>(data);
    total_ += bytes;
    const auto stripe = [this](const unsigned char* p) {
        for (int i = 0; i < 4; ++i) {
            lanes_[i] = mix(lanes_[i], word64(p + 8 * i));
        }
    };
    if (held_ > 0) {
        const std::size_t now = std::min(bytes, sizeof pending_ - held_);
        std::memcpy(pending_ + held_, from, now);
        held_ += now;
        from += now;
        bytes -= now;
        if (held_ < sizeof pending_) {
            return;
        }
        stripe(pending_);
        held_ = 0;
    }
    for (; bytes >= sizeof pending_; from += sizeof pending_, bytes -= sizeof pending_) {
        stripe(from);
    }
    if (bytes > 0) {
        std::memcpy(pending_, from, bytes);
        held_ = bytes;
    }
}

std::uint64_t Hash64::value() const {
    std::uint64_t hash = seed_ + kPrime5;
    if (total_ >= sizeof pending_) {
        hash = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) +
               std::rotl(lanes_[3], 18);
        for (std::uint64_t lane : lanes_) {
            hash = merge(hash, lane);
        }
    }
    hash += total_;
    const unsigned char* p = pending_;
    const unsigned char* end = pending_ + held_;
    for (; end - p >= 8; p += 8) {
        hash = std::rotl(hash ^ mix(0, word64(p)), 27) * kPrime1 + kPrime4;
    }
    if (end - p >= 4) {
        hash = std::rotl(hash ^ (word32(p) * kPrime1), 23) * kPrime2 + kPrime3;
        p += 4;
    }
    for (; p < end; ++p) {
        hash = std::rotl(hash ^ (*p * kPrime5), 11) * kPrime1;
    }
    hash = (hash ^ (hash >> 33)) * kPrime2;
    hash = (hash ^ (hash >> 29)) * kPrime3;
    return hash ^ (hash >> 32);
}

std::string Hash64::digits() const {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value()));
    return text;
}

std::string checksum_of(std::string_view content) {
    Hash64 hash;
    hash.add(content.data(), content.size());
    return hash.digits();
}

}  // namespace microlift
