// The split into training and held-out trajectories, and the judge of a generator while it trains: its
// Wasserstein distance to held-out samples, by bins of the condition; the best one is kept.
#pragma once

#include <vector>

#include "engine/files/safetensors.h"
#include "kernels/lane/matrix.h"
#include "nn/train/batch.h"
#include "nn/train/judge.h"
#include "nn/train/trainer.h"

namespace microlift {

struct HeldOutConfig {
    double share = 0.05;
    index bins = 32, samples = 10000;  // at most
    index validations = 1;             // capacity of the record
    uint64 seed = 1;
};

class HeldOut {
public:
    HeldOut() = default;
    // x (state, column) and s (condition, column), column = sample·trajectories + trajectory. Held-out
    // are whole trajectories, chosen by a hash of their number; with fewer than 20 of them the last
    // samples of each.
    HeldOut(Stream& stream, const HeldOutConfig& config, Matrix<const float> states,
            Matrix<const float> conditions, index trajectories);

    const TrainingColumns& columns() const { return columns_; }
    index bins() const { return bins_; }
    index samples() const { return samples_; }
    index total() const { return bins_ * samples_; }
    double floor() const { return floor_; }
    const std::vector<std::vector<double>>& bin_conditions() const { return bin_conditions_; }

    // A state for each of the total() conditions (condition_count, total()) is generated into
    // generated() (state_count, total()); judge() then measures, and copies `average` to `best` where
    // that is the best so far; the clock says whether the floor is reached. Nothing moves to the host.
    Span<const float> conditions() const { return conditions_.span(); }
    Span<float> generated() { return generated_.span(); }
    void judge(Stream& stream, TrainClock* clock, Span<const float> average,
               Span<float> best);

    struct Record {
        std::vector<TrainingHistory::Validation> rows;
        index best_iteration = 0;
        double best = 0;
        std::vector<std::vector<double>> distances;  // (bin, variable), of the best
    };
    Record record(Stream& stream);

    void save(Stream& stream, TensorMap& map);
    // InputError, and nothing changed, if the tensors do not fit.
    void load(Stream& stream, const TensorMap& map);

private:
    // Those that are held out: (sample, trajectory) with from ≤ sample < to.
    struct Kept {
        std::vector<int32> trajectories;
        index from = 0, to = 0;
    };
    void choose_bins(Stream& stream, const HeldOutConfig& config, const Kept& held,
                     Matrix<const float> states, Matrix<const float> conditions,
                     index trajectories);
    std::vector<index> order_by_bins(const std::vector<float>& conditions) const;
    std::vector<float> sort_and_scale(std::vector<float>& states);

    int states_ = 0, condition_count_ = 0;
    index bins_ = 0, samples_ = 0;
    double floor_ = 0;
    std::vector<std::vector<double>> bin_conditions_;
    Buffer<int32> kept_;
    TrainingColumns columns_;
    // (variable, bin, sample)
    Buffer<float> conditions_, held_states_, generated_, inverse_deviation_, distances_,
        best_distances_, rows_;
    Buffer<unsigned char> sort_space_;
    Buffer<BestState> best_;
};

}  // namespace microlift
