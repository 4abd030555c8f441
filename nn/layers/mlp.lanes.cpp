#include "nn/layers/mlp.h"

#include <cmath>

#include "engine/error.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"

namespace microlift {

MlpLayout::MlpLayout(const std::vector<index>& widths, Activation kind)
    : layers(static_cast<int>(widths.size()) - 1), activation(kind) {
    if (layers < 1 || layers > kMostLayers)
        throw InputError("a network needs 1 to " + std::to_string(kMostLayers) + " layers, not " +
                         std::to_string(layers));
    for (std::size_t l = 0; l < widths.size(); ++l) {
        if (widths[l] < 1 || widths[l] > 16384)
            throw InputError("a layer's width is " + std::to_string(widths[l]) +
                             "; give 1 to 16384");
        width[l] = widths[l];
        ld[l] = padded_width(widths[l]);
    }
    for (std::size_t l = 1; l < widths.size(); ++l) {
        weight[l] = parameters;
        parameters += width[l - 1] * ld[l];
        bias[l] = parameters;
        parameters += ld[l];
        transposed[l] = transposed_size;
        transposed_size += width[l] * ld[l - 1];
    }
}

index MlpLayout::count() const {
    index total = 0;
    for (std::size_t l = 1; l <= static_cast<std::size_t>(layers); ++l)
        total += (width[l - 1] + 1) * width[l];
    return total;
}

std::vector<float> MlpLayout::initial(uint64 seed, uint64 which) const {
    std::vector<float> values(static_cast<std::size_t>(parameters), 0.0f);
    uint32 number = 0;
    for (std::size_t l = 1; l <= static_cast<std::size_t>(layers); ++l) {
        const float bound = std::sqrt(3.0f / static_cast<float>(width[l - 1]));
        for (index i = 0; i < width[l - 1]; ++i)
            for (index j = 0; j < width[l]; ++j) {
                uint32 counter[4] = {number++, kStreamWeights, static_cast<uint32>(which), 0};
                philox4x32(counter, philox_key(seed));
                values[static_cast<std::size_t>(weight[l] + i * ld[l] + j)] =
                    bound * (2.0f * uniform_open<float>(counter[0]) - 1.0f);
            }
    }
    return values;
}

std::vector<float> MlpLayout::transpose(const std::vector<float>& values) const {
    std::vector<float> out(static_cast<std::size_t>(transposed_size), 0.0f);
    for (std::size_t l = 1; l <= static_cast<std::size_t>(layers); ++l)
        for (index i = 0; i < width[l - 1]; ++i)
            for (index j = 0; j < width[l]; ++j)
                out[static_cast<std::size_t>(transposed[l] + j * ld[l - 1] + i)] =
                    values[static_cast<std::size_t>(weight[l] + i * ld[l] + j)];
    return out;
}

namespace {
constexpr const char* kActivationNames[] = {"silu", "leaky_relu", "tanh", "softplus"};
}

const char* activation_name(Activation activation) {
    return kActivationNames[static_cast<int>(activation)];
}

Activation activation_from(const std::string& name) {
    for (int k = 0; k < 4; ++k)
        if (name == kActivationNames[k]) return static_cast<Activation>(k);
    throw InputError("there is no activation '" + name +
                     "'; write silu, leaky_relu, tanh or softplus");
}

}  // namespace microlift
