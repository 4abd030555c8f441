#include "tests/emulator/cublas/product.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "tests/emulator/memory.h"

namespace emulator {

namespace {

// The matrix as rows side by side, transposed where asked for.
std::vector<float> loaded(const Matrix& m, bool transpose, Factors factors) {
    std::vector<float> values(static_cast<std::size_t>(m.rows * m.columns));
    const std::int64_t lines = m.by_rows ? m.rows : m.columns, length = m.by_rows ? m.columns : m.rows;
    const bool along = m.by_rows != transpose;  // a line of memory is a row of the result
    for (std::int64_t l = 0; l < lines; ++l) {
        const auto* from = reinterpret_cast<const float*>(Memory::device().at(
            m.address + static_cast<std::uint64_t>(l * m.ld) * 4, static_cast<std::size_t>(length) * 4,
            Access::read, 4));
        for (std::int64_t i = 0; i < length; ++i)
            values[static_cast<std::size_t>(along ? l * length + i : i * lines + l)] = rounded(from[i], factors);
    }
    return values;
}

void store(const Matrix& m, const std::vector<float>& values) {
    const std::int64_t lines = m.by_rows ? m.rows : m.columns, length = m.by_rows ? m.columns : m.rows;
    for (std::int64_t l = 0; l < lines; ++l) {
        auto* to = reinterpret_cast<float*>(Memory::device().at(
            m.address + static_cast<std::uint64_t>(l * m.ld) * 4, static_cast<std::size_t>(length) * 4,
            Access::write, 4));
        for (std::int64_t i = 0; i < length; ++i)
            to[i] = values[static_cast<std::size_t>(m.by_rows ? l * length + i : i * lines + l)];
    }
}

}  // namespace

float rounded(float x, Factors factors) {
    if (factors == Factors::fp32 || !std::isfinite(x)) return x;
    const auto bits = std::bit_cast<std::uint32_t>(x);
    if (factors == Factors::tf32) return std::bit_cast<float>((bits + 0x1000u) & 0xffffe000u);
    return std::bit_cast<float>((bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u);
}

void multiply(const Product& p) {
    const std::int64_t m = p.d.rows, n = p.d.columns;
    const std::int64_t k = p.transpose_a ? p.a.rows : p.a.columns;
    if (m == 0 || n == 0) return;
    const std::vector<float> a = loaded(p.a, p.transpose_a, p.factors), b = loaded(p.b, p.transpose_b, p.factors);
    std::vector<float> d = p.beta != 0 ? loaded(p.c, false, Factors::fp32)
                                       : std::vector<float>(static_cast<std::size_t>(m * n));
    std::vector<float> bias(static_cast<std::size_t>(m));
    if (p.bias)
        bias = loaded({p.bias, m, 1, m, false}, false, Factors::fp32);
    std::vector<double> sums(static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < m; ++i) {
        std::ranges::fill(sums, 0.0);
        for (std::int64_t q = 0; q < k; ++q) {
            const auto factor = static_cast<double>(a[static_cast<std::size_t>(i * k + q)]);
            const float* row = b.data() + q * n;
            for (std::int64_t j = 0; j < n; ++j)
                sums[static_cast<std::size_t>(j)] += factor * static_cast<double>(row[j]);
        }
        for (std::int64_t j = 0; j < n; ++j) {
            float& to = d[static_cast<std::size_t>(i * n + j)];
            const double old = p.beta != 0 ? static_cast<double>(p.beta) * static_cast<double>(to) : 0.0;
            to = static_cast<float>(static_cast<double>(p.alpha) * sums[static_cast<std::size_t>(j)] + old +
                                    static_cast<double>(bias[static_cast<std::size_t>(i)]));
        }
    }
    store(p.d, d);
}

}  // namespace emulator
