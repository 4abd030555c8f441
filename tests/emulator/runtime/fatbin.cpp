#include "tests/emulator/runtime/fatbin.h"

#include <cstdint>
#include <cstring>

#include "tests/emulator/runtime/status.h"

namespace emulator {

namespace {

constexpr std::uint32_t kContainer = 0xBA55ED50, kWrapper = 0x466243B1;
constexpr std::uint16_t kPtx = 1;
constexpr std::uint64_t kCompressed = 0x2000 | 0x8000;  // LZ4, Zstandard

struct Header {
    std::uint32_t magic;
    std::uint16_t version, header_bytes;
    std::uint64_t bytes;  // of the entries
};

struct Entry {
    std::uint16_t kind, version;
    std::uint32_t header_bytes;
    std::uint64_t bytes;
    std::uint32_t compressed_bytes, options;
    std::uint16_t minor, major;
    std::uint32_t architecture, name, name_bytes;
    std::uint64_t flags;
};

struct Wrapper {
    std::uint32_t magic, version;
    const void* data;
    const void* more;
};

template <class T>
T read(const void* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
}

}  // namespace

std::string ptx_of_fatbin(const void* data) {
    const auto header = read<Header>(data);
    if (header.magic != kContainer)
        throw Refusal(Status::invalid_kernel_image, "this is no fat binary");
    const char* at = static_cast<const char*>(data) + header.header_bytes;
    const char* const end = at + header.bytes;
    std::string text;
    std::uint32_t best = 0;
    bool other = false;
    while (at + sizeof(Entry) <= end) {
        const auto entry = read<Entry>(at);
        if (entry.header_bytes < sizeof(Entry) || entry.bytes > static_cast<std::uint64_t>(end - at))
            throw Refusal(Status::invalid_kernel_image, "a fat binary with a broken entry");
        if (entry.kind != kPtx) {
            other = true;
        } else if (entry.flags & kCompressed) {
            throw Refusal(Status::no_kernel_image,
                          "the PTX is compressed; compile with nvcc's --no-compress");
        } else if (entry.architecture >= best) {
            best = entry.architecture;
            text.assign(at + entry.header_bytes, entry.bytes);
        }
        at += entry.header_bytes + entry.bytes;
    }
    if (best == 0)
        throw Refusal(Status::no_kernel_image,
                      other ? "machine code without PTX; compile with CMAKE_CUDA_ARCHITECTURES=90-virtual"
                            : "an empty fat binary");
    return text.substr(0, text.find('\0'));
}

std::vector<std::string> ptx_of_file(std::string_view bytes) {
    std::vector<std::string> texts;
    const std::string_view magic(reinterpret_cast<const char*>(&kContainer), sizeof kContainer);
    for (std::size_t at = 0; (at = bytes.find(magic, at)) != bytes.npos; ++at) {
        if (bytes.size() - at < sizeof(Header)) break;
        const auto header = read<Header>(bytes.data() + at);
        if (header.version != 1 || header.header_bytes != sizeof(Header) || header.bytes == 0 ||
            header.bytes > bytes.size() - at - sizeof(Header))
            continue;  // the same four bytes by chance
        texts.push_back(ptx_of_fatbin(bytes.data() + at));
    }
    return texts;
}

std::string ptx_of_image(const void* image) {
    const auto magic = read<std::uint32_t>(image);
    if (magic == kWrapper) return ptx_of_fatbin(read<Wrapper>(image).data);
    if (magic == kContainer) return ptx_of_fatbin(image);
    if (std::memcmp(image, "\177ELF", 4) == 0)
        throw Refusal(Status::no_kernel_image, "machine code, which is not executed here; give PTX");
    return static_cast<const char*>(image);
}

}  // namespace emulator
