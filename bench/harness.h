// What benchmarks share: repeats, the clock, checks against exact values.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/device/stream.h"

namespace microlift {

inline constexpr uint64 kSeed = 20240607;  // of every benchmark's noise

struct BenchResult {
    std::string unit;           // "steps_per_second", …
    std::vector<double> rates;  // one a repeat
    std::string precision = "float32";
    double ceiling = 0;   // in the same unit; 0: none is stated
    double clock_hz = 0;  // of one core, measured in the same run; 0: not measured
    std::vector<std::pair<std::string, double>> more;  // further figures of the JSON object
    std::vector<std::string> checks;                   // what was compared with what

    // Throws NumericError unless |value − expected| ≤ tolerance; says where the tolerance is from.
    void check(const std::string& what, double value, double expected, double tolerance,
               const std::string& reason);
    // Mean and variance of independent values within kSigmas standard errors of the exact ones.
    void check_moments(const std::string& what, const float* values, index n, double mean,
                       double variance);
};

inline constexpr double kSigmas = 5;  // a chance of 6e-7 a check
inline constexpr int kRepeats = 5;
inline constexpr double kSecondsPerRepeat = 1;
inline constexpr int kPack = 16;  // lanes that ceilings are counted for: AVX-512

// The mathematics of trajectories in every benchmark, chosen before the first.
bool portable_trajectories();
void set_portable_trajectories(bool portable);

double median(std::vector<double> values);
// Wall time of the work, the device's included.
double seconds(Stream& stream, const std::function<void()>& work);
// Processor time over threads · wall time of what `seconds` timed since the last call: how much of the
// machine the work got while others ran too.
double take_processor_share(int threads);
// How many units (a multiple of `multiple`) take about `goal` seconds; runs some to find out.
index units_per_repeat(Stream& stream, index multiple, const std::function<void(index)>& work,
                       double goal = kSecondsPerRepeat);
// Cycles a second of one core under the load of wide arithmetic: a chain of dependent additions, one a
// cycle, timed right after it. 0 where unknown.
double measure_clock();
// Bytes a second that all threads together read from memory, of an array far larger than the caches; 0: unknown.
double measure_bandwidth(Stream& stream);
// Multiply-adds of floats a second that so many threads can do together, from registers alone.
double measure_multiply_adds(int threads);

// What a name may carry: "training:batch=4096,width=128". InputError for what is no number, and from
// check_used for a key that nobody asked for.
class BenchSettings {
public:
    explicit BenchSettings(const std::string& text);
    double get(const std::string& key, double default_value) const;
    index count(const std::string& key, index default_value) const;  // ≥ 1
    std::string text(const std::string& key) const;                  // "" if left out
    void check_used(const std::string& benchmark) const;

private:
    std::map<std::string, std::string> values_;
    mutable std::set<std::string> used_;
};

struct Repeats {
    explicit Repeats(const BenchSettings& settings)
        : seconds(settings.get("seconds", kSecondsPerRepeat)),
          count(static_cast<int>(settings.count("repeats", kRepeats))) {}
    double seconds;  // about, of each
    int count;
};

// The benchmarks.
BenchResult bench_muller_brown(Stream& stream);
BenchResult bench_ensemble_sweep(Stream& stream, const BenchSettings& settings);
BenchResult bench_formula(Stream& stream);  // the same by formula, beside the built-in
BenchResult bench_formula_schemes(Stream& stream);
BenchResult bench_fast_slow(Stream& stream);
BenchResult bench_diffusion_map(Stream& stream);
// Passes over samples and points, each beside what memory or arithmetic allow: windows=, samples= of each of 200
// replicas, points= of kernels.
BenchResult bench_passes(Stream& stream, const BenchSettings& settings);
// Alanine dipeptide: solvent=, n=replicas, rounds= of the random numbers; the sweep's n is the largest.
BenchResult bench_molecule(Stream& stream, const BenchSettings& settings);
BenchResult bench_molecule_sweep(Stream& stream, const BenchSettings& settings);

// In sizes to choose, for bench/peers/ and for the entries that name some. All take seconds=, about
// the time of a repeat, and repeats=.
// One Müller–Brown ensemble, Euler–Maruyama: n=trajectories.
BenchResult bench_ensemble(Stream& stream, const BenchSettings& settings);
// cGAN updates: batch=, width= of the three hidden layers, precision= of a CUDA device's products;
// competitor=1 measures on the CPU how much longer they take while another thread occupies a processor.
BenchResult bench_training(Stream& stream, const BenchSettings& settings);
// States of a trained generator: width=, states= in one call, precision=.
BenchResult bench_sampling(Stream& stream, const BenchSettings& settings);
// Free energies by MBAR: windows=, samples= a window; save=PREFIX writes PREFIX_samples.npy (window,
// sample) and PREFIX_free_energies.npy.
BenchResult bench_estimate(Stream& stream, const BenchSettings& settings);

}  // namespace microlift
