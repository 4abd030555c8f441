// What benchmarks share: repeats, the clock, checks against exact values.
#pragma once

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "engine/stream.h"

namespace microlift {

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

double median(std::vector<double> values);
// Wall time of the work, the device's included.
double seconds(Stream& stream, const std::function<void()>& work);
// How many units (a multiple of `multiple`) take about kSecondsPerRepeat; runs some to find out.
index units_per_repeat(Stream& stream, index multiple, const std::function<void(index)>& work);
// Cycles a second of one core: a chain of dependent additions, one a cycle. 0 where unknown.
double measure_clock();

// The benchmarks.
BenchResult bench_muller_brown(Stream& stream);
BenchResult bench_formula(Stream& stream);  // the same by formula, beside the built-in
BenchResult bench_fast_slow(Stream& stream);
BenchResult bench_cgan(Stream& stream, index batch);
BenchResult bench_generate(Stream& stream);
BenchResult bench_mbar(Stream& stream);

}  // namespace microlift
