// Well-tempered metadynamics (Barducci, Bussi, Parrinello, Phys. Rev. Lett. 100 (2008) 020603) of many walkers that
// share one bias (Raiteri et al., J. Phys. Chem. B 110 (2006) 3533): every walker adds a Gaussian whose height is
// tempered by the whole bias where it stands. Hills stand at the points of the grid.
#include "engine/launch/lanes.h"
#include "kernels/lane/math.h"

#if !defined(__CUDACC__)
#include "sampling/bias/adaptive.h"
#else
#include "sampling/bias/shared_grid.h"
#endif

namespace microlift {

struct DepositBody {
    static constexpr index kGrain = 512;
    double height, inverse_delta;  // of one walker; 1/(kT (γ − 1))
    const double *bias, *ends;
    uint64* count;
    double *hills, *total;
    LANE_FN void operator()(index j) const {
        const double walkers = take_walkers(count[j]);
        total[j] += walkers;
        hills[j] = fma(height * walkers * ends[j], exp<Portable>(-bias[j] * inverse_delta), hills[j]);
    }
};

HOST_PASS_BEGIN

void launch_deposit(Stream& stream, index points, const DepositBody& body) { for_each_index(stream, points, body); }

HOST_PASS_END

#if !defined(__CUDACC__)

namespace {

class Metadynamics final : public AdaptiveBias {
public:
    Metadynamics(Stream& stream, const BiasSetup& setup) : AdaptiveBias(stream, setup), hills_(stream.device(), points()) {}
    bool has_hills() const override { return true; }

private:
    void update(Ensemble&, Span<const float> xi) override {
        const index n = setup_.trajectories;
        count_walkers(stream_, view_, setup_.cvs, xi, n, n, count_.span());
        launch_deposit(stream_, points(),
                       {options_.height / static_cast<double>(n), 1 / (options_.kt * (options_.biasfactor - 1)),
                        bias_.data(), ends().data, count_.data(), hills_.data(), total_.data()});
        smooth(hills_.span(), bias_.span());
    }
    std::vector<Span<double>> sums() override { return {hills_.span()}; }

    Buffer<double> hills_;
};

}  // namespace

std::unique_ptr<BiasMethod> make_metadynamics(Stream& stream, const BiasSetup& setup) {
    return std::make_unique<Metadynamics>(stream, setup);
}

#endif

}  // namespace microlift
