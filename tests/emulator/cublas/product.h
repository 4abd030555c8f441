// D = alpha op(A) op(B) + beta C (+ bias) of matrices in the emulated device's memory. Factors are rounded as the
// tensor cores' formats have it; sums are in double and rounded once, since the library's own order of them is
// nobody's to rely on.
#pragma once

#include <cstdint>

namespace emulator {

enum class Factors { fp32, tf32, bf16 };

// To the nearest; in tf32 ties go away from zero (PTX's cvt.rna), in bf16 to even.
float rounded(float x, Factors factors);

struct Matrix {
    std::uint64_t address = 0;
    std::int64_t rows = 0, columns = 0, ld = 0;
    bool by_rows = false;  // consecutive in memory: the numbers of a row; else of a column
};

struct Product {
    Matrix a, b, c, d;
    bool transpose_a = false, transpose_b = false;
    float alpha = 1, beta = 0;
    std::uint64_t bias = 0;  // one number for each row of D; 0: none
    Factors factors = Factors::fp32;
};

// Throws Fault for what lies outside of buffers or was never written; with beta = 0, C is not read.
void multiply(const Product& product);

}  // namespace emulator
