// Reading what weight files say in words: numbers within their bounds, and lists of them.
#pragma once

#include <string>
#include <vector>

#include "engine/files/safetensors.h"
#include "kernels/net/activation.h"

namespace microlift {

// InputError unless it is one of silu, leaky_relu, tanh, softplus.
Activation activation_from(const std::string& name);

// InputError, naming what is wrong, unless it is a whole number in [least, most].
index metadata_number(const SafeTensors& content, const std::string& key, const char* what,
                      index least, index most);
std::vector<index> metadata_widths(const SafeTensors& content);  // of layers: "16,64,2"
std::string widths_text(const std::vector<index>& widths);

// A tensor as rows of `columns` numbers that lie `stride` apart in a network's flat parameters from `first`.
struct WeightBlock {
    std::string name;
    std::vector<index> shape;  // columns last
    index first = 0, stride = 0;
};
void add_weights(TensorMap& map, const WeightBlock& block, const std::vector<float>& parameters);
// InputError unless the tensor is there, of this shape and finite.
void read_weights(const TensorMap& map, const WeightBlock& block, std::vector<float>& parameters);

}  // namespace microlift
