// A jump process between neighbouring cells: the generator of a reduced model on finite volumes.
#pragma once

#include "sampling/numerics/band_matrix.h"

namespace microlift {

// x/(e^x − 1)
double bernoulli(double x);

class CellChain {
public:
    // Jumps at the rates weight B(−force) from → to and weight B(force) back, B(x) = x/(e^x − 1)
    // (Scharfetter and Gummel), force that over kT along the edge: exact where both are constant.
    struct Edge {
        index from, to;
        double weight, force;
    };
    CellChain() = default;
    // `slow`: a rate such as the slowest without barriers, D over the squared range.
    CellChain(index cells, std::vector<Edge> edges, double slow);

    index size() const { return size_; }
    const std::vector<Edge>& edges() const { return edges_; }
    index half_width() const { return half_width_; }

    std::vector<double> stationary() const;  // probabilities
    // Real parts of the slowest rates, without 0, from that many functions or more to start with; NaN
    // where cells hang together so loosely that rounding hides them.
    std::vector<double> rates(int count, std::vector<std::vector<double>> start) const;
    // The slowest function, from one to start with.
    std::vector<double> slowest(std::vector<double> start) const;

private:
    // The inverse of shift − L.
    struct Resolvent {
        double shift = 0;
        BandMatrix factor;
        std::vector<double> pi;
        void apply(std::vector<double>& v) const;  // and takes the mean under pi off
    };
    Resolvent resolvent() const;
    index size_ = 0, half_width_ = 1;
    double slow_ = 0;
    std::vector<Edge> edges_;
};

}  // namespace microlift
