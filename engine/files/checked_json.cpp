#include "engine/files/checked_json.h"

#include "engine/files/hash.h"

namespace microlift {

namespace {

constexpr std::string_view kHead = "{\"checksum\":\"";
constexpr std::size_t kDigits = 16;

std::string digits_of(std::string_view text) {
    Hash64 hash;
    hash.add(text.data(), text.size());
    return hash.digits();
}

}  // namespace

std::string checked_json(const Json& object) {
    const std::string rest = "\"," + object.dump().substr(1) + "\n";
    return std::string(kHead) + digits_of(rest) + rest;
}

std::optional<Json> parse_checked_json(std::string_view text) {
    if (!text.starts_with(kHead) || text.size() < kHead.size() + kDigits) return std::nullopt;
    const std::string_view digits = text.substr(kHead.size(), kDigits);
    if (digits != digits_of(text.substr(kHead.size() + kDigits))) return std::nullopt;
    return Json::parse(text);
}

}  // namespace microlift
