// Adaptive biasing force (Darve, Pohorille, J. Chem. Phys. 115 (2001) 9169) of systems whose effective drift
// b = ⟨Lξ⟩ and diffusion D = ⟨∇ξ·D∇ξ⟩ have formulas: by stationarity b = div D − D F'/kT, whatever the bias on ξ is.
#include "engine/launch/lanes.h"

#if !defined(__CUDACC__)
#include "engine/launch/reduce.h"
#include "sampling/bias/adaptive.h"
#include "sampling/bias/mean_force.h"
#else
#include "sampling/bias/shared_grid.h"
#endif

namespace microlift {

// Rows: drift of every variable, then the diffusion matrix, rows of its upper triangle.
struct GatherForcesBody {
    static constexpr index kGrain = 512;
    int rows;
    index points;
    const double* unit;
    uint64 *count, *sums;
    double *total, *values;  // (row, point)
    LANE_FN void operator()(index j) const {
        total[j] += take_walkers(count[j]);
        for (int r = 0; r < rows; ++r) {
            uint64& sum = sums[r * points + j];
            values[r * points + j] += static_cast<double>(static_cast<int64>(sum)) * unit[r];
            sum = 0;
        }
    }
};

struct AbfGradientBody {
    static constexpr index kGrain = 512;
    int cvs, points[2];
    bool periodic[2];
    double width[2], kt, full;
    const double *total, *values;
    double* gradient;  // of the bias, (K, points)

    LANE_FN double mean(int row, index j) const {
        return values[row * index{points[0]} * points[1] + j] / total[j];
    }
    // Of a row by variable k, between neighbours that were seen.
    LANE_FN double derivative(int row, int k, index j) const {
        const index stride = k == 0 ? points[1] : 1;
        const int n = points[k], i = static_cast<int>(j / stride % n);
        const index line = j - index{i} * stride;
        int low = i > 0 ? i - 1 : periodic[k] ? n - 1 : i, high = i < n - 1 ? i + 1 : periodic[k] ? 0 : i;
        double apart = (i > 0 || periodic[k] ? 1.0 : 0.0) + (i < n - 1 || periodic[k] ? 1.0 : 0.0);
        if (!(total[line + low * stride] > 0.0)) low = i, apart -= 1.0;
        if (!(total[line + high * stride] > 0.0)) high = i, apart -= 1.0;
        if (!(apart > 0.0)) return 0.0;
        return (mean(row, line + high * stride) - mean(row, line + low * stride)) / (apart * width[k]);
    }
    LANE_FN void operator()(index j) const {
        const index all = index{points[0]} * points[1];
        for (int k = 0; k < cvs; ++k) gradient[k * all + j] = 0.0;
        if (!(total[j] > 0.0)) return;
        const double ramp = total[j] < full ? total[j] / full : 1.0;
        if (cvs == 1) {
            gradient[j] = -ramp * kt * (derivative(1, 0, j) - mean(0, j)) / mean(1, j);
            return;
        }
        // Rows 2, 3, 4: D₀₀, D₀₁, D₁₁.
        const double r0 = derivative(2, 0, j) + derivative(3, 1, j) - mean(0, j);
        const double r1 = derivative(3, 0, j) + derivative(4, 1, j) - mean(1, j);
        const double a = mean(2, j), b = mean(3, j), c = mean(4, j), det = a * c - b * b;
        if (!(det > 0.0)) return;
        gradient[j] = -ramp * kt * (c * r0 - b * r1) / det;
        gradient[all + j] = -ramp * kt * (a * r1 - b * r0) / det;
    }
};

HOST_PASS_BEGIN

void launch_abf(Stream& stream, index points, const GatherForcesBody& body) { for_each_index(stream, points, body); }
void launch_abf(Stream& stream, index points, const AbfGradientBody& body) { for_each_index(stream, points, body); }

HOST_PASS_END

#if !defined(__CUDACC__)

namespace {

class Abf final : public AdaptiveBias {
public:
    Abf(Stream& stream, const BiasSetup& setup)
        : AdaptiveBias(stream, setup), rows_(setup.cvs + setup.cvs * (setup.cvs + 1) / 2),
          integral_(stream, options_.axes), drift_(stream.device(), rows_ * setup.trajectories),
          unit_(stream.device(), rows_), extreme_(stream.device(), 2 * rows_),
          values_(stream.device(), rows_ * points()), gradient_(stream.device(), setup.cvs * points()),
          scratch_(stream.device(), reduce_scratch(rows_, setup.trajectories)),
          forces_(stream.device(), rows_ * points()) {
        if (!options_.drift) throw InputError("bias: adaptive biasing force needs the drift of its collective variables");
    }
    double share() const override { return 1; }

private:
    void update(Ensemble& ensemble, Span<const float> xi) override {
        const index n = setup_.trajectories, m = points();
        options_.drift(stream_, ensemble.x(), n, n, drift_.span());
        const Rows<float> drift(drift_.data(), rows_, n, n);
        row_min(stream_, drift, extreme_.span().subspan(0, rows_), scratch_.span());
        row_max(stream_, drift, extreme_.span().subspan(rows_, rows_), scratch_.span());
        choose_units(stream_, extreme_.span().subspan(0, rows_), extreme_.span().subspan(rows_, rows_), n, unit_.span());
        count_walkers(stream_, view_, setup_.cvs, xi, n, n, count_.span());
        sum_over_walkers(stream_, view_, setup_.cvs, xi, n, n, drift_.span(), rows_, unit_.span(), forces_.span());
        launch_abf(stream_, m,
                   GatherForcesBody{rows_, m, unit_.data(), count_.data(), forces_.data(), total_.data(), values_.data()});
        if (!integrates_at(static_cast<index>(ensemble.step()))) return;
        const GridAxes& axes = options_.axes;
        AbfGradientBody body{setup_.cvs, {static_cast<int>(axes.points[0]), 1}, {axes.periodic[0], axes.periodic[1]},
                             {axes.spacing(0), 1}, options_.kt, options_.full_samples, total_.data(), values_.data(),
                             gradient_.data()};
        if (setup_.cvs == 2) {
            body.points[1] = static_cast<int>(axes.points[1]);
            body.width[1] = axes.spacing(1);
        }
        launch_abf(stream_, m, body);
        integral_.solve(stream_, gradient_.span(), bias_.span());
    }
    bool uses_kernels() const override { return false; }
    std::vector<Span<double>> sums() override { return {values_.span()}; }

    int rows_;
    GradientIntegral integral_;
    Buffer<float> drift_;
    Buffer<double> unit_, extreme_, values_, gradient_, scratch_;
    Buffer<uint64> forces_;
};

}  // namespace

std::unique_ptr<BiasMethod> make_abf(Stream& stream, const BiasSetup& setup) {
    return std::make_unique<Abf>(stream, setup);
}

#endif

}  // namespace microlift
