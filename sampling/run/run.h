// A run in progress, shared by its stages: stage_*.cpp hold one each, pipeline.cpp their order and
// pipeline_checkpoint.cpp what survives an interruption. Not for users of the library.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>

#include "engine/files/array_file.h"
#include "engine/files/files.h"
#include "nn/generators/registry.h"
#include "sampling/estimate/accumulate.h"
#include "sampling/estimate/conditional.h"
#include "sampling/estimate/free_energy.h"
#include "sampling/lift/coupling.h"
#include "sampling/lift/lifted_moves.h"
#include "sampling/lift/lifting.h"
#include "sampling/model/model.h"
#include "sampling/run/pipeline.h"
#include "sampling/run/record.h"
#include "sampling/samples/samples_file.h"

namespace microlift {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

inline constexpr double kCheckpointSeconds = 10;

inline double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// Different seeds for different parts of a run, all from the run's own (SplitMix64's finaliser).
inline uint64 derived_seed(uint64 seed, uint64 part) {
    uint64 z = seed + 0x9E3779B97F4A7C15ull * (part + 1);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

// What a stage took; adds up over interruptions and rounds.
class StageMeter {
public:
    StageMeter(Json& stages, const std::string& name)
        : stages_(stages), name_(name), start_(Clock::now()), before_(transfer_counters()) {}
    void work(double steps, double force_evaluations) {
        steps_ += steps;
        force_evaluations_ += force_evaluations;
    }
    ~StageMeter() {
        const TransferCounters now = transfer_counters();
        if (!stages_[name_].is_object()) stages_[name_] = Json::object();
        add("seconds", seconds_since(start_));
        if (steps_ > 0) {
            add("steps", steps_);
            Json& record = stages_[name_];
            record["steps_per_second"] =
                record["steps"].get<double>() / record["seconds"].get<double>();
        }
        if (force_evaluations_ > 0) add("force_evaluations", force_evaluations_);
        add("bytes_to_device", static_cast<double>(now.bytes_to_device - before_.bytes_to_device));
        add("bytes_to_host", static_cast<double>(now.bytes_to_host - before_.bytes_to_host));
        add("kernel_launches", static_cast<double>(now.kernel_launches - before_.kernel_launches));
    }

private:
    void add(const char* key, double value) {
        Json& record = stages_[name_];
        record[key] = record.value(key, 0.0) + value;
    }
    Json& stages_;
    std::string name_;
    Clock::time_point start_;
    TransferCounters before_;
    double steps_ = 0, force_evaluations_ = 0;
};

inline std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4g", value);
    return text;
}

// `most` of the values or all of them, evenly apart, both ends among them; of one, the middle.
std::vector<std::array<double, kMaxCvs>> some_of(
    const std::vector<std::array<double, kMaxCvs>>& all, index most);

// What [generator] says.
TrainerConfig trainer_config(const RunConfig& run, index iterations, uint64 seed);

class Pipeline {
public:
    Pipeline(const RunConfig& run, const RunOptions& options, Progress& progress);
    void run();

private:
    // description
    Json describe_system() const;
    void warn(const std::string& text);

    // checkpoints
    Store base_checkpoint();
    static std::vector<std::uint8_t> packed(const TensorMap& tensors);
    static TensorMap unpacked(std::span<const std::uint8_t> bytes);
    void save_sampling(Ensemble& ensemble, index sampled, double steps, double energies,
                       const std::vector<uint64>& counters);
    void put_samples(Store& store);
    void save_training(GeneratorTrainer& trainer);
    void restore();
    void load_rows(Buffer<float>& to, std::span<const float> from, index n);
    void read_samples();

    // sampling
    struct RoundPlan {
        index windows, replicas, equilibrate, segments, exchange, jump;
    };
    RoundPlan plan() const;
    // Centres of this round's windows: the grid of the umbrella; later where plan_round() put them.
    std::vector<std::array<double, kMaxCvs>> round_centers() const;
    void sample();
    // Of the steps of a Metropolis scheme, and a warning where few are accepted.
    void record_acceptance(Ensemble& ensemble, const RoundPlan& p,
                           const std::function<std::string(index)>& describe_window, Json& record);
    index launch_steps(index trajectories) const;
    void try_exchange(Ensemble& ensemble, const RoundPlan& p, Buffer<uint64>& accepted);
    void set_bias(Ensemble& ensemble, std::size_t first_window, const RoundPlan& p);
    void set_initial(Ensemble& ensemble, std::size_t first_window, const RoundPlan& p);
    index nearest_row(const Table& table, const std::array<double, kMaxCvs>& center) const;

    // a run that keeps no samples
    void start_histogram(const RoundPlan& p);
    void put_histogram(Store& store);
    FreeEnergyResult estimate_histogram(const EstimateOptions& options);
    void write_histogram();

    // free energy
    void estimate();
    // The start is forgotten after several relaxation times, τ = g/2 samples.
    void warn_equilibration(const std::vector<double>& inefficiency);
    void warn_drift();  // it was not forgotten
    void write_samples(const FreeEnergyResult& result);
    void write_potential();  // for pictures

