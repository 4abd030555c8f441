#include "engine/comm/columns.h"

#include <numeric>

namespace microlift {

void take_columns(Stream& stream, const void* all, index rows, index n, Share share, void* own, index words) {
    const index value = 4 * words;
    for (index r = 0; r < rows; ++r)
        copy_bytes_on_device(stream, static_cast<char*>(own) + r * share.count * value,
                             static_cast<const char*>(all) + (r * n + share.first) * value,
                             static_cast<std::size_t>(share.count * value));
}

void collect_parts(Stream& stream, void* values, const std::vector<index>& words) {
    Communicator& world = Communicator::world();
    if (world.reaches(stream.device().is_cpu())) {
        stream.synchronize();
        return world.gather(values, words);
    }
    const auto bytes = [&](int from, int to) {
        return 4 * static_cast<std::size_t>(std::accumulate(words.begin() + from, words.begin() + to, index{0}));
    };
    std::vector<char> all(bytes(0, world.size()));
    const std::size_t first = bytes(0, world.rank());
    copy_bytes_to_host(stream, all.data() + first, static_cast<char*>(values) + first,
                       bytes(world.rank(), world.rank() + 1));
    world.gather(all.data(), words);
    copy_bytes_to_device(stream, values, all.data(), all.size());
}

void collect_columns(Stream& stream, const void* own, index rows, index inner, index n, void* all, index row,
                    index words, Buffer<float>& parts) {
    if (rows == 0) return;
    Communicator& world = Communicator::world();
    std::vector<index> sizes;
    for (int r = 0; r < world.size(); ++r) sizes.push_back(rows * share_of(n, r, world.size()).count * words);
    const Share here = world.share(n);
    if (parts.size() < rows * n * words) parts = Buffer<float>(stream.device(), rows * n * words);
    copy_bytes_on_device(stream, parts.data() + rows * here.first * words, own,
                         static_cast<std::size_t>(4 * rows * here.count * words));
    collect_parts(stream, parts.data(), sizes);
    for (int r = 0; r < world.size(); ++r) {
        const Share share = share_of(n, r, world.size());
        const float* const from = parts.data() + rows * share.first * words;
        for (index i = 0; i < rows; ++i)
            copy_bytes_on_device(
                stream, static_cast<float*>(all) + ((i / inner) * row + (i % inner) * n + share.first) * words,
                from + i * share.count * words, static_cast<std::size_t>(4 * share.count * words));
    }
}

}  // namespace microlift
