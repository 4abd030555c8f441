// What the stages of a run leave for one another. Each product saves itself into a checkpoint and
// restores itself from one; checkpoint.cpp is a loop over them.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/files/store.h"
#include "engine/files/safetensors.h"
#include "nn/generators/generator.h"
#include "nn/generators/registry.h"
#include "sampling/estimate/accumulate.h"
#include "sampling/estimate/free_energy.h"
#include "sampling/numerics/smoothing.h"
#include "sampling/run/record.h"

namespace microlift {

namespace fs = std::filesystem;

class AdaptiveBias;
class Steered;

class Product {
public:
    virtual ~Product() = default;
    virtual void save(Store& store) const = 0;
    // From a store that save() filled, into a product as the run's configuration makes it. InputError
    // where the two do not go together.
    virtual void load(const Store& store) = 0;
};

// Where the run is: the stage at hand, or "done".
struct Position final : Product {
    std::string stage;
    index round = 0;
    bool done() const { return stage == "done"; }
    void save(Store& store) const override;
    void load(const Store& store) override;
};

struct StageCost {
    double seconds = 0, steps = 0, force_evaluations = 0;
    double bytes_to_device = 0, bytes_to_host = 0, kernel_launches = 0;
};

// metrics.json: written by every stage, read by none. What stages took is kept beside it.
class Record final : public Product {
public:
    Json metrics = Json::object();
    Json& operator[](const std::string& key) { return metrics[key]; }
    Json& stage(const std::string& name) { return metrics["stages"][name]; }
    void add_cost(const std::string& stage, const StageCost& more);
    StageCost cost(const std::string& stage) const;
    // False where the warning was given before.
    bool add_warning(const std::string& text);
    void save(Store& store) const override;
    void load(const Store& store) override;

private:
    std::map<std::string, StageCost> costs_;
};

// The biases of all windows so far.
struct Windows final : Product, BiasWindows {
    void save(Store& store) const override;
    void load(const Store& store) override;
};

// The bias that all walkers make together, or that pulls them, where there is one.
class SharedBias final : public Product {
public:
    explicit SharedBias(Stream& stream);
    ~SharedBias() override;
    std::unique_ptr<AdaptiveBias> method;
    std::unique_ptr<Steered> steered;
    void save(Store& store) const override;
    void load(const Store& store) override;

private:
    Stream* stream_;
};

// The stored samples. As long as no samples.h5 holds them, files samples/000000.h5, … do: a checkpoint adds what came
// since the one before and counts on the first so many, so that others may read them while the run goes on.
struct Samples final : Product, SampleSet {
    // configuration: the checksum that the files have to have.
    Samples(Stream& stream, const fs::path& dir, std::string configuration)
        : stream_(&stream), dir_(dir), configuration_(std::move(configuration)) {}
    void reserve(int dims, int cvs, index capacity);
    bool in_file = false;
    std::vector<long long> segments;  // how many samples each has
    long long first_segment = 0;      // the number of the first
    std::optional<SampleBlock> open;  // of the round that is sampled, `samples` not told
    fs::path folder() const { return dir_ / "samples"; }
    fs::path segment(std::size_t i) const;  // the file of segments[i]
    // None of them is what the samples are now; no number is used again, as a checkpoint may count on its file.
    void forget_segments();
    bool weighted = false;     // whether anyone asks for the weights
    Buffer<float> log_weight;  // of each sample: ln of unbiased over sampled density
    void save(Store& store) const override;
    void load(const Store& store) override;

private:
    // All samples of a file, from row `to` on, with weights where they are wanted of it.
    index load_file(const fs::path& file, index to, bool weights);
    Stream* stream_;
    fs::path dir_;
    std::string configuration_;
};

// Of a run that keeps counts and sums instead of samples.
class Histogram final : public Product {
public:
    explicit Histogram(Stream& stream) : stream_(&stream) {}
    std::optional<SampleAccumulator> accumulator;
    bool kept() const { return accumulator.has_value(); }
    // What a checkpoint held, before resume().
    bool restored() const { return !counts_.empty(); }
    index restored_samples() const { return samples_; }
    // Once the accumulator is made: what a checkpoint held of it.
    void resume();
    void save(Store& store) const override;
    void load(const Store& store) override;

private:
    Stream* stream_;
    index samples_ = 0;
    std::vector<long long> counts_;
    std::vector<double> sums_;
};

struct FreeEnergy final : Product {
    std::vector<double> profile, error;  // by bin
    std::vector<double> influence;       // of blocks on it, (block, bin)
    std::vector<double> bias;            // by bin, as errors count it; empty: none
    std::vector<double> samples;         // by bin; 0 where the data do not reach
    std::vector<std::string> doubts;     // where the data disagree with themselves
    bool start_shows = false;            // equilibrated for less than five relaxation times
    std::vector<WindowOverlap> overlaps;
    ErrorBlocks error_blocks;
    void save(Store& store) const override;
    void load(const Store& store) override;
};

class TrainedGenerator final : public Product {
public:
    SafeTensors weights;  // what generator.safetensors holds
    TensorMap state;      // of the training: where the next round's begins
    double updates = 0, bytes_in_loop = 0;  // over all rounds
    double best = 0, floor = 0;             // held-out W1/σ, and that of a perfect generator
    std::vector<std::vector<double>> conditions;  // of the held-out samples' bins
    std::vector<std::vector<double>> distances;   // (bin, variable): W1/σ
    Generator make(Stream& stream) const { return Generator(stream, weights); }
    void save(Store& store) const override;
    void load(const Store& store) override;
};

// What one round of coupling, or one level of its ablation, knew at the places of coupling.
struct CouplingProfile {
    double force_evaluations = 0;
    std::vector<double> mean, variance;  // (variable, place)
    std::vector<double> free_energy;     // (place)
};

struct Coupling final : Product {
    std::vector<CvValue> places;  // of the windows of the round at hand
    index discarded = 0;          // windows, in the round at hand
    double jump_acceptance = 0;
    std::vector<CouplingProfile> profiles;  // of every round, where an ablation asks for them
    void save(Store& store) const override;
    void load(const Store& store) override;
};

// Sampling that was interrupted.
struct SamplingState final : Product {
    std::vector<float> ensemble;  // empty: none was
    uint64 step = 0;
    index sampled = 0;  // samples of each trajectory
    double steps = 0, energies = 0;
    std::vector<long long> counters;  // of exchanges and jumps
    std::vector<double> rung_sums;    // of what replica exchange in temperature measures
    std::vector<long long> accepted;  // steps of each trajectory, of Metropolis schemes
    void save(Store& store) const override;
    void load(const Store& store) override;
};

// Rates that were interrupted: what a checkpoint held of them, and who fills one.
struct RatesState final : Product {
    Store kept;
    std::function<void(Store&)> fill;
    void save(Store& store) const override;
    void load(const Store& store) override;
};

// Training that was interrupted.
struct TrainingState final : Product {
    TensorMap trainer;  // empty: none was
    void save(Store& store) const override;
    void load(const Store& store) override;
};

}  // namespace microlift
