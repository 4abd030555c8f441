#include "bench/harness.h"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <sstream>
#include <thread>

#include "engine/device/buffer.h"
#include "engine/device/cpu.h"
#include "engine/device/thread_pool.h"
#include "engine/error.h"
#include "engine/progress.h"
#include "engine/text.h"

namespace microlift {

namespace {

constexpr int kDigits = 6;  // of a figure and of what it should be

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

// Of all threads of the process.
double processor_seconds() {
    timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double timed_wall = 0, timed_cpu = 0;

}  // namespace

void BenchResult::check(const std::string& what, double value, double expected, double tolerance,
                        const std::string& reason) {
    const std::string text = what + " " + number(value, kDigits) + ", expected " +
                             number(expected, kDigits) + " within " +
                             number(tolerance, kDigits) + " (" + reason + ")";
    if (!(std::abs(value - expected) <= tolerance))
        throw NumericError("benchmark: wrong result: " + text);
    checks.push_back(text);
}

void BenchResult::check_moments(const std::string& what, const float* values, index n, double mean,
                                double variance) {
    const double count = static_cast<double>(n);
    double m1 = 0, m2 = 0, m4 = 0;
    for (index i = 0; i < n; ++i) m1 += static_cast<double>(values[i]);
    m1 /= count;
    for (index i = 0; i < n; ++i) {
        const double d = static_cast<double>(values[i]) - m1;
        m2 += d * d;
        m4 += d * d * d * d;
    }
    m2 /= count;
    m4 /= count;
    const std::string reason = number(kSigmas, kDigits) + " standard errors";
    check("mean of " + what, m1, mean, kSigmas * std::sqrt(m2 / count), reason);
    check("variance of " + what, m2, variance, kSigmas * std::sqrt((m4 - m2 * m2) / count), reason);
}

namespace {
bool portable = false;
}  // namespace

bool portable_trajectories() { return portable; }
void set_portable_trajectories(bool chosen) { portable = chosen; }

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    const std::size_t n = values.size();
    return n % 2 == 1 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

double seconds(Stream& stream, const std::function<void()>& work) {
    throw_if_stopped();
    stream.synchronize();
    const double start = now(), cpu_start = processor_seconds();
    work();
    stream.synchronize();
    const double wall = now() - start;
    timed_wall += wall;
    timed_cpu += processor_seconds() - cpu_start;
    return wall;
}

double take_processor_share(int threads) {
    const double share = timed_wall > 0 ? timed_cpu / (timed_wall * threads) : 0;
    timed_wall = timed_cpu = 0;
    return share;
}

index units_per_repeat(Stream& stream, index multiple, const std::function<void(index)>& work,
                       double goal) {
    work(multiple);  // wakes threads, touches memory
    for (index n = multiple;; n *= 4) {
        const double time = seconds(stream, [&] { work(n); });
        if (time < 0.05 * goal) continue;
        const double fit = goal / time * static_cast<double>(n / multiple);
        return std::max<index>(1, std::llround(fit)) * multiple;
    }
}

double measure_clock() {
#if defined(__x86_64__) && defined(__GNUC__)
    constexpr int kAdditions = 16, kRounds = 1 << 14, kSlices = 200;
    std::vector<double> rates;
    for (int slice = 0; slice < kSlices; ++slice) {
        wide_arithmetic();
        unsigned long sum = 0;
        const unsigned long one = 1;
        const double start = now();
        for (int i = 0; i < kRounds; ++i)
            asm volatile(
                "add %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\t"
                "add %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\t"
                "add %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\t"
                "add %1, %0\n\tadd %1, %0\n\tadd %1, %0\n\tadd %1, %0"
                : "+r"(sum)
                : "r"(one)
                : "cc");
        rates.push_back(static_cast<double>(kAdditions) * kRounds / (now() - start));
    }
    // Slices that another process cut are too slow, those after a pause too fast (the processor has left
    // the clock of wide arithmetic): the median.
    std::sort(rates.begin(), rates.end());
    return rates[static_cast<std::size_t>(kSlices / 2)];
#else
    return 0;
#endif
}

double measure_bandwidth(Stream& stream) {
    constexpr index kBytes = index{1} << 29, kPiece = index{1} << 22;
    constexpr int kRounds = 5;
    if (!stream.device().is_cpu()) return 0;
    Buffer<uint64> data(stream.device(), kBytes / 8);
    std::vector<uint64> sums(static_cast<std::size_t>(kBytes / kPiece));
    fill_zero(stream, data.span());  // before that all pages are one
    double best = 0;
    for (int round = 0; round < kRounds; ++round) {
        const double time = seconds(stream, [&] {
            stream.device().pool().run(kBytes / kPiece, [&](index piece) {
                const uint64* const begin = data.data() + piece * (kPiece / 8);
                uint64 sum = 0;
                for (index i = 0; i < kPiece / 8; ++i) sum += begin[i];
                sums[static_cast<std::size_t>(piece)] = sum;
            });
        });
        best = std::max(best, static_cast<double>(kBytes) / time);
    }
    if (std::accumulate(sums.begin(), sums.end(), uint64{0}) != 0) throw NumericError("benchmark: memory does not hold");
    return best;
}

// Those of the last repeats, with all threads at work; the best of some, as what else runs only takes away.
double measure_multiply_adds(int threads) {
    constexpr int kRounds = 5, kEach = 200;
    double best = 0;
    for (int round = 0; round < kRounds; ++round) {
        std::vector<double> rates(static_cast<std::size_t>(threads));
        std::vector<std::thread> workers;
        for (double& rate : rates)
            workers.emplace_back([&rate] {
                const double start = now();
                double count = 0;
                for (int k = 0; k < kEach; ++k) count += wide_arithmetic();
                rate = count / (now() - start);
            });
        for (std::thread& worker : workers) worker.join();
        best = std::max(best, std::accumulate(rates.begin(), rates.end(), 0.0));
    }
    return best;
}

// --- settings of a name --------------------------------------------------------------------------

BenchSettings::BenchSettings(const std::string& text) {
    std::istringstream in(text);
    for (std::string part; std::getline(in, part, ',');) {
        const auto equals = part.find('=');
        if (equals == std::string::npos || equals == 0)
            throw InputError("a benchmark's setting is key=value, not '" + part + "'");
        values_[part.substr(0, equals)] = part.substr(equals + 1);
    }
}

double BenchSettings::get(const std::string& key, double default_value) const {
    used_.insert(key);
    const auto found = values_.find(key);
    if (found == values_.end()) return default_value;
    double value = 0;
    std::istringstream in(found->second);
    in.imbue(std::locale::classic());
    if (!(in >> value) || in.peek() != EOF || !(value > 0) || value > 1e12)
        throw InputError("benchmark: " + key + " = '" + found->second +
                         "' must be a number > 0 and ≤ 1e12");
    return value;
}

index BenchSettings::count(const std::string& key, index default_value) const {
    return std::max<index>(1, std::llround(get(key, static_cast<double>(default_value))));
}

std::string BenchSettings::text(const std::string& key) const {
    used_.insert(key);
    const auto found = values_.find(key);
    return found == values_.end() ? "" : found->second;
}

void BenchSettings::check_used(const std::string& benchmark) const {
    for (const auto& [key, value] : values_)
        if (!used_.count(key))
            throw InputError("the benchmark '" + benchmark + "' has no setting '" + key + "'");
}

}  // namespace microlift
