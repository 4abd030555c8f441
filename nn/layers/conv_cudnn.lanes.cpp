// The sweeps of a network of convolutions by cuDNN; the condition's and the time's part by matrix products.
#include "engine/launch/lanes.h"
#include "nn/layers/conv.h"

namespace microlift {
namespace {

std::size_t at(int l) { return static_cast<std::size_t>(l); }

}  // namespace

RingConvolution ConvNetwork::convolution(int l, index rows) const {
    return {rows, layout_.sites, layout_.kernel, layout_.ld[at(l - 1)], layout_.ld[at(l)],
            place_.size};
}

void ConvNetwork::plan_cudnn(const Device& device, bool training) {
    convolver_ = CudnnConvolver::create(device, precision_);
    if (!convolver_) return;
    index greatest = 0;
    bool all = true;
    for (int l = 1; l <= layout_.layers; ++l) {
        RingConvolution shape = convolution(l, rows_);
        greatest = std::max(greatest, shape.kernel * shape.in * shape.out);
        all = convolver_->plan(shape, training) && all;
        shape.out = layout_.seeds(l);
        if (training && l > 1) all = convolver_->plan(shape, true) && all;
    }
    if (!all) convolver_.reset();
    if (!convolver_) return;
    filters_ = Buffer<float>(device, layout_.parameters);
    if (training) filter_gradient_ = Buffer<float>(device, greatest);
}

void ConvNetwork::forward_by_cudnn(Stream& stream, const float* parameters, index rows,
                                   bool derivatives) {
    const index place = place_.size, features = layout_.features + 1;
    float* const m = memory_.data();
    fill_input(stream, rows);
    for (int l = 1; l <= layout_.layers; ++l) {
        const index ld = layout_.ld[at(l)], size = layout_.depth(l) * ld;
        float* const filter = filters_.data() + layout_.weight[at(l)];
        for_each_index(stream, size,
                       ToFilterBody{parameters + layout_.weight[at(l)], filter, ld,
                                    layout_.depth(l)});
        Gemm<float> embedding;
        embedding.a = m + place_.feature, embedding.b = parameters + layout_.embedding[at(l)];
        embedding.c = m + place_.embedding, embedding.m = rows, embedding.k = features;
        embedding.n = embedding.ldb = ld, embedding.lda = embedding.ldc = place;
        if constexpr (kHaveCuda) gemm_on_cuda(stream, embedding, precision_);
        for_each_index(stream, rows * layout_.sites * ld,
                       ConvBiasBody{m + place_.embedding, values(l), layout_.sites * ld, ld,
                                    place});
        convolver_->add_forward(stream, convolution(l, rows), m + place_.h[at(l - 1)], filter,
                                values(l));
        if (l < layout_.layers) activate(stream, l, rows, derivatives);
    }
    write_output(stream, rows);
}

void ConvNetwork::backward_by_cudnn(Stream& stream, index rows, float* gradient) {
    const index place = place_.size, features = layout_.features + 1;
    float* const m = memory_.data();
    for (int l = layout_.layers; l >= 1; --l) {
        const index ld = layout_.ld[at(l)];
        seed_layer(stream, l, rows);
        RingConvolution shape = convolution(l, rows);
        convolver_->backward_filter(stream, shape, m + place_.h[at(l - 1)], seeds_of(l),
                                    filter_gradient_.data());
        for_each_index(stream, layout_.depth(l) * ld,
                       FromFilterBody{filter_gradient_.data(), gradient + layout_.weight[at(l)], ld,
                                      layout_.depth(l)});
        sum_sites(stream, l, rows);
        Gemm<float> embedding;
        embedding.a = m + place_.feature, embedding.b = m + place_.sum;
        embedding.c = gradient + layout_.embedding[at(l)], embedding.transposed = true;
        embedding.m = features, embedding.k = rows, embedding.n = embedding.ldc = ld;
        embedding.lda = embedding.ldb = place;
        if constexpr (kHaveCuda) gemm_on_cuda(stream, embedding, precision_);
        if (l == 1) break;
        shape.out = layout_.seeds(l);
        convolver_->backward_data(stream, shape, filters_.data() + layout_.weight[at(l)],
                                  l == layout_.layers ? m + place_.seed_ring : m + place_.r,
                                  layout_.past(l), m + place_.g);
    }
}

}  // namespace microlift
