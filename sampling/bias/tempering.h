// Replica exchange in temperature: rungs are ensembles of one molecule at rising temperatures, trajectory by
// trajectory under the same bias; neighbouring rungs swap states by Metropolis.
#pragma once

#include <memory>
#include <vector>

#include "sampling/model/model.h"

namespace microlift {

class Tempering {
public:
    // temperatures, K: of the rungs above `base`, whose trajectories they copy in number and bias.
    // InputError where the model is no molecule.
    Tempering(Stream& stream, const Model& model, const IntegratorConfig& integrator, Ensemble& base,
              const std::vector<double>& temperatures, uint64 seed);

    // Every rung above from the states of the base, with velocities of its own temperature.
    void start();
    void advance(uint64 steps);
    // Rungs 0 and 1, 2 and 3, …, or 1 and 2, 3 and 4, …, by turns.
    void exchange(uint64 attempt);
    void check_finite();

    double force_evaluations() const;
    // States and counters, for checkpoints.
    std::vector<float> save_state();
    void load_state(const std::vector<float>& state, uint64 step);
    std::vector<uint64> counters();  // of each pair of neighbours: accepted, attempted
    void load_counters(const std::vector<uint64>& counters);

private:
    void exchange_pair(std::size_t lower, uint64 attempt);
    Ensemble& rung(std::size_t k) { return k == 0 ? base_ : *rungs_[k - 1]; }

    Stream& stream_;
    const Model& model_;
    Ensemble& base_;
    uint64 seed_;
    std::vector<double> beta_;  // of all rungs, 1/(kJ/mol)
    std::vector<std::unique_ptr<Ensemble>> rungs_;
    Buffer<float> energy_[2], xi_[2];
    Buffer<uint64> counters_;
};

}  // namespace microlift
