// Replica exchange in temperature: rungs are ensembles of one molecule at rising temperatures, trajectory by
// trajectory under the same bias; neighbouring rungs swap states by Metropolis.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sampling/model/model.h"

namespace microlift {

// A mean over attempts and trajectories, with its standard error from the spread between trajectories: each of
// them climbs and descends a ladder of its own.
struct LadderMean {
    double mean = 0, error = 0;
};

// What was seen at one temperature, before swaps.
struct RungMeans {
    double temperature = 0;   // K
    LadderMean velocities;    // their temperature, K
    LadderMean energy;        // without bias, kJ/mol
    std::vector<LadderMean> cv;
};

// Of energies E and E' of two neighbouring rungs in one ladder the densities of (E, E') and (E', E) have the ratio
// e^{slope (E − E')}; by Boltzmann slope is the difference of the inverse temperatures.
struct RungSlope {
    double expected = 0;  // mol/kJ
    LadderMean found;
};

class Tempering {
public:
    // temperatures, K: of the rungs above `base`, whose trajectories they copy in number and bias.
    // InputError where the model is no molecule.
    Tempering(Stream& stream, const Model& model, const IntegratorConfig& integrator, Ensemble& base,
              const std::vector<double>& temperatures, uint64 seed);

    // Every rung above from the states of the base, with velocities of its own temperature.
    void start();
    void advance(uint64 steps);
    // Rungs 0 and 1, 2 and 3, …, or 1 and 2, 3 and 4, …, by turns. What is measured enters means() and
    // slopes().
    void exchange(uint64 attempt, bool measured = true);
    // As Ensemble::check_finite of every rung above the base; `describe` says where a trajectory belongs.
    void check_finite(const std::function<std::string(index)>& describe);

    double force_evaluations() const;
    // States and counters, for checkpoints.
    std::vector<float> save_state();
    void load_state(const std::vector<float>& state, uint64 step);
    std::vector<uint64> counters();  // of each pair of neighbours: accepted, attempted
    std::vector<double> sums();      // of what is measured
    void load_counters(const std::vector<uint64>& counters, const std::vector<double>& sums);
    index counter_count() const { return counters_.size(); }

    // Of every rung and of every pair of neighbours; empty before two attempts of each pair, or with one ladder.
    std::vector<RungMeans> means();
    std::vector<RungSlope> slopes();

private:
    void exchange_pair(std::size_t lower, uint64 attempt, bool measured);
    bool measured(const std::vector<double>& sums) const;
    LadderMean ladder_mean(const std::vector<double>& sums, const std::vector<index>& rows,
                           const std::vector<index>& counts, double factor) const;
    Ensemble& rung(std::size_t k) { return k == 0 ? base_ : *rungs_[k - 1]; }

    Stream& stream_;
    const Model& model_;
    Ensemble& base_;
    uint64 seed_;
    std::vector<double> beta_;  // of all rungs, 1/(kJ/mol)
    std::vector<std::unique_ptr<Ensemble>> rungs_;
    Buffer<float> energy_[2], xi_[2];
    Buffer<uint64> counters_;
    Buffer<float> mass_;   // of each coordinate
    double freedom_ = 0;   // degrees of it
    Buffer<double> sums_;  // (pair, row, trajectory), rows as in TemperingRows
};

}  // namespace microlift
