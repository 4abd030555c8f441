// Tensors of a training's checkpoint.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "engine/error.h"
#include "engine/files/safetensors.h"

namespace microlift {

// Throws InputError unless it is there, of so many bytes.
inline const Tensor& checkpoint_tensor(const TensorMap& state, const std::string& name,
                                       index bytes) {
    const auto found = state.find(name);
    if (found == state.end() || static_cast<index>(found->second.data.size()) != bytes)
        throw InputError("the training checkpoint has no tensor '" + name +
                         "' of the right size: it belongs to another configuration");
    return found->second;
}

// A plain struct as a tensor, and back.
template <class T>
Tensor checkpoint_words(const T& value) {
    static_assert(sizeof(T) % 8 == 0);
    std::vector<uint64> words(sizeof(T) / 8);
    std::memcpy(words.data(), &value, sizeof(T));
    return Tensor::of(words);
}
template <class T>
T checkpoint_struct(const TensorMap& state, const std::string& name) {
    T value;
    std::memcpy(&value, checkpoint_tensor(state, name, sizeof value).data.data(), sizeof value);
    return value;
}

}  // namespace microlift
