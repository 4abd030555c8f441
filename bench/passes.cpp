// The passes over samples and points that estimates, closures and diffusion maps consist of, each beside what binds it:
// the time in which the processors read its data, or make its operations, whichever is longer.
#include <algorithm>
#include <cmath>

#include "bench/harness.h"
#include "engine/at.h"
#include "engine/error.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "nn/layers/whitening.h"
#include "sampling/estimate/conditional.h"
#include "sampling/estimate/mbar.h"
#include "sampling/learn/kernel_operator.h"

namespace microlift {

namespace {

// What a processor does besides multiply-adds is counted as one of them: additions, comparisons, conversions.
constexpr double kExpDouble = 22, kExpFloat = 13;

// Of all processors.
struct Machine {
    double bytes, floats, doubles;  // a second; of operations on either
};

// One pass: how often it takes place a second, and its least time.
struct Pass {
    const char* name;
    double count, bytes, operations;  // of what is counted a second; each of them reads and does
    bool doubles;
};

class Report {
public:
    Report(Stream& stream, const Repeats& repeats, BenchResult& result)
        : stream_(stream), repeats_(repeats), result_(result),
          machine_{measure_bandwidth(stream), 0, 0} {
        if (stream.device().is_cpu()) machine_.floats = measure_multiply_adds(stream.device().threads());
        machine_.doubles = 0.5 * machine_.floats;
        result_.more.emplace_back("gigabytes_per_second", 1e-9 * machine_.bytes);
        result_.more.emplace_back("gigaoperations_per_second", 1e-9 * machine_.floats);
    }
    template <class Work>
    void add(const Pass& pass, const Work& work) {
        work();  // touches its scratch space
        std::vector<double> rates;
        for (int r = 0; r < repeats_.count; ++r) rates.push_back(pass.count / seconds(stream_, work));
        const double least = std::max(pass.bytes / machine_.bytes,
                                      pass.operations / (pass.doubles ? machine_.doubles : machine_.floats));
        const double rate = median(rates);
        result_.more.emplace_back(std::string(pass.name) + "_rate", rate);
        if (machine_.bytes > 0) result_.more.emplace_back(std::string(pass.name) + "_share_of_ceiling", rate * least);
        if (result_.rates.empty()) result_.rates = rates;
    }

private:
    Stream& stream_;
    const Repeats& repeats_;
    BenchResult& result_;
    Machine machine_;
};

// N(0, 1) under windows: ξ is N(kc/(1+k), 1/(1+k)), and y = ξ + N(0, 1).
struct Samples {
    static constexpr double kStiffness = 40, kReach = 3;
    static constexpr index kReplicas = 200;
    BiasWindows bias;
    Buffer<float> xi, y;
    BiasedSamples biased;

