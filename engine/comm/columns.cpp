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

float* Collection::own(Stream& stream, index rows, index n, index words) {
    rows_ = rows, n_ = n, words_ = words;
    if (parts_.size() < rows * n * words) parts_ = Buffer<float>(stream.device(), rows * n * words);
    return parts_.data() + rows * Communicator::world().share(n).first * words;
}

void Collection::gather(Stream& stream) {
    const int size = Communicator::world().size();
    std::vector<index> words;
    for (int r = 0; r < size; ++r) words.push_back(rows_ * share_of(n_, r, size).count * words_);
    collect_parts(stream, parts_.data(), words);
}

void Collection::place(Stream& stream, index from, index rows, index inner, void* all, index row) const {
    const int size = Communicator::world().size();
    for (int r = 0; r < size; ++r) {
        const Share share = share_of(n_, r, size);
        const index width = share.count * words_;
        for (index i = 0; i < rows; ++i)
            copy_bytes_on_device(
                stream, static_cast<float*>(all) + ((i / inner) * row + (i % inner) * n_ + share.first) * words_,
                parts_.data() + rows_ * share.first * words_ + (from + i) * width, static_cast<std::size_t>(4 * width));
    }
}

}  // namespace microlift
