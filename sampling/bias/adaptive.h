// Biases that all walkers make together while they run, and that are frozen before a sample is stored: then the law is
// that of one fixed bias, and estimators are exact. What the methods share is here: the grid, when they act, what is
// kept on the way, checkpoints.
#pragma once

#include <functional>

#include "sampling/bias/methods.h"
#include "sampling/bias/shared_grid.h"
#include "sampling/bias/table.h"

namespace microlift {

struct AdaptiveOptions {
    GridAxes axes;                         // with what lies beyond the range of interest
    std::array<index, kMaxCvs> beyond{};   // so many points at either end
    std::vector<double> wall;              // energy at every point, outside the adaptive bias; empty: none
    double kt = 1;
    index start = 0, end = 0;  // the bias is made at steps start < step ≤ end, multiples of `pace`
    index pace = 1;
    index frames = 1;          // the bias is kept so many times, at most
    std::array<double, kMaxCvs> sigma{};  // of kernels; 0: from the data
    double height = 1, biasfactor = 10;   // metadynamics; OPES has the second, too
    double barrier = 40;                  // OPES
    double full_samples = 200;            // ABF: in a bin, before all of the force acts
    std::vector<double> temperatures;     // tempering: kT of those above the system's own
    std::array<double, kMaxCvs> spring{}; // eABF: stiffness, energy/ξ²
    index draw = 1;                       // eABF: steps between draws of what springs pull to
    // ABF: effective drift (K) and diffusion (K(K+1)/2) of states, as Model::closure.
    std::function<void(Stream&, Span<const float> x, index row, index n, Span<float> values)> drift;
};

// The bias at one of the steps at which it was kept, by point: energy, and what was added to a sum of hills since the
// frame before (of methods that have hills).
struct BiasFrames {
    std::vector<index> step;
    std::vector<double> bias, hills;  // (frame, point)
};

class AdaptiveBias : public BiasMethod {
public:
    AdaptiveBias(Stream& stream, const BiasSetup& setup);
    void begin_with(Ensemble& ensemble, Span<const float> xi) { draw(ensemble, xi); }  // at the first step
    BiasKind kind() const override { return BiasKind::grid; }
    void begin(Ensemble& ensemble) override;
    index period() const override { return frozen_ ? 0 : options_.pace; }
    void step(Ensemble& ensemble, Span<const float> xi) final;
    void energy(Stream& stream, Span<const float> xi, index row, index n, Span<float> out) const override;
    void save(Stream& stream, Store& store) const override;
    void load(Stream& stream, const Store& store) override;

    // From now on the bias stays as it is.
    virtual void freeze() { frozen_ = true; }

    const AdaptiveOptions& options() const { return options_; }
    // What the bias tends to is −share · F.
    virtual double share() const { return 1 - 1 / options_.biasfactor; }
    // False where it tends to something else: of an expanded ensemble.
    virtual bool follows_profile() const { return true; }
    // By point of the grid: the bias without walls, and how many walkers were counted there.
    std::vector<double> bias() const { return to_host(stream_, Span<const double>(bias_.span())); }
    std::vector<double> counts() const { return to_host(stream_, Span<const double>(total_.span())); }
    BiasFrames frames() const;
    std::array<double, kMaxCvs> sigma() const { return sigma_; }  // 0 as long as it is unknown
    // Where hills stand that frames() lists.
    virtual bool has_hills() const { return false; }

protected:
    // Makes bias_ anew from the walkers; count_ is empty before and may be full after.
    virtual void update(Ensemble& ensemble, Span<const float> xi) = 0;
    // What happens at every step() besides, before update().
    virtual void draw(Ensemble&, Span<const float> /*xi*/) {}
    virtual bool uses_kernels() const { return true; }
    // The sums that frames and checkpoints keep beside bias_ and total_.
    virtual std::vector<Span<double>> sums() { return {}; }
    bool frozen() const { return frozen_; }
    bool integrates_at(index step) const;  // of methods that integrate a mean force
    // Smooths `in` with the kernels `weight` of every axis.
    void smooth(Span<const double> in, Span<double> out);
    void set_kernels(bool normal);  // of the widths on the device

    index points() const { return options_.axes.size(); }
    // 2 at the end of an axis without a period, where half a cell is: 4 at a corner.
    Span<const double> ends() const { return ends_.span(); }

    Stream& stream_;
    BiasSetup setup_;
    AdaptiveOptions options_;
    GridView view_;
    Buffer<float> polynomials_;
    Buffer<double> bias_, total_, wall_, ends_, between_, kernel_[kMaxCvs];
    Buffer<double> width_;  // σ of each axis, on the device
    Buffer<uint64> count_;
    std::array<double, kMaxCvs> sigma_{};

private:
    void publish();
    void find_sigma(index step, Span<const float> xi);
    void set_sigma(const std::array<double, kMaxCvs>& sigma);
    void keep_frame(index step);

    bool frozen_ = false;
    std::vector<float> seen_;  // ξ of all walkers while there was no bias, for σ
    std::vector<index> frame_step_;
    Buffer<double> frame_bias_, frame_hills_;
};

std::unique_ptr<BiasMethod> make_metadynamics(Stream& stream, const BiasSetup& setup);
std::unique_ptr<BiasMethod> make_opes(Stream& stream, const BiasSetup& setup);
std::unique_ptr<BiasMethod> make_opes_explore(Stream& stream, const BiasSetup& setup);
std::unique_ptr<BiasMethod> make_abf(Stream& stream, const BiasSetup& setup);
std::unique_ptr<BiasMethod> make_eabf(Stream& stream, const BiasSetup& setup);
std::unique_ptr<BiasMethod> make_expanded(Stream& stream, const BiasSetup& setup);

}  // namespace microlift
