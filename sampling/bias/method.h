// A bias method: what happens to the bias of an ensemble between launches. To add one: its file here, its
// line in methods.cpp.
#pragma once

#include <any>
#include <array>

#include "sampling/dynamics/ensemble.h"

namespace microlift {

class Store;

// What a method is made for.
struct BiasSetup {
    int cvs = 1;
    index trajectories = 0;
    std::array<double, kMaxCvs> beta{1, 1};  // inverse temperature that the bias on each CV sees
    uint64 seed = 1;
    std::any options;  // the struct of the method's own keys
};

// A bias that changes between launches. Energies are in the unit of the potential.
class BiasMethod {
public:
    virtual ~BiasMethod() = default;

    // The time loop that its ensembles need: PathSetup::bias of their kernel.
    virtual BiasKind kind() const = 0;
    // Gives an ensemble its bias; the memory stays the method's.
    virtual void begin(Ensemble& ensemble) = 0;

    // Steps from one step() to the next; 0: there is none.
    virtual index period() const { return 0; }
    // xi (K, trajectories) on the device: the collective variables now. Works on the device alone, and
    // sums over trajectories in a fixed order, so that no result depends on the number of threads.
    virtual void step(Ensemble&, Span<const float> /*xi*/) {}

    // For estimators: out[j] = U of state j < n, as the bias is now. xi (K, row) are columns as an
    // ensemble stores them: number s · trajectories + t was trajectory t.
    virtual void energy(Stream& stream, Span<const float> xi, index row, index n,
                        Span<float> out) const = 0;

    // What a checkpoint needs beyond the options.
    virtual void save(Stream&, Store&) const {}
    virtual void load(Stream&, const Store&) {}
};

}  // namespace microlift
