// An expanded ensemble in temperature (Invernizzi, Piaggi, Parrinello, Phys. Rev. X 10 (2020) 041034): ξ is the potential
// V itself, and with the bias
//   U(V) = −kT₀ ln 1/K Σ_k e^{−(β_k − β₀) V + f_k}
// walkers have the mean of the laws at all temperatures of a ladder. Its weights are learned from all walkers together:
// f_k = β_k F_k − β₀ F₀ = −ln ⟨e^{−(β_k − β₀) V}⟩₀, an average over the grid of walkers with the bias taken off.
#include "engine/launch/lanes.h"
#include "kernels/lane/math.h"

#if !defined(__CUDACC__)
#include "engine/at.h"
#include "sampling/bias/adaptive.h"
#else
#include "sampling/bias/shared_grid.h"
#endif

namespace microlift {

// Counts the walkers of a point, each with the weight e^{U/kT}.
struct UnbiasWalkersBody {
    static constexpr index kGrain = 512;
    double beta;
    const double* bias;
    uint64* count;
    double *total, *weights;
    LANE_FN void operator()(index j) const {
        const double walkers = take_walkers(count[j]);
        total[j] += walkers;
        weights[j] = fma(walkers, exp<Portable>(beta * bias[j]), weights[j]);
    }
};

struct LadderWeightBody {
    const double *weights, *hotter;  // by point; β_k − β₀
    double from, spacing;
    index points;
    double* f;
    // ln Σ weights e^{−hotter V}, from the largest term.
    LANE_FN double log_sum(double hotter_by) const {
        double most = -1e300, sum = 0.0;
        for (index j = 0; j < points; ++j) {
            if (!(weights[j] > 0.0)) continue;
            const double term = log<Portable>(weights[j]) - hotter_by * (from + spacing * static_cast<double>(j));
            if (term > most) {
                sum = fma(sum, exp<Portable>(most - term), 1.0);
                most = term;
            } else {
                sum += exp<Portable>(term - most);
            }
        }
        return most + log<Portable>(sum);
    }
    LANE_FN void operator()(index k) const { f[k] = log_sum(0.0) - log_sum(hotter[k]); }
};

struct LadderBiasBody {
    static constexpr index kGrain = 64;
    const double *f, *hotter;
    double from, spacing, kt;
    index temperatures;  // with the system's own, which comes first
    double* bias;
    LANE_FN void operator()(index j) const {
        const double v = from + spacing * static_cast<double>(j);
        double most = -1e300, sum = 0.0;
        for (index k = 0; k < temperatures; ++k) {
            const double term = f[k] - hotter[k] * v;
            if (term > most) {
                sum = fma(sum, exp<Portable>(most - term), 1.0);
                most = term;
            } else {
                sum += exp<Portable>(term - most);
            }
        }
        bias[j] = -kt * (most + log<Portable>(sum / static_cast<double>(temperatures)));
    }
};

HOST_PASS_BEGIN

void launch_ladder(Stream& stream, index n, const UnbiasWalkersBody& body) { for_each_index(stream, n, body); }
void launch_ladder(Stream& stream, index n, const LadderWeightBody& body) { for_each_index(stream, n, body); }
void launch_ladder(Stream& stream, index n, const LadderBiasBody& body) { for_each_index(stream, n, body); }

HOST_PASS_END

#if !defined(__CUDACC__)

namespace {

class ExpandedEnsemble final : public AdaptiveBias {
public:
    ExpandedEnsemble(Stream& stream, const BiasSetup& setup)
        : AdaptiveBias(stream, setup), rungs_(1 + std::ssize(options_.temperatures)),
          weights_(stream.device(), points()), hotter_(stream.device(), rungs_), f_(stream.device(), rungs_) {
        if (setup.cvs != 1 || rungs_ < 2)
            throw InputError("bias: a ladder of temperatures needs one collective variable, the potential, and two of them");
        std::vector<double> hotter{0.0};
        for (const double kt : options_.temperatures) hotter.push_back(1 / kt - 1 / options_.kt);
        copy_to_device(stream_, hotter_.span(), hotter.data());
    }
    bool follows_profile() const override { return false; }
    double share() const override { return 1; }

private:
    void update(Ensemble&, Span<const float> xi) override {
        const index n = setup_.trajectories, m = points();
        const double from = options_.axes.from[0], h = options_.axes.spacing(0);
        count_walkers(stream_, view_, 1, xi, n, n, count_.span());
        launch_ladder(stream_, m, UnbiasWalkersBody{1 / options_.kt, bias_.data(), count_.data(), total_.data(), weights_.data()});
        launch_ladder(stream_, rungs_, LadderWeightBody{weights_.data(), hotter_.data(), from, h, m, f_.data()});
        launch_ladder(stream_, m, LadderBiasBody{f_.data(), hotter_.data(), from, h, options_.kt, rungs_, bias_.data()});
    }
    bool uses_kernels() const override { return false; }
    std::vector<Span<double>> sums() override { return {weights_.span()}; }

    index rungs_;
    Buffer<double> weights_, hotter_, f_;
};

}  // namespace

std::unique_ptr<BiasMethod> make_expanded(Stream& stream, const BiasSetup& setup) {
    return std::make_unique<ExpandedEnsemble>(stream, setup);
}

#endif

}  // namespace microlift
