// What samples near a value of the collective variables say of the conditional law there: shares below
// a bound, by linear regression of "is below" on ξ, and the quantiles that follow. What is left is of second
// order in the distance, whether ξ shifts a law or makes its parts trade weight.
#pragma once

#include <vector>

#include "kernels/lane/lane.h"
#include "sampling/numerics/statistics.h"

namespace microlift {

class LocalLaw {
public:
    // z[k*n + i] = ξ_k of sample i less the value, dims ≤ 2; block[i] < blocks, for errors.
    LocalLaw(int dims, std::vector<double> z, std::vector<index> block, index blocks);

    // Of one number a sample, at each of the shares p, which ascend.
    std::vector<double> quantiles(const std::vector<double>& y, const std::vector<double>& p) const;
    // Standard error of the share below `bound`, by the delete-one-block jackknife.
    double share_error(const std::vector<double>& y, double bound) const;

private:
    struct Sums {  // Σ1, Σz_0, Σz_1, Σz_0z_0, Σz_0z_1, Σz_1z_1
        double v[6] = {};
    };
    // A sample's weight in the intercept is (c_0 + c_1 z_0 + c_2 z_1).
    struct Weights {
        double c[3];
    };
    Weights weights(const Sums& s) const;
    double z(int k, std::size_t i) const {
        return k < dims_ ? z_[static_cast<std::size_t>(k) * n_ + i] : 0.0;
    }

    int dims_;
    std::size_t n_;
    std::vector<double> z_;
    std::vector<index> block_;
    std::vector<Sums> sums_;  // by block
    Sums total_;
};

}  // namespace microlift
