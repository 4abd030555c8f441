#include "nn/layers/conv.h"

#include <algorithm>
#include <cmath>

#include "engine/error.h"
#include "engine/launch/lanes.h"
#include "kernels/lane/simd.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "nn/layers/weights.h"

namespace microlift {
namespace {

std::size_t at(int l) { return static_cast<std::size_t>(l); }

template <class Real>
constexpr int kLanesOf = kNativeWidth * 4 / static_cast<int>(sizeof(Real));

// Places are told apart by whole cache lines.
index padded(index n) { return (n + 31) / 32 * 32; }

}  // namespace

void ConvLayout::check(const std::vector<index>& channels, index kernel) {
    if (channels.empty() || channels.size() > kMostHiddenLayers)
        throw InputError("a network of convolutions needs 1 to " +
                         std::to_string(kMostHiddenLayers) + " hidden layers, not " +
                         std::to_string(channels.size()));
    for (const index n : channels)
        if (n < 1 || n % kPad != 0 || n > kMostChannels)
            throw InputError("a convolution has " + std::to_string(n) +
                             " channels; give a multiple of " + std::to_string(kPad) +
                             ", at most " + std::to_string(kMostChannels));
    if (kernel < 1 || kernel % 2 == 0)
        throw InputError("a convolution of " + std::to_string(kernel) +
                         " sites; give an odd number");
}

ConvLayout::ConvLayout(index site_count, index feature_count, const std::vector<index>& hidden,
                       index width, Activation kind)
    : layers(static_cast<int>(hidden.size()) + 1), activation(kind), sites(site_count),
      kernel(width), features(feature_count) {
    check(hidden, kernel);
    if (kernel > sites)
        throw InputError("a convolution of " + std::to_string(kernel) + " sites on a ring of " +
                         std::to_string(sites) + "; give an odd number, at most the ring's");
    channels[0] = ld[0] = 2;
    for (int l = 1; l < layers; ++l) channels[at(l)] = ld[at(l)] = hidden[at(l - 1)];
    channels[at(layers)] = 1;
    ld[at(layers)] = kPad;
    for (int l = 1; l <= layers; ++l) {
        weight[at(l)] = parameters;
        parameters += depth(l) * ld[at(l)];
        embedding[at(l)] = parameters;
        parameters += (features + 1) * ld[at(l)];
        flipped[at(l)] = flipped_size;
        flipped_size += kernel * seeds(l) * ld[at(l - 1)];
    }
}

std::vector<float> ConvLayout::initial(uint64 seed) const {
    std::vector<float> values(static_cast<std::size_t>(parameters), 0.0f);
    uint32 number = 0;
    const auto fill = [&](index from, index rows, int l, float bound) {
        for (index i = 0; i < rows; ++i)
            for (index c = 0; c < channels[at(l)]; ++c) {
                uint32 counter[4] = {number++, kStreamWeights, 0, 1};
                philox4x32(counter, philox_key(seed));
                values[static_cast<std::size_t>(from + i * ld[at(l)] + c)] =
                    bound * (2.0f * uniform_open<float>(counter[0]) - 1.0f);
            }
    };
    for (int l = 1; l <= layers; ++l) {
        const float inputs = static_cast<float>(depth(l));
        fill(weight[at(l)], depth(l), l, std::sqrt(3.0f / inputs));
        // The last row, of the constant, begins at zero.
        fill(embedding[at(l)], features, l, std::sqrt(3.0f / static_cast<float>(features + 1)));
    }
    return values;
}

std::vector<float> ConvLayout::flip(const std::vector<float>& values) const {
    std::vector<float> out(static_cast<std::size_t>(flipped_size));
    for (int l = 1; l <= layers; ++l) {
        const FlipBody body{values.data() + weight[at(l)], out.data() + flipped[at(l)], kernel,
                            ld[at(l - 1)], seeds(l), ld[at(l)]};
        for (index i = 0; i < kernel * seeds(l) * ld[at(l - 1)]; ++i) body(i);
    }
    return out;
}

ConvPlace::ConvPlace(const ConvLayout& layout, bool training) {
    const auto take = [&](index n) {
        const index from = size;
        size += padded(n);
        return from;
    };
    const index ends = layout.sites + 2 * layout.half();
    index widest = 0;
    for (int l = 0; l < layout.layers; ++l) {
        h[at(l)] = take(ends * layout.ld[at(l)]);
        if (l > 0) widest = std::max(widest, layout.ld[at(l)]);
        if (training && l > 0) first[at(l)] = take(layout.sites * layout.ld[at(l)]);
    }
    feature = take(layout.features + 1);
    embedding = take(widest);
    out = take(layout.sites * kPad);
    if (!training) return;
    seed = take(layout.sites * kPad);
    seed_ring = take(ends);
    g = take(layout.sites * widest);
    r = take(ends * widest);
    sum = take(widest);
}

// --- a row at a time ----------------------------------------------------------------------------------

namespace {

template <class Real>
Gemm<Real> product(const Real* a, index lda, index m, index k, const Real* b, index ldb,
                   const Real* bias, Real* c) {
    Gemm<Real> gemm;
    gemm.a = a, gemm.lda = lda, gemm.m = m, gemm.k = k, gemm.b = b, gemm.ldb = ldb;
    gemm.bias = bias, gemm.c = c, gemm.ldc = ldb, gemm.n = ldb;
    return gemm;
}

}  // namespace

template <class Real>
void ConvRow<Real>::forward(const Real* dense, bool derivatives) const {
    constexpr int lanes = kLanesOf<Real>;
    const index sites = layout.sites, half = layout.half();
    Real* const feature = memory + place.feature;
    Real* const embedded = memory + place.embedding;
    ConvInputBody<Real>{dense, 0, sites, half, layout.features,
                        static_cast<Real>(std::sqrt(static_cast<double>(sites))),
                        memory + place.h[0], feature, 0}(0);
    for (int l = 1; l <= layout.layers; ++l) {
        const index ld = layout.ld[at(l)], before = layout.ld[at(l - 1)];
        const bool last = l == layout.layers;
        gemm_on_cpu(product<Real>(feature, layout.features + 1, 1, layout.features + 1,
                                  parameters + layout.embedding[at(l)], ld, nullptr, embedded));
        Real* const h = last ? memory + place.out : memory + place.h[at(l)] + half * ld;
        Gemm<Real> gemm = product<Real>(memory + place.h[at(l - 1)], before, sites, layout.depth(l),
                                        parameters + layout.weight[at(l)], ld, embedded, h);
        if (last) gemm.columns = 1;
        gemm_on_cpu(gemm);
        if (last) break;
        const Real* const past =
            layout.past(l) ? memory + place.h[at(l - 1)] + half * before : nullptr;
        const index size = sites * ld;
        const ConvActivateBody<Real> body{layout.activation, h, past,
                                          derivatives ? memory + place.first[at(l)] : nullptr, size,
                                          0};
        for (index i = 0; i < size; i += lanes) body(Pack<Real, lanes>{}, i);
        Real* const row = memory + place.h[at(l)];
        std::copy_n(row + size, half * ld, row);
        std::copy_n(row + half * ld, half * ld, row + half * ld + size);
    }
}

template <class Real>
void ConvRow<Real>::squared_error(const Real* target, Real scale, Real* loss) const {
    ConvLossBody<Real>{memory + place.out, target, 0, layout.sites, layout.half(), kPad, scale,
                       memory + place.seed, memory + place.seed_ring, loss, 0}(0);
}

template <class Real>
void ConvRow<Real>::reverse(const Real* flipped, Real* gradient) const {
    constexpr int lanes = kLanesOf<Real>;
    const index sites = layout.sites, half = layout.half(), features = layout.features + 1;
    Real* const sum = memory + place.sum;
    for (int l = layout.layers; l >= 1; --l) {
        const index ld = layout.ld[at(l)], before = layout.ld[at(l - 1)];
        const bool last = l == layout.layers;
        Real* const ring = memory + place.r;
        Real* const r = last ? memory + place.seed : ring + half * ld;
        if (!last) {
            const index size = sites * ld;
            const ConvSeedBody<Real> body{memory + place.g, memory + place.first[at(l)], r, size, 0};
            for (index i = 0; i < size; i += lanes) body(Pack<Real, lanes>{}, i);
            std::copy_n(ring + size, half * ld, ring);
            std::copy_n(ring + half * ld, half * ld, ring + half * ld + size);
        }
        Gemm<Real> weights = product<Real>(memory + place.h[at(l - 1)], before, layout.depth(l),
                                           sites, r, ld, nullptr, gradient + layout.weight[at(l)]);
        weights.transposed = weights.accumulate = true;
        if (last) weights.columns = 1;
        gemm_on_cpu(weights);
        std::fill_n(sum, ld, Real(0));
        add_column_sums_on_cpu<Real>(r, ld, sites, ld, sum);
        Gemm<Real> embedding = product<Real>(memory + place.feature, features, features, 1, sum, ld,
                                             nullptr, gradient + layout.embedding[at(l)]);
        embedding.transposed = embedding.accumulate = true;
        gemm_on_cpu(embedding);
        if (l == 1) break;
        const index seeds = layout.seeds(l);
        Gemm<Real> reverse = product<Real>(
            last ? memory + place.seed_ring : ring, seeds, sites, layout.kernel * seeds,
            flipped + layout.flipped[at(l)], before, nullptr, memory + place.g);
        reverse.accumulate = layout.past(l);
        gemm_on_cpu(reverse);
    }
}

template struct ConvRow<float>;
template struct ConvRow<double>;

// --- batches ----------------------------------------------------------------------------------------

ConvNetwork::ConvNetwork(const Device& device, const ConvLayout& layout, index rows, Use use,
                         Precision precision, bool by_bodies)
    : layout_(layout), place_(layout, use == Use::training), rows_(rows),
      dense_ld_(padded_width(layout.sites + layout.features)), out_ld_(padded_width(layout.sites)),
      precision_(precision == Precision::tf32 || precision == Precision::bf16 ? Precision::tf32
                                                                              : Precision::fp32),
      by_bodies_(by_bodies || !device.is_cpu()) {
    if (use == Use::none) return;
    const index places = by_bodies_ ? rows : static_cast<index>(device.threads());
    memory_ = Buffer<float>(device, place_.size * places);
    dense_ = Buffer<float>(device, rows * dense_ld_);
    out_ = Buffer<float>(device, rows * out_ld_);
    if (!by_bodies) plan_cudnn(device, use == Use::training);
}

ConvRow<float> ConvNetwork::row(const float* parameters) {
    return {layout_, place_, parameters, memory_.data() + ThreadPool::worker() * place_.size};
}

void ConvNetwork::forward(RowProgram<float>& program, const float* parameters, bool derivatives) {
    if (convolver_)
        return forward_by_cudnn(program.stream(), parameters, program.rows(), derivatives);
    if (by_bodies_)
        return forward_by_bodies(program.stream(), parameters, program.rows(), derivatives);
    program.each_row_on_cpu([this, parameters, derivatives](index number, float*) {
        const ConvRow<float> network = row(parameters);
        network.forward(dense_.data() + number * dense_ld_, derivatives);
        float* const out = out_.data() + number * out_ld_;
        for (index d = 0; d < layout_.sites; ++d) out[d] = network.memory[place_.out + d * kPad];
    });
}

void ConvNetwork::squared_error(RowProgram<float>& program, const float* target, float scale,
                                float* loss) {
    if (by_bodies_)
        return squared_error_by_bodies(program.stream(), target, scale, program.rows(), loss);
    program.each_row_on_cpu([this, target, scale, loss](index number, float*) {
        row(nullptr).squared_error(target + number * out_ld_, scale, loss + number);
    });
}

void ConvNetwork::backward(RowProgram<float>& program, const float* parameters,
                           const float* flipped) {
    if (convolver_) return backward_by_cudnn(program.stream(), program.rows(), program.gradient());
    if (by_bodies_)
        return backward_by_bodies(program.stream(), flipped, program.rows(), program.gradient());
    program.each_row_on_cpu([this, parameters, flipped](index, float* slot) {
        row(parameters).reverse(flipped, slot);
    });
}

void ConvNetwork::fill_input(Stream& stream, index rows) {
    float* const m = memory_.data();
    for_each_index(stream, rows,
                   ConvInputBody<float>{dense_.data(), dense_ld_, layout_.sites, layout_.half(),
                                        layout_.features,
                                        static_cast<float>(std::sqrt(static_cast<double>(layout_.sites))),
                                        m + place_.h[0], m + place_.feature, place_.size});
}

void ConvNetwork::activate(Stream& stream, int l, index rows, bool derivatives) {
    const index sites = layout_.sites, half = layout_.half(), place = place_.size;
    const index ld = layout_.ld[at(l)], before = layout_.ld[at(l - 1)];
    float* const m = memory_.data();
    for_each_lane(stream, rows * sites * ld,
                  ConvActivateBody<float>{
                      layout_.activation, values(l),
                      layout_.past(l) ? m + place_.h[at(l - 1)] + half * before : nullptr,
                      derivatives ? m + place_.first[at(l)] : nullptr, sites * ld, place});
    if (half > 0)
        for_each_index(stream, rows * half * ld,
                       ConvHaloBody<float>{m + place_.h[at(l)], half * ld, sites * ld, place});
}

void ConvNetwork::write_output(Stream& stream, index rows) {
    for_each_index(stream, rows,
                   ConvOutputBody{memory_.data() + place_.out, kPad, layout_.sites, place_.size,
                                  out_ld_, out_.data()});
}

void ConvNetwork::seed_layer(Stream& stream, int l, index rows) {
    if (l == layout_.layers) return;  // it has its seed
    const index sites = layout_.sites, half = layout_.half(), place = place_.size;
    const index ld = layout_.ld[at(l)];
    float* const m = memory_.data();
    for_each_lane(stream, rows * sites * ld,
                  ConvSeedBody<float>{m + place_.g, m + place_.first[at(l)], seeds_of(l),
                                      sites * ld, place});
    if (half > 0)
        for_each_index(stream, rows * half * ld,
                       ConvHaloBody<float>{m + place_.r, half * ld, sites * ld, place});
}

void ConvNetwork::sum_sites(Stream& stream, int l, index rows) {
    const index ld = layout_.ld[at(l)];
    for_each_lane(stream, rows * ld,
                  ConvSumBody<float>{seeds_of(l), memory_.data() + place_.sum, layout_.sites, ld,
                                     place_.size});
}

void ConvNetwork::forward_by_bodies(Stream& stream, const float* parameters, index rows,
                                    bool derivatives) {
    const index sites = layout_.sites, place = place_.size;
    float* const m = memory_.data();
    fill_input(stream, rows);
    for (int l = 1; l <= layout_.layers; ++l) {
        const index ld = layout_.ld[at(l)], before = layout_.ld[at(l - 1)];
        for_each_lane(stream, rows * ld,
                      ConvolveBody<float>{m + place_.feature, parameters + layout_.embedding[at(l)],
                                          nullptr, m + place_.embedding, 1, 0, layout_.features + 1,
                                          ld, place, false});
        for_each_lane(stream, rows * sites * ld,
                      ConvolveBody<float>{m + place_.h[at(l - 1)],
                                          parameters + layout_.weight[at(l)], m + place_.embedding,
                                          values(l), sites, before, layout_.depth(l), ld, place,
                                          false});
        if (l < layout_.layers) activate(stream, l, rows, derivatives);
    }
    write_output(stream, rows);
}

void ConvNetwork::squared_error_by_bodies(Stream& stream, const float* target, float scale,
                                          index rows, float* loss) {
    float* const m = memory_.data();
    for_each_index(stream, rows,
                   ConvLossBody<float>{m + place_.out, target, out_ld_, layout_.sites,
                                       layout_.half(), kPad, scale, m + place_.seed,
                                       m + place_.seed_ring, loss, place_.size});
}

void ConvNetwork::backward_by_bodies(Stream& stream, const float* flipped, index rows,
                                     float* gradient) {
    const index count = slots(stream.device(), rows), sites = layout_.sites, place = place_.size;
    float* const m = memory_.data();
    for (int l = layout_.layers; l >= 1; --l) {
        const index ld = layout_.ld[at(l)], before = layout_.ld[at(l - 1)];
        seed_layer(stream, l, rows);
        for_each_lane(stream, count * layout_.depth(l) * ld,
                      ConvGradientBody<float>{m + place_.h[at(l - 1)], seeds_of(l),
                                              gradient + layout_.weight[at(l)], rows, count,
                                              layout_.parameters, sites, before, layout_.depth(l),
                                              ld, place});
        sum_sites(stream, l, rows);
        for_each_lane(stream, count * (layout_.features + 1) * ld,
                      ConvGradientBody<float>{m + place_.feature, m + place_.sum,
                                              gradient + layout_.embedding[at(l)], rows, count,
                                              layout_.parameters, 1, 0, layout_.features + 1, ld,
                                              place});
        if (l == 1) break;
        const index seeds = layout_.seeds(l);
        for_each_lane(stream, rows * sites * before,
                      ConvolveBody<float>{l == layout_.layers ? m + place_.seed_ring : m + place_.r,
                                          flipped + layout_.flipped[at(l)], nullptr, m + place_.g,
                                          sites, seeds, layout_.kernel * seeds, before, place,
                                          layout_.past(l)});
    }
}

void ConvNetwork::transpose(Stream& stream, const float* parameters, float* flipped) const {
    for (int l = 1; l <= layout_.layers; ++l)
        for_each_index(stream, layout_.kernel * layout_.seeds(l) * layout_.ld[at(l - 1)],
                       FlipBody{parameters + layout_.weight[at(l)], flipped + layout_.flipped[at(l)],
                                layout_.kernel, layout_.ld[at(l - 1)], layout_.seeds(l),
                                layout_.ld[at(l)]});
}

// --- weight files -------------------------------------------------------------------------------------

namespace {

// use(block) for every tensor of the weights.
template <class Use>
void each_block(const std::string& prefix, const ConvLayout& layout, const Use& use) {
    for (int l = 1; l <= layout.layers; ++l) {
        const std::string name = prefix + "." + std::to_string(l);
        const index out = layout.channels[at(l)], ld = layout.ld[at(l)];
        use(WeightBlock{name + ".weight",
                        {layout.kernel, layout.ld[at(l - 1)], out},
                        layout.weight[at(l)],
                        ld});
        use(WeightBlock{name + ".embedding", {layout.features + 1, out}, layout.embedding[at(l)],
                        ld});
    }
}

}  // namespace

void ConvNetwork::add_tensors(TensorMap& map, const std::string& prefix,
                              const std::vector<float>& parameters) const {
    each_block(prefix, layout_,
               [&](const WeightBlock& block) { add_weights(map, block, parameters); });
}

std::vector<float> ConvNetwork::parameters_in(const TensorMap& map,
                                              const std::string& prefix) const {
    std::vector<float> parameters(static_cast<std::size_t>(layout_.parameters), 0.0f);
    each_block(prefix, layout_,
               [&](const WeightBlock& block) { read_weights(map, block, parameters); });
    return parameters;
}

void ConvNetwork::describe(std::map<std::string, std::string>& metadata) const {
    metadata["widths"] = widths_text(
        {layout_.channels.begin() + 1, layout_.channels.begin() + layout_.layers});
    metadata["architecture"] = "conv";
    metadata["kernel"] = std::to_string(layout_.kernel);
}

ConvLayout conv_layout(const SafeTensors& content, index features, index sites) {
    return ConvLayout(sites, features, metadata_widths(content),
                      metadata_number(content, "kernel", "kernel", 1, kMostStates),
                      activation_from(content.text("activation")));
}

}  // namespace microlift