    Samples(Stream& stream, index windows, index each) {
        const index row = windows * kReplicas, n = row * each;
        bias.beta = {1, 1};
        for (index w = 0; w < windows; ++w) {
            bias.center.push_back({kReach * (2 * static_cast<double>(w) / static_cast<double>(windows - 1) - 1), 0});
            bias.stiffness.push_back({kStiffness, 0});
        }
        std::vector<float> host(at(n)), value(at(n));
        for (index t = 0; t < row; ++t) {
            const double c = bias.center[at(t / kReplicas)][0];
            const PhiloxStream<float> rng(kSeed, kStreamTest, t);
            for (index s = 0; s < each; ++s) {
                float z[4];
                normal_block<Portable>(rng, static_cast<uint64>(s), z);
                const double v = kStiffness * c / (1 + kStiffness) + static_cast<double>(z[0]) / std::sqrt(1 + kStiffness);
                host[at(s * row + t)] = static_cast<float>(v);
                value[at(s * row + t)] = static_cast<float>(v + static_cast<double>(z[1]));
            }
        }
        xi = Buffer<float>(stream.device(), n);
        y = Buffer<float>(stream.device(), n);
        copy_to_device(stream, xi.span(), host.data());
        copy_to_device(stream, y.span(), value.data());
        biased.xi = xi.span();
        biased.row = biased.n = n;
        biased.blocks = {{0, 0, windows, kReplicas, each}};
    }
};

// Of MBAR: the weights of all samples. How many windows count at a sample?
void weigh(Stream& stream, const Samples& s, Report& report, BenchResult& result) {
    const index K = s.bias.size();
    Mixture mixture;
    mixture.windows = K;
    std::vector<double> a;
    for (index w = 0; w < K; ++w) {
        const double c = s.bias.center[at(w)][0], k = Samples::kStiffness;
        mixture.center.push_back(c);
        mixture.half_stiffness.push_back(0.5 * k);
        mixture.population.push_back(static_cast<double>(s.biased.n / K));
        a.push_back(0.5 * k * c * c / (1 + k) + std::log(mixture.population.back()));  // f + ln N
    }
    const std::vector<float> xi = to_host(stream, s.biased.xi);
    constexpr index kCounted = 1000;
    double windows = 0;
    std::vector<Mixture::Term> terms;
    for (const index j : spread_over(s.biased.n, kCounted)) {
        const double x[2] = {static_cast<double>(xi[at(j)]), 0};
        mixture.terms(a, x, terms);
        windows += static_cast<double>(terms.size()) / kCounted;
    }
    double range[2];
    check_range(stream, s.biased, range);
    Buffer<float> log_weight(stream.device(), s.biased.n);
    // Of each: its exponent twice, once for the greatest; e to it, and two sums.
    const double operations = windows * (2 * 4 + 1 + kExpDouble + 2);
    report.add({"mbar_samples", static_cast<double>(s.biased.n), 8, operations, true}, [&] {
        mixture_log_weights(stream, mixture, s.biased, range, a, log_weight.data());
    });
    result.more.emplace_back("mbar_windows_at_a_sample", windows);
    // Weights e^w make N(0, 1) of all samples, but for the range of the windows.
    const std::vector<float> w = to_host(stream, Span<const float>(log_weight.span()));
    double sum = 0, squares = 0;
    const auto inside = [](double x) { return std::fabs(x) < 2; };
    for (std::size_t j = 0; j < w.size(); ++j) {
        const double x = static_cast<double>(xi[j]);
        if (!inside(x)) continue;
        sum += std::exp(static_cast<double>(w[j]));
        squares += x * x * std::exp(static_cast<double>(w[j]));
    }
    constexpr double kWithinTwo = 0.7737413035;  // E[x² | |x| < 2]
    result.check("variance of the weighted samples within two deviations", squares / sum, kWithinTwo,
                 kSigmas * 1.2 / std::sqrt(static_cast<double>(w.size()) / 4), "more than their statistical error");
}

void average(Stream& stream, const Samples& s, Report& report, BenchResult& result) {
    Grid grid;
    grid.from[0] = -Samples::kReach;
    grid.to[0] = Samples::kReach;
    grid.bins[0] = 120;
    const ErrorBlocks blocks = choose_error_blocks(s.biased, 1);
    ConditionalMoments m;
    // ξ and y; where it is among the bins, and six sums.
    report.add({"conditional_samples", static_cast<double>(s.biased.n), 8, 4 + 9, true}, [&] {
        m = conditional_moments(stream, s.biased, s.y.span(), s.biased.row, 1, grid, blocks);
    });
    const double x = grid.centre(0, 60);
    result.check("conditional mean", m.mean_at(0, x), x, kSigmas * m.mean_error_at(0, x), "its standard error");
    WindowStatistics statistics;
    report.add({"window_moments_samples", static_cast<double>(s.biased.n), 4, 3, true}, [&] {
        statistics = window_statistics(stream, s.biased, s.bias, blocks);
    });
    const double mean = Samples::kStiffness * s.bias.center[0][0] / (1 + Samples::kStiffness);
    result.check("mean of a window", statistics.mean[0], mean,
                 kSigmas / std::sqrt((1 + Samples::kStiffness) * statistics.population[0]), "its standard error");
    // At most so many samples are measured, each of them some times.
    constexpr index kMeasured = 1 << 20;
    const index measured = std::min(s.biased.n, kMeasured);
    const Matrix<const float> states{s.y.data(), 1, measured, measured}, conditions{s.xi.data(), 1, measured, measured};
    report.add({"whitening_samples", static_cast<double>(measured), 8, 30, true}, [&] {
        const Whitening w(stream, Whitening::Kind::conditional, states, conditions, {}, 8);
    });
}

// Dense sums of a kernel in the plane, the search for neighbours, and products with their sparse matrix.
void kernels(Stream& stream, index points, Report& report, BenchResult& result) {
    constexpr int kNeighbours = 64;
    const index n = points;
    std::vector<float> host(at(2 * n)), ones(at(kEigenBlock * n), 1.0f);
    for (index i = 0; i < n; ++i) {
        const PhiloxStream<float> rng(kSeed, kStreamTest, i);
        float z[4];
        normal_block<Portable>(rng, 0, z);
        host[at(i)] = z[0];
        host[at(n + i)] = z[1];
    }
    Buffer<float> x(stream.device(), 2 * n), vectors(stream.device(), kEigenBlock * n), y(stream.device(), kEigenBlock * n);
    copy_to_device(stream, x.span(), host.data());
    copy_to_device(stream, vectors.span(), ones.data());
    const double pairs = static_cast<double>(points) * static_cast<double>(points);
    const PointSet set{x.span(), n, n, 2, {}};
    KernelOperator dense(stream, set, 0.04);
    report.add({"kernel_pairs", pairs, 0, 2 * 2 + 1 + kExpFloat + kEigenBlock, false}, [&] {
        dense.multiply(vectors.span(), kEigenBlock, y.span());
    });
    Buffer<float> distance(stream.device(), points * kNeighbours);
    Buffer<uint32> neighbour(stream.device(), points * kNeighbours);
    report.add({"neighbour_search_pairs", pairs, 0, 2 * 2 + 1, false}, [&] {
        nearest_neighbours(stream, set, kNeighbours, distance.span(), neighbour.span());
    });
    KernelOperator sparse(stream, set, 0.04, kNeighbours);
    const double entries = sparse.entries();
    report.add({"neighbour_entries", entries, 8, kEigenBlock, false}, [&] {
        sparse.multiply(vectors.span(), kEigenBlock, y.span());
    });
    result.more.emplace_back("neighbours_of_a_point", entries / static_cast<double>(points));
}

}  // namespace

BenchResult bench_passes(Stream& stream, const BenchSettings& settings) {
    const Repeats repeats(settings);
    BenchResult result;
    result.unit = "samples_per_second";
    result.precision = "float64 sums";
    if (stream.device().is_cpu()) result.clock_hz = measure_clock();
    Report report(stream, repeats, result);
    const Samples samples(stream, settings.count("windows", 50), settings.count("samples", 2000));
    weigh(stream, samples, report, result);
    average(stream, samples, report, result);
    kernels(stream, settings.count("points", 20000), report, result);
    return result;
}

}  // namespace microlift
