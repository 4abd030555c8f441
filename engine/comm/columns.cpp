#include "engine/comm/columns.h"

#include <algorithm>
#include <cstring>

namespace microlift {

void take_columns(Stream& stream, const void* all, index rows, index n, Share share, void* own, index words) {
    const index value = 4 * words;
    for (index r = 0; r < rows; ++r)
        copy_bytes_on_device(stream, static_cast<char*>(own) + r * share.count * value,
                             static_cast<const char*>(all) + (r * n + share.first) * value,
                             static_cast<std::size_t>(share.count * value));
}

// Through the host's memory, on a GPU too.
void gather_columns(Stream& stream, const void* own, index rows, index inner, index n, void* all, index row,
                    index words) {
    if (rows == 0) return;
    Communicator& world = Communicator::world();
    const index value = 4 * words;
    std::vector<index> sizes;
    for (int r = 0; r < world.size(); ++r) sizes.push_back(rows * share_of(n, r, world.size()).count * words);
    std::vector<char> here(static_cast<std::size_t>(4 * sizes[static_cast<std::size_t>(world.rank())]));
    std::vector<char> everywhere(static_cast<std::size_t>(rows * n * value));
    copy_bytes_to_host(stream, here.data(), own, here.size());
    world.gather(here.data(), sizes, everywhere.data());
    std::vector<char> ordered(static_cast<std::size_t>(inner * n * value));
    for (index outer = 0; outer < rows / inner; ++outer) {
        index start = 0;
        for (int r = 0; r < world.size(); ++r) {
            const Share share = share_of(n, r, world.size());
            const auto bytes = static_cast<std::size_t>(share.count * value);
            for (index s = 0; s < inner; ++s)
                std::memcpy(ordered.data() + (s * n + share.first) * value,
                            everywhere.data() + start + (outer * inner + s) * share.count * value, bytes);
            start += rows * share.count * value;
        }
        copy_bytes_to_device(stream, static_cast<char*>(all) + outer * row * value, ordered.data(), ordered.size());
    }
}

}  // namespace microlift
