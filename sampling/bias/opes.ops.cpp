// OPES (Invernizzi, Parrinello, J. Phys. Chem. Lett. 11 (2020) 2731) and its variant that explores (Invernizzi,
// Piaggi, Parrinello, J. Chem. Theory Comput. 18 (2022) 3988): the density of ξ is estimated by kernels, and the bias is
// its logarithm. On a grid no kernels have to be merged, and all of them have the width of the moment,
// σ (n (d + 2)/4)^{−1/(d + 4)} of n effective samples, a point's distance at least.
#include "engine/launch/lanes.h"
#include "kernels/lane/math.h"

#if !defined(__CUDACC__)
#include <cmath>

#include "engine/launch/reduce.h"
#include "sampling/bias/adaptive.h"
#else
#include "sampling/bias/shared_grid.h"
#endif

namespace microlift {

// Counts the walkers of a point, each with the weight e^{U/kT}, or alike.
struct WeighWalkersBody {
    static constexpr index kGrain = 512;
    bool reweighted;
    double beta;
    const double *bias, *ends;
    uint64* count;
    double *total, *weights, *squares, *density;
    LANE_FN void operator()(index j) const {
        const double walkers = take_walkers(count[j]);
        const double weight = reweighted ? exp<Portable>(beta * bias[j]) : 1.0;
        total[j] += walkers;
        weights[j] = fma(walkers, weight, weights[j]);
        squares[j] = fma(walkers, weight * weight, squares[j]);
        density[j] = weights[j] * ends[j];
    }
};

struct KernelWidthBody {
    const double* sums;  // of weights and squares
    double first[2], least[2];
    int cvs;
    double* width;
    LANE_FN void operator()(index k) const {
        const double n = sums[1] > 0.0 ? sums[0] * sums[0] / sums[1] : 1.0;
        const double d = static_cast<double>(cvs);
        const double narrower = exp<Portable>(-log<Portable>(n * (d + 2.0) * 0.25) / (d + 4.0));
        const double sigma = first[k] * (narrower < 1.0 ? narrower : 1.0);
        width[k] = sigma > least[k] ? sigma : least[k];
    }
};

// Where somebody was: the density, and 1.
struct ExploredBody {
    static constexpr index kGrain = 512;
    index points;
    const double *total, *density;
    double* out;
    LANE_FN void operator()(index j) const {
        const bool seen = total[j] > 0.0;
        out[j] = seen ? density[j] : 0.0;
        out[points + j] = seen ? 1.0 : 0.0;
    }
};

struct OpesBiasBody {
    static constexpr index kGrain = 512;
    double scale, epsilon;
    const double *density, *sums;  // of ExploredBody
    double* bias;
    LANE_FN void operator()(index j) const {
        bias[j] = scale * log<Portable>(density[j] / sums[0] * sums[1] + epsilon);
    }
};

HOST_PASS_BEGIN

void launch_opes(Stream& stream, index points, const WeighWalkersBody& body) { for_each_index(stream, points, body); }
void launch_opes(Stream& stream, index cvs, const KernelWidthBody& body) { for_each_index(stream, cvs, body); }
void launch_opes(Stream& stream, index points, const ExploredBody& body) { for_each_index(stream, points, body); }
void launch_opes(Stream& stream, index points, const OpesBiasBody& body) { for_each_index(stream, points, body); }

HOST_PASS_END

#if !defined(__CUDACC__)

namespace {

class Opes final : public AdaptiveBias {
public:
    Opes(Stream& stream, const BiasSetup& setup, bool explore)
        : AdaptiveBias(stream, setup), explore_(explore), weights_(stream.device(), 2 * points()),
          density_(stream.device(), 2 * points()), seen_(stream.device(), 2 * points()), sums_(stream.device(), 4),
          scratch_(stream.device(), reduce_scratch(2, points())) {}

private:
    void update(Ensemble&, Span<const float> xi) override {
        const index n = setup_.trajectories, m = points();
        const double kt = options_.kt, gamma = options_.biasfactor;
        const double scale = explore_ ? kt * (gamma - 1) : kt * (1 - 1 / gamma);
        count_walkers(stream_, view_, setup_.cvs, xi, n, n, count_.span());
        launch_opes(stream_, m,
                    WeighWalkersBody{!explore_, 1 / kt, bias_.data(), ends().data, count_.data(), total_.data(),
                                     weights_.data(), weights_.data() + m, density_.data()});
        row_sum(stream_, Rows<double>(weights_.data(), 2, m, m), sums_.span().subspan(0, 2), scratch_.span());
        KernelWidthBody width{sums_.data(), {}, {}, setup_.cvs, width_.data()};
        for (int k = 0; k < setup_.cvs; ++k) {
            // Kernels are as wide as the data to begin with; a given width is that.
            const auto i = static_cast<std::size_t>(k);
            width.first[k] = sigma_[i];
            width.least[k] = options_.axes.spacing(k);
        }
        launch_opes(stream_, setup_.cvs, width);
        set_kernels(true);
        const Span<double> smooth_density = density_.span().subspan(m, m);
        smooth(density_.span().subspan(0, m), smooth_density);
        launch_opes(stream_, m, ExploredBody{m, total_.data(), smooth_density.data, seen_.data()});
        row_sum(stream_, Rows<double>(seen_.data(), 2, m, m), sums_.span().subspan(2, 2), scratch_.span());
        launch_opes(stream_, m,
                    OpesBiasBody{scale, std::exp(-options_.barrier / scale), smooth_density.data, sums_.data() + 2,
                                 bias_.data()});
    }
    std::vector<Span<double>> sums() override { return {weights_.span()}; }

    bool explore_;
    Buffer<double> weights_, density_, seen_, sums_, scratch_;
};

}  // namespace

std::unique_ptr<BiasMethod> make_opes(Stream& stream, const BiasSetup& setup) {
    return std::make_unique<Opes>(stream, setup, false);
}
std::unique_ptr<BiasMethod> make_opes_explore(Stream& stream, const BiasSetup& setup) {
    return std::make_unique<Opes>(stream, setup, true);
}

#endif

}  // namespace microlift
