// Convolutions of one dimension in the emulated device's memory, by their definition: y[n, k, w] = alpha Σ x[n, c,
// w + s − padding] f[k, c, s] + beta y, and its two derivatives. Sums are in double and rounded once.
#pragma once

#include <cstdint>

namespace emulator {

// (n, c, 1, w) with the strides of each; bytes are fp32.
struct Images {
    std::int64_t n = 0, c = 0, w = 0, n_stride = 0, c_stride = 0, w_stride = 0;
    std::int64_t at(std::int64_t i, std::int64_t channel, std::int64_t place) const {
        return i * n_stride + channel * c_stride + place * w_stride;
    }
};

// (k, s, c), c next to each other.
struct Filters {
    std::int64_t k = 0, c = 0, s = 0;
    std::int64_t at(std::int64_t out, std::int64_t in, std::int64_t tap) const { return (out * s + tap) * c + in; }
};

struct Convolution {
    Images x, y;
    Filters f;
    std::int64_t padding = 0;
    float alpha = 1, beta = 0;
    bool tf32 = false;
    std::uint64_t x_address = 0, y_address = 0, f_address = 0;
};

void convolve(const Convolution& c);           // y from x and f
void convolve_back_data(const Convolution& c);  // x from y and f
void convolve_back_filter(const Convolution& c);  // f from x and y

}  // namespace emulator