    // the generator
    // What the generator learns, (targets, n) rows of `row` columns.
    Span<const float> targets(index& row);
    std::vector<std::string> target_names() const;
    void train();
    // Trains the kinds of generator.compare on the same data, into generator_KIND.safetensors.
    void compare();

    // the coupling loop
    double force_evaluations_spent() const;
    double window_spacing(int k) const;
    std::vector<CouplingPlace> coupling_places() const;
    LiftedMovesConfig moves_config(uint64 seed) const;
    std::vector<CouplingPlace> judged_places(ConditionalMoments& m);
    // The ablation: both alone, at the cost of every round.
    void ablate();
    Json coupling_profile(double cost, const ConditionalMoments* m,
                          const std::vector<double>& free_energy) const;
    void add_errors(Json& point, const Json& reference) const;
    // Where the generator may be used.
    void consistency();
    // Energies (and a ring's correlations) of lifted and healed states against long runs held on ξ.
    void energies();
    std::size_t place_bin(const std::array<double, kMaxCvs>& place) const;
    // Reweighted lifted states against the samples, at every place.
    void judge_reweighted(std::vector<CouplingPlace>& places, const ConditionalMoments& samples,
                          double target_w1);
    // Writes down what this round brought; false where no other follows.
    bool plan_round();
    // Earlier windows' samples that this round's contradict are thrown away.
    void discard_outdated();

    // A diffusion map of the samples, for a later run.
    void learn();
    // A collective variable that is flat where the samples are.
    void warn_flat_cv();

    // what came out
    void judge();
    struct Moments {
        std::string source;
        std::vector<double> mean, error, variance;  // (variable, bin)
    };
    void write_conditional(const std::vector<Moments>& rows, const std::vector<std::string>& names);
    void close();
    // Moments over the states lifted at every bin: x (dims, n), `per_bin` consecutive columns a bin.
    Moments bin_moments(const std::string& source, const std::vector<float>& x, index n,
                        index per_bin, const std::vector<int>& which) const;
    std::vector<std::array<double, kMaxCvs>> judged_values() const;
    std::vector<float> stored_cvs();  // (K, samples), on the host
    Buffer<float> conditions(const std::vector<std::array<double, kMaxCvs>>& values, index each);
    void lift(std::vector<Moments>& rows, const std::vector<std::string>& names);
    // Rows of a lifted state that the generator makes.
    std::vector<int> generated_rows() const;
    // The generator beside lifting by geometric harmonics of the stored samples.
    void classical_lifting(const std::vector<std::string>& names);
    void warn_outside_data(const std::vector<double>& mean);
    // Importance weights and Metropolis at every bin, of a generator with a density.
    void weigh_proposals(std::vector<Moments>& rows, const std::vector<std::string>& names);
    // How long lifted states are healed; heal_steps = −1: five relaxation times, measured once at some
    // of the judged values.
    index healing_steps();
    // RMS of ξ(x) − s, of every `each` columns, or of all.
    std::vector<double> residuals(const Buffer<float>& x, const Buffer<float>& s, index n, index each);
    double residual(const Buffer<float>& x, const Buffer<float>& s, index n) {
        return residuals(x, s, n, n).front();
    }
    // Physics samples whose ξ lies within `reach` bin widths of a value; up to `most`, evenly spread.
    std::vector<index> samples_near(const std::vector<float>& xi, const std::array<double, kMaxCvs>& value,
                                    double reach, index most) const;
    using Others = std::vector<std::pair<std::string, std::vector<float>>>;  // kind, lifted states
    void judge_distributions(const std::vector<std::array<double, kMaxCvs>>& values, index each,
                             const std::vector<float>& before, const std::vector<float>& after,
                             const Others& others, const std::vector<int>& which,
                             const std::vector<std::string>& names);
    static std::string label(const std::string& name, index number);
    void write_exact();
    void write_metrics() { write_file(dir_ / "metrics.json", metrics_.dump(1) + "\n"); }
    void print_summary() const;
    const RunConfig& run_;
    fs::path dir_;
    Progress& progress_;
    Device device_;
    Stream stream_;
    Model model_;
    Grid grid_;
    std::vector<int> free_;
    std::shared_ptr<const PathKernel> kernel_;
    SampleSet samples_;
    std::optional<SampleAccumulator> histogram_;
    BiasWindows windows_;
    ErrorBlocks error_blocks_;
    Buffer<float> targets_, exchange_xi_;
    TensorMap warm_;  // the last training's state: where the next round's begins
    Store checkpoint_;
    std::string stage_ = "sample";
    index round_ = 0;
    std::vector<std::array<double, kMaxCvs>> next_centers_;
    std::vector<std::vector<double>> round_places_;  // of the round at hand
    index discarded_ = 0;                            // windows, in the round at hand
    double jump_acceptance_ = 0;
    std::vector<double> profile_, profile_error_;    // of the free energy, by bin
    std::vector<double> profile_influence_;          // of blocks on it, (block, bin)
    index healing_ = -1;  // chosen by healing_steps()
    Json metrics_ = Json::object();
};

}  // namespace microlift
