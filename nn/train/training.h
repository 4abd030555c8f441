// What the trainers of every kind of generator share.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "engine/error.h"
#include "nn/generators/gan_bodies.h"
#include "nn/layers/mlp.h"
#include "engine/files/safetensors.h"

namespace microlift {

inline constexpr index kHistoryRows = 512;  // losses kept of a training

// Of what a network sees of its conditions: WhiteningView::write_features.
inline int feature_count(const std::vector<double>& periods, int conditions, int waves) {
    int n = 0;
    for (int k = 0; k < conditions; ++k) {
        const auto at = static_cast<std::size_t>(k);
        n += at < periods.size() && periods[at] > 0 ? 2 * kHarmonics : 1 + 2 * waves;
    }
    return n;
}

inline std::vector<index> widths_of(index in, const std::vector<index>& hidden, index out) {
    std::vector<index> widths{in};
    widths.insert(widths.end(), hidden.begin(), hidden.end());
    widths.push_back(out);
    return widths;
}

inline TransposeMap transpose_map(const MlpLayout& layout) {
    TransposeMap map;
    map.layers = layout.layers;
    for (int l = 1; l <= layout.layers; ++l) {
        const auto at = static_cast<std::size_t>(l);
        map.begin[l - 1] = static_cast<int32>(layout.weight[at]);
        map.end[l - 1] = static_cast<int32>(layout.bias[at]);
        map.out[l - 1] = static_cast<int32>(layout.width[at]);
        map.ld[l - 1] = static_cast<int32>(layout.ld[at]);
        map.target[l - 1] = static_cast<int32>(layout.transposed[at]);
        map.target_ld[l - 1] = static_cast<int32>(layout.ld[at - 1]);
    }
    return map;
}

// A tensor of a training's checkpoint. Throws InputError unless it is there, of so many bytes.
inline const Tensor& checkpoint_tensor(const TensorMap& state, const char* name, index bytes) {
    const auto found = state.find(name);
    if (found == state.end() || static_cast<index>(found->second.data.size()) != bytes)
        throw InputError(std::string("the training checkpoint has no tensor '") + name +
                         "' of the right size: it belongs to another configuration");
    return found->second;
}

// A plain struct as a tensor.
template <class T>
Tensor checkpoint_words(const T& value) {
    static_assert(sizeof(T) % 8 == 0);
    std::vector<uint64> words(sizeof(T) / 8);
    std::memcpy(words.data(), &value, sizeof(T));
    return Tensor::of(words);
}

}  // namespace microlift
