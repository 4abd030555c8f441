// Umbrella sampling: a parabola for each window, `replicas` trajectories in each; between launches
// neighbouring windows may exchange states.
#pragma once

#include "sampling/bias/exchange.h"
#include "sampling/bias/methods.h"
#include "sampling/bias/windows.h"

namespace microlift {

struct UmbrellaOptions {
    BiasWindows windows;
    std::array<index, kMaxCvs> grid{1, 1};  // how many windows along each CV, for exchanges
    std::array<bool, kMaxCvs> round{};      // whether they go all round its period
    index replicas = 1;
    index exchange = 0;  // steps between attempts; 0: none
};

class Umbrella final : public BiasMethod {
public:
    Umbrella(Stream& stream, const BiasSetup& setup);
    BiasKind kind() const override { return BiasKind::harmonic; }
    void begin(Ensemble& ensemble) override;
    index period() const override { return options_.exchange; }
    void step(Ensemble& ensemble, Span<const float> xi) override;
    void energy(Stream& stream, Span<const float> xi, index row, index n,
                Span<float> out) const override;
    void save(Stream& stream, Store& store) const override;
    void load(Stream& stream, const Store& store) override;

    // Exchanges accepted, and attempts; on the device.
    Span<uint64> counters() { return counters_.span(); }

private:
    Stream& stream_;
    BiasSetup setup_;
    UmbrellaOptions options_;
    Buffer<float> center_, stiffness_;  // (K, trajectories)
    Buffer<uint64> counters_;
};

std::unique_ptr<BiasMethod> make_umbrella(Stream& stream, const BiasSetup& setup);

}  // namespace microlift
