// Matrix products of the emulated device against sums written out, in every order and transposition.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "tests/emulator/cublas/product.h"
#include "tests/emulator/fault.h"
#include "tests/emulator/memory.h"

namespace emulator {
namespace {

struct Held {
    Matrix matrix;
    std::vector<float> values;  // as rows, without padding
    Held(std::int64_t rows, std::int64_t columns, bool by_rows, float first) {
        const std::int64_t length = by_rows ? columns : rows, lines = by_rows ? rows : columns;
        matrix = {0, rows, columns, length + 3, by_rows};
        const std::size_t bytes = static_cast<std::size_t>(lines * matrix.ld) * 4;
        matrix.address = Memory::device().allocate(bytes, "matrix");
        for (std::int64_t l = 0; l < lines; ++l)
            Memory::device().at(line(l), static_cast<std::size_t>(length) * 4, Access::write);
        for (std::int64_t i = 0; i < rows; ++i)
            for (std::int64_t j = 0; j < columns; ++j) {
                values.push_back(first + static_cast<float>(values.size() % 11) * 0.25f);
                std::memcpy(at(i, j), &values.back(), 4);
            }
    }
    ~Held() { Memory::device().free(matrix.address); }
    std::uint64_t line(std::int64_t l) const { return matrix.address + static_cast<std::uint64_t>(l * matrix.ld) * 4; }
    std::byte* at(std::int64_t i, std::int64_t j) const {
        const std::int64_t l = matrix.by_rows ? i : j, p = matrix.by_rows ? j : i;
        return Memory::device().at(line(l) + static_cast<std::uint64_t>(p) * 4, 4, Access::read);
    }
    float value(std::int64_t i, std::int64_t j) const {
        float x;
        std::memcpy(&x, at(i, j), 4);
        return x;
    }
};

}  // namespace

TEST_CASE("products: every order, transposition, beta and bias equal the sums written out") {
    const std::int64_t m = 5, n = 4, k = 7;
    for (int choice = 0; choice < 64; ++choice) {
        const auto bit = [&](int b) { return (choice >> b & 1) != 0; };
        const bool ta = bit(0), tb = bit(1), beta = bit(2), bias = bit(3), by_rows = bit(4), other = bit(5);
        Held a(ta ? k : m, ta ? m : k, by_rows, -1), b(tb ? n : k, tb ? k : n, other, 2), d(m, n, by_rows, 3);
        Held shift(m, 1, false, -7);
        const std::vector<float> before = d.values;
        multiply({a.matrix, b.matrix, d.matrix, d.matrix, ta, tb, 2, beta ? 0.5f : 0.0f,
                  bias ? shift.matrix.address : 0, Factors::fp32});
        for (std::int64_t i = 0; i < m; ++i)
            for (std::int64_t j = 0; j < n; ++j) {
                float sum = 0;  // eighths below 2^16: exact in any order
                for (std::int64_t q = 0; q < k; ++q)
                    sum += a.values[static_cast<std::size_t>(ta ? q * m + i : i * k + q)] *
                           b.values[static_cast<std::size_t>(tb ? j * k + q : q * n + j)];
                float expected = 2 * sum;
                if (beta) expected += 0.5f * before[static_cast<std::size_t>(i * n + j)];
                if (bias) expected += shift.values[static_cast<std::size_t>(i)];
                CHECK(d.value(i, j) == expected);
            }
    }
}

TEST_CASE("products: factors are rounded to 10 and 7 fraction bits, and sums are not") {
    // 1 + 2^-11 is half way between two numbers of tf32, 1 + 2^-8 between two of bf16.
    CHECK(rounded(1 + 0x1p-11f, Factors::tf32) == 1 + 0x1p-10f);
    CHECK(rounded(-1 - 0x1p-11f, Factors::tf32) == -1 - 0x1p-10f);
    CHECK(rounded(1 + 0x1p-12f, Factors::tf32) == 1);
    CHECK(rounded(1 + 0x1p-8f, Factors::bf16) == 1);
    CHECK(rounded(1 + 3 * 0x1p-8f, Factors::bf16) == 1 + 0x1p-6f);
    CHECK(rounded(1 + 0x1p-8f + 0x1p-20f, Factors::bf16) == 1 + 0x1p-7f);
    CHECK(rounded(1 + 0x1p-20f, Factors::fp32) == 1 + 0x1p-20f);
    CHECK(std::isinf(rounded(HUGE_VALF, Factors::bf16)));
    CHECK(std::isnan(rounded(std::nanf(""), Factors::tf32)));
}

TEST_CASE("products: what was never written and what lies outside are faults") {
    Held a(3, 3, true, 1), b(3, 3, true, 1), d(3, 3, true, 1);
    Matrix wide = a.matrix;
    wide.rows = 4;
    CHECK_THROWS_AS(multiply({wide, b.matrix, d.matrix, d.matrix}), Fault);
    Matrix padded = a.matrix;
    padded.columns = 4;  // the padding of a row
    CHECK_THROWS_AS(multiply({a.matrix, padded, d.matrix, d.matrix}), Fault);
    const std::uint64_t fresh = Memory::device().allocate(36, "fresh");
    const Matrix unwritten{fresh, 3, 3, 3, true};
    CHECK_NOTHROW(multiply({a.matrix, b.matrix, unwritten, unwritten}));  // beta = 0: not read
    Memory::device().free(fresh);
    CHECK_THROWS_AS(multiply({a.matrix, b.matrix, unwritten, unwritten}), Fault);
}

}  // namespace emulator
