// Convolutions over a ring by cuDNN, for nn/layers/conv.h. The library is looked for when a program first asks:
// a machine without it, or a build without its headers, takes the kernel bodies instead.
#pragma once

#include <memory>
#include <string>

#include "engine/device/buffer.h"
#include "kernels/lane/precision.h"

namespace microlift {

// y[s] = Σ_k x[s + k] w[k] for every site s of a ring, whose x goes on past its end for kernel − 1 sites. Channels
// lie next to each other, sites follow one another, and rows of a batch are `place` numbers apart.
struct RingConvolution {
    index rows = 0, sites = 0, kernel = 0, in = 0, out = 0, place = 0;
    auto operator<=>(const RingConvolution&) const = default;
};

// "9.19.0" of the library that was loaded; "" without one. Built in: its headers were there.
std::string cudnn_version();
bool cudnn_built_in();

class CudnnConvolver {
public:
    // Null where the device is no CUDA device, or cuDNN is missing or does not work with it.
    static std::unique_ptr<CudnnConvolver> create(const Device& device, Precision precision);
    virtual ~CudnnConvolver() = default;

    // Chooses algorithms whose sums have one order, and space for them: before a graph is recorded. False where
    // cuDNN has none for this shape. Fewer rows may be asked for afterwards.
    virtual bool plan(const RingConvolution& shape, bool backward) = 0;

    // x (rows, sites + kernel − 1, in), w (out, kernel, in), y (rows, sites, out).
    virtual void add_forward(Stream& stream, const RingConvolution& shape, const float* x,
                             const float* w, float* y) = 0;  // y += x ∗ w
    // dx (rows, sites, in), of a ring: dy goes on past its end as x does.
    virtual void backward_data(Stream& stream, const RingConvolution& shape, const float* w,
                               const float* dy, bool add, float* dx) = 0;
    virtual void backward_filter(Stream& stream, const RingConvolution& shape, const float* x,
                                 const float* dy, float* dw) = 0;
};

}  // namespace microlift
