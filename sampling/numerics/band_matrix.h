// Banded square matrices on the host, solved by elimination without pivots: for matrices that need none,
// diagonally dominant or positive definite.
#pragma once

#include <vector>

#include "kernels/lane/lane.h"

namespace microlift {

class BandMatrix {
public:
    BandMatrix() = default;
    // Entries with |row − column| ≤ half_width, all 0.
    BandMatrix(index n, index half_width)
        : n_(n), half_(half_width), a_(static_cast<std::size_t>(n * (2 * half_width + 1)), 0.0) {}

    index size() const { return n_; }
    double& operator()(index row, index column) { return row_of(row)[column - row]; }
    double operator()(index row, index column) const { return row_of(row)[column - row]; }

    // A = L U in place; false where a pivot is not positive. Then A x = b or Aᵀ x = b, b overwritten.
    bool factor();
    // The same where off-diagonals are ≤ 0 and the sums of rows, given, ≥ 0: diagonals follow from these
    // and nothing is ever subtracted, so that generators of rare events keep all their digits (Grassmann,
    // Taksar and Heyman, Oper. Res. 33 (1985) 1107).
    bool factor_generator(std::vector<double> row_sum);
    void solve(double* b) const;
    void solve_transposed(double* b) const;

private:
    // Column k below its pivot, once that is right: also(i, factor) for each row that it changes.
    template <class F>
    void eliminate(index k, const F& also);
    // The row's diagonal entry: others lie beside it.
    double* row_of(index row) { return &a_[static_cast<std::size_t>(row * (2 * half_ + 1) + half_)]; }
    const double* row_of(index row) const {
        return &a_[static_cast<std::size_t>(row * (2 * half_ + 1) + half_)];
    }
    index n_ = 0, half_ = 0;
    std::vector<double> a_;
};

// Solves a tridiagonal system in place: sub, diag, super of each row.
void solve_tridiagonal(const std::vector<double>& sub, std::vector<double> diag,
                       const std::vector<double>& super, std::vector<double>& b);

}  // namespace microlift
