#include "nn/layers/weights.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <sstream>

#include "engine/error.h"
#include "nn/layers/limits.h"

namespace microlift {
namespace {

index number_from(const std::string& text, const char* what, index least, index most) {
    index value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < least || value > most)
        throw InputError(std::string("the weights' metadata have a wrong ") + what +
                         "; give a file that microlift wrote");
    return value;
}

// Of all dimensions but the last.
index rows_of(const WeightBlock& block) {
    index rows = 1;
    for (std::size_t k = 0; k + 1 < block.shape.size(); ++k) rows *= block.shape[k];
    return rows;
}

}  // namespace

Activation activation_from(const std::string& name) {
    constexpr const char* names[] = {"silu", "leaky_relu", "tanh", "softplus"};
    for (int k = 0; k < 4; ++k)
        if (name == names[k]) return static_cast<Activation>(k);
    throw InputError("there is no activation '" + name +
                     "'; write silu, leaky_relu, tanh or softplus");
}

index metadata_number(const SafeTensors& content, const std::string& key, const char* what,
                      index least, index most) {
    return number_from(content.text(key), what, least, most);
}

std::vector<index> metadata_widths(const SafeTensors& content) {
    std::vector<index> widths;
    std::istringstream list(content.text("widths"));
    for (std::string word; std::getline(list, word, ',');)
        widths.push_back(number_from(word, "list of widths", 1, kMostWidth));
    return widths;
}

std::string widths_text(const std::vector<index>& widths) {
    std::string text;
    for (const index width : widths)
        text.append(text.empty() ? "" : ",").append(std::to_string(width));
    return text;
}

void add_weights(TensorMap& map, const WeightBlock& block, const std::vector<float>& parameters) {
    const index columns = block.shape.back();
    std::vector<float> values;
    for (index i = 0; i < rows_of(block); ++i) {
        const auto from = parameters.begin() + block.first + i * block.stride;
        values.insert(values.end(), from, from + columns);
    }
    map[block.name] = Tensor::of(values, block.shape);
}

void read_weights(const TensorMap& map, const WeightBlock& block, std::vector<float>& parameters) {
    const auto found = map.find(block.name);
    if (found == map.end() || found->second.shape != block.shape)
        throw InputError("the weights hold no tensor '" + block.name +
                         "' of the right shape; give a file that microlift wrote");
    const auto values = found->second.floats();
    if (!std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }))
        throw InputError("tensor '" + block.name +
                         "' holds a value that is not finite; give other weights");
    const index columns = block.shape.back();
    for (index i = 0; i < rows_of(block); ++i)
        std::copy_n(values.begin() + i * columns, columns,
                    parameters.begin() + block.first + i * block.stride);
}

}  // namespace microlift
