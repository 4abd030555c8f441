#include "nn/layers/mlp_network.h"

#include <algorithm>
#include <cmath>

#include "engine/error.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "nn/layers/weights.h"

namespace microlift {

MlpLayout::MlpLayout(const std::vector<index>& widths, Activation kind)
    : layers(static_cast<int>(widths.size()) - 1), activation(kind) {
    if (layers < 1 || layers > kMostLayers)
        throw InputError("a network needs 1 to " + std::to_string(kMostLayers) + " layers, not " +
                         std::to_string(layers));
    for (std::size_t l = 0; l < widths.size(); ++l) {
        if (widths[l] < 1 || widths[l] > kMostWidth)
            throw InputError("a layer's width is " + std::to_string(widths[l]) + "; give 1 to " +
                             std::to_string(kMostWidth));
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

index MlpLayout::bias_columns() const {
    index columns = 0;
    for (std::size_t l = 1; l <= static_cast<std::size_t>(layers); ++l) columns += ld[l];
    return columns;
}

index activations_size(const MlpLayout& layout, index rows) {
    index size = 0;
    for (std::size_t l = 0; l <= static_cast<std::size_t>(layout.layers); ++l)
        size += rows * layout.ld[l];
    return size;
}

std::array<float*, kMostLayers + 1> activations(const MlpLayout& layout, index rows,
                                                float* memory) {
    std::array<float*, kMostLayers + 1> h{};
    for (std::size_t l = 0; l <= static_cast<std::size_t>(layout.layers); ++l) {
        h[l] = memory;
        memory += rows * layout.ld[l];
    }
    return h;
}

// --- as a Network -------------------------------------------------------------------------------------

namespace {

std::size_t at(int l) { return static_cast<std::size_t>(l); }

// use(block) for every tensor of the weights.
template <class Use>
void each_block(const std::string& prefix, const MlpLayout& layout, const Use& use) {
    for (int l = 1; l <= layout.layers; ++l) {
        const std::string name = prefix + "." + std::to_string(l);
        const index in = layout.width[at(l - 1)], out = layout.width[at(l)];
        use(WeightBlock{name + ".weight", {in, out}, layout.weight[at(l)], layout.ld[at(l)]});
        use(WeightBlock{name + ".bias", {out}, layout.bias[at(l)], layout.ld[at(l)]});
    }
}

}  // namespace

MlpNetwork::MlpNetwork(const Device& device, const MlpLayout& layout, index rows, Use use)
    : layout_(layout), rows_(rows) {
    if (use == Use::training) {
        memory_ = Buffer<float>(device, MlpScratch<float>::size(layout, rows, 1, 0));
        scratch_ = MlpScratch<float>(layout, rows, 1, 0, memory_.data());
    } else if (use == Use::sampling) {
        memory_ = Buffer<float>(device, activations_size(layout, rows));
        scratch_.h = activations(layout, rows, memory_.data());
    }
}

TransposeMap MlpNetwork::transpose_map() const {
    TransposeMap map;
    map.layers = layout_.layers;
    for (int l = 1; l <= layout_.layers; ++l) {
        map.begin[l - 1] = static_cast<int32>(layout_.weight[at(l)]);
        map.end[l - 1] = static_cast<int32>(layout_.bias[at(l)]);
        map.out[l - 1] = static_cast<int32>(layout_.width[at(l)]);
        map.ld[l - 1] = static_cast<int32>(layout_.ld[at(l)]);
        map.target[l - 1] = static_cast<int32>(layout_.transposed[at(l)]);
        map.target_ld[l - 1] = static_cast<int32>(layout_.ld[at(l - 1)]);
    }
    return map;
}

void MlpNetwork::add_tensors(TensorMap& map, const std::string& prefix,
                             const std::vector<float>& parameters) const {
    each_block(prefix, layout_,
               [&](const WeightBlock& block) { add_weights(map, block, parameters); });
}

std::vector<float> MlpNetwork::parameters_in(const TensorMap& map,
                                             const std::string& prefix) const {
    std::vector<float> parameters(static_cast<std::size_t>(layout_.parameters), 0.0f);
    each_block(prefix, layout_,
               [&](const WeightBlock& block) { read_weights(map, block, parameters); });
    return parameters;
}

void MlpNetwork::describe(std::map<std::string, std::string>& metadata) const {
    metadata["widths"] = widths_text({layout_.width.begin(),
                                      layout_.width.begin() + layout_.layers + 1});
}

MlpLayout mlp_layout(const SafeTensors& content, index inputs, index outputs) {
    const auto widths = metadata_widths(content);
    const MlpLayout layout(widths, activation_from(content.text("activation")));
    if (widths.front() != inputs || widths.back() != outputs)
        throw InputError("the weights' widths do not fit their latent dimension and whitening; give "
                         "a file that microlift wrote");
    return layout;
}

void MlpNetwork::forward(RowProgram<float>& program, const float* parameters, bool derivatives) {
    const Mlp<float> network = view(program, parameters, nullptr);
    if (derivatives)
        network.forward(program, 1, Derivatives<1>{});
    else
        network.forward(program, 1, Derivatives<0>{});
}

void MlpNetwork::squared_error(RowProgram<float>& program, const float* target, float scale,
                               float* loss) {
    const Matrix<float> out = output();
    program.each_row(SquaredErrorBody{static_cast<int>(out.columns), scale, out.data, target,
                                      seed().data, loss, out.stride});
}

void MlpNetwork::backward(RowProgram<float>& program, const float* parameters,
                          const float* transposed) {
    const Mlp<float> network = view(program, parameters, transposed);
    network.reverse(program, 1, 0, false);
    network.weight_gradients(program, 1, 0);
}

void MlpNetwork::plan_tangent(Stream& stream, index rows,
                              const std::vector<TangentDirection>& directions) {
    directions_ = static_cast<int>(directions.size());
    if (std::any_of(directions.begin(), directions.end(),
                    [](const TangentDirection& d) { return d.waves > 0; })) {
        angles_ = Buffer<TangentDirection>(stream.device(), directions_);
        copy_to_device(stream, angles_.span(), directions.data());
    }
    index size = 0;
    for (int l = 1; l < layout_.layers; ++l) size += (1 + directions_) * rows * layout_.ld[at(l)];
    tangent_memory_ = Buffer<float>(stream.device(), size);
    float* free = tangent_memory_.data();
    for (int l = 1; l < layout_.layers; ++l) {
        scratch_.first[at(l)] = free;
        free += rows * layout_.ld[at(l)];
        tangent_[at(l)] = free;
        free += directions_ * rows * layout_.ld[at(l)];
    }
}

void MlpNetwork::tangent(RowProgram<float>& program, const float* parameters, float* out) {
    const Mlp<float> network = view(program, parameters, nullptr);
    const int L = layout_.layers;
    const index rows = program.rows();
    const TangentStartBody start{network.weight(1).data, L == 1 ? nullptr : scratch_.first[1],
                                 L == 1 ? out : tangent_[1], rows * layout_.ld[1], layout_.ld[1]};
    if (angles_.size() > 0)
        program.lanes(directions_, layout_.ld[1],
                      TangentOfAnglesBody{start, angles_.data(), scratch_.h[0], layout_.ld[0]});
    else
        program.lanes(directions_, layout_.ld[1], start);
    for (int l = 2; l <= L; ++l) {
        float* to = l == L ? out : tangent_[at(l)];
        program.multiply(directions_, {network.of(tangent_[at(l - 1)], l - 1), network.weight(l),
                                       nullptr, network.of(to, l)});
        if (l < L)
            program.lanes(directions_, layout_.ld[at(l)],
                          TangentScaleBody{scratch_.first[at(l)], to, rows * layout_.ld[at(l)]});
    }
}

}  // namespace microlift
