#include "tests/emulator/cudnn/convolution.h"

#include <vector>

#include "tests/emulator/cublas/product.h"
#include "tests/emulator/memory.h"

namespace emulator {

namespace {

float* at(std::uint64_t address, std::int64_t offset, Access access) {
    return reinterpret_cast<float*>(Memory::device().at(
        address + 4 * static_cast<std::uint64_t>(offset), 4, access, 4));
}

float read(std::uint64_t address, std::int64_t offset) { return *at(address, offset, Access::read); }

void store(const Convolution& c, std::uint64_t address, std::int64_t offset, double sum) {
    double value = static_cast<double>(c.alpha) * sum;
    if (c.beta != 0) value += static_cast<double>(c.beta) * static_cast<double>(read(address, offset));
    *at(address, offset, Access::write) = static_cast<float>(value);
}

double product(const Convolution& c, float a, float b) {
    const Factors factors = c.tf32 ? Factors::tf32 : Factors::fp32;
    return static_cast<double>(rounded(a, factors)) * static_cast<double>(rounded(b, factors));
}

}  // namespace

void convolve(const Convolution& c) {
    for (std::int64_t n = 0; n < c.y.n; ++n)
        for (std::int64_t w = 0; w < c.y.w; ++w)
            for (std::int64_t k = 0; k < c.y.c; ++k) {
                double sum = 0;
                for (std::int64_t s = 0; s < c.f.s; ++s) {
                    const std::int64_t from = w + s - c.padding;
                    if (from < 0 || from >= c.x.w) continue;
                    for (std::int64_t i = 0; i < c.x.c; ++i)
                        sum += product(c, read(c.x_address, c.x.at(n, i, from)),
                                       read(c.f_address, c.f.at(k, i, s)));
                }
                store(c, c.y_address, c.y.at(n, k, w), sum);
            }
}

void convolve_back_data(const Convolution& c) {
    for (std::int64_t n = 0; n < c.x.n; ++n)
        for (std::int64_t place = 0; place < c.x.w; ++place)
            for (std::int64_t i = 0; i < c.x.c; ++i) {
                double sum = 0;
                for (std::int64_t s = 0; s < c.f.s; ++s) {
                    const std::int64_t w = place + c.padding - s;
                    if (w < 0 || w >= c.y.w) continue;
                    for (std::int64_t k = 0; k < c.y.c; ++k)
                        sum += product(c, read(c.y_address, c.y.at(n, k, w)),
                                       read(c.f_address, c.f.at(k, i, s)));
                }
                store(c, c.x_address, c.x.at(n, i, place), sum);
            }
}

void convolve_back_filter(const Convolution& c) {
    for (std::int64_t k = 0; k < c.f.k; ++k)
        for (std::int64_t s = 0; s < c.f.s; ++s)
            for (std::int64_t i = 0; i < c.f.c; ++i) {
                double sum = 0;
                for (std::int64_t n = 0; n < c.y.n; ++n)
                    for (std::int64_t w = 0; w < c.y.w; ++w) {
                        const std::int64_t from = w + s - c.padding;
                        if (from < 0 || from >= c.x.w) continue;
                        sum += product(c, read(c.x_address, c.x.at(n, i, from)),
                                       read(c.y_address, c.y.at(n, k, w)));
                    }
                store(c, c.f_address, c.f.at(k, i, s), sum);
            }
}

}  // namespace emulator
