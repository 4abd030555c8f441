// Training updates and generated states a second, on states of a known conditional law.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <optional>
#include <thread>

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#endif

#include "bench/harness.h"
#include "engine/error.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "nn/generators/generator.h"
#include "nn/generators/registry.h"

namespace microlift {

namespace {

constexpr index kColumns = 1 << 17, kTrajectories = 512, kCriticSteps = 5;
constexpr double kPeak = 0.5, kPeakWidth = 0.15;

// y | s is an even mixture of N(m(s) ± kPeak, kPeakWidth²), m(s) = sin(3s)/2, s uniform in (−1, 1).
double exact_mean(double s) { return 0.5 * std::sin(3 * s); }
constexpr double kVariance = kPeak * kPeak + kPeakWidth * kPeakWidth;

struct Pairs {
    explicit Pairs(Stream& stream)
        : states(stream.device(), kColumns), conditions(stream.device(), kColumns) {
        std::vector<float> y(kColumns), s(kColumns);
        for (index j = 0; j < kColumns; ++j) {
            const PhiloxStream<float> rng(kSeed, kStreamTest, j);
            uint32 u[4];
            rng.draw(0, u);
            float z[4];
            normal_block<Portable>(rng, 1, z);
            const auto at = static_cast<std::size_t>(j);
            s[at] = 2 * uniform_open<float>(u[0]) - 1;
            const double sign = (u[1] & 1u) != 0 ? 1 : -1;
            y[at] = static_cast<float>(exact_mean(static_cast<double>(s[at])) + sign * kPeak +
                                       kPeakWidth * static_cast<double>(z[0]));
        }
        copy_to_device(stream, states.span(), y.data());
        copy_to_device(stream, conditions.span(), s.data());
    }
    Buffer<float> states, conditions;
};

Precision precision_of(const BenchSettings& settings) {
    const std::string name = settings.text("precision");
    return name.empty() ? TrainerConfig{}.precision : precision_from(name);
}

using Trainer = std::unique_ptr<GeneratorTrainer>;

Trainer make_cgan(Stream& stream, const Pairs& pairs, Precision precision, index width, index batch,
                  index iterations, index validation_every) {
    TrainerConfig config;  // a cgan: three hidden layers
    config.critic_steps = kCriticSteps;
    config.widths = config.critic_widths = {width, width, width};
    config.batch = batch;
    config.iterations = iterations;
    config.validation_every = validation_every;
    config.precision = precision;
    config.seed = kSeed;
    Trainer cgan = make_trainer(stream, config, 1, 1);
    cgan->set_data(pairs.states.span(), pairs.conditions.span(), kColumns, kColumns, kTrajectories);
    return cgan;
}

}  // namespace

namespace {

// Keeps the first processor busy while it lives.
class Competitor {
public:
    Competitor() : thread_([this] { work(); }) {}
    ~Competitor() {
        stop_ = true;
        thread_.join();
    }
    Competitor(const Competitor&) = delete;
    Competitor& operator=(const Competitor&) = delete;

private:
    void work() {
#if defined(__linux__)
        cpu_set_t first;
        CPU_ZERO(&first);
        CPU_SET(0, &first);
        pthread_setaffinity_np(pthread_self(), sizeof first, &first);
#endif
        while (!stop_.load(std::memory_order_relaxed)) {
        }
    }
    std::atomic<bool> stop_{false};
    std::thread thread_;
};

// How many times longer updates take while another thread occupies a processor: median over pairs
// timed in turn.
double slowdown_with_competitor(Stream& stream, const Pairs& pairs, Precision precision, index width,
                                index batch, index updates) {
    constexpr int kPairs = 5;
    const index most = (2 * kPairs + 1) * updates;
    const Trainer cgan = make_cgan(stream, pairs, precision, width, batch, most + 1, most + 1);
    const auto time = [&] { return seconds(stream, [&] { cgan->advance(updates); }); };
    time();
    std::vector<double> ratios;
    for (int k = 0; k < kPairs; ++k) {
        const double alone = time();
        const Competitor competitor;
        ratios.push_back(time() / alone);
    }
    return median(ratios);
}

// Multiply-adds of the products in a network of three hidden layers, for a row.
struct Products {
    double first, hidden, last;
    Products(double inputs, double width) : first(inputs * width), hidden(2 * width * width), last(width) {}
    double forward() const { return first + hidden + last; }
    // From the output to the first hidden layer.
    double back() const { return hidden + last; }
};

// Of one update of make_cgan(), whose one state and 17 features of the condition are the critic's inputs, and 4
// latent numbers and the features the generator's.
constexpr double kStates = 1, kFeatures = 17, kLatent = 4;

double products_of_update(double width, double batch) {
    const Products generator(kLatent + kFeatures, width), critic(kStates + kFeatures, width), state(kStates, width);
    // Three groups forward, back and for the weights; the penalty's gradient by the state, its tangent and their
    // part of the weights.
    const double critic_step = generator.forward() + 3 * (critic.forward() + critic.back() + critic.forward()) +
                               state.forward() + state.first + state.hidden + state.forward();
    const double generator_step = generator.forward() + critic.forward() + state.forward() + generator.back() +
                                  generator.forward();
    return batch * (kCriticSteps * critic_step + generator_step);
}

void set_ceiling(Stream& stream, double products, BenchResult& result) {
    if (!stream.device().is_cpu()) return;
    result.clock_hz = measure_clock();
    result.ceiling = measure_multiply_adds(stream.device().threads()) / products;
}

void name_precision(BenchResult& result, const GeneratorTrainer& cgan) {
    if (cgan.precision() != Precision::fp32) result.precision = precision_name(cgan.precision());
}

}  // namespace

BenchResult bench_training(Stream& stream, const BenchSettings& settings) {
    const index batch = settings.count("batch", 256), width = settings.count("width", 64);
    const Precision precision = precision_of(settings);
    const Repeats repeats(settings);
    const Pairs pairs(stream);
    BenchResult result;
    result.unit = "updates_per_second";
    set_ceiling(stream, products_of_update(static_cast<double>(width), static_cast<double>(batch)), result);

    // How long an update takes, and how good a hardly trained generator is.
    constexpr index kFirst = 4;
    const Trainer beginner = make_cgan(stream, pairs, precision, width, batch, kFirst, kFirst);
    beginner->advance(1);
    const double update = seconds(stream, [&] { beginner->advance(kFirst - 2); }) / (kFirst - 2);
    beginner->advance(1);
    const double before = beginner->history().best;

    // The last update of each repeat, which validates, is not timed.
    const index updates = std::clamp<index>(std::llround(repeats.seconds / update),
                                            8 / repeats.count + 2, 1024);
    const Trainer cgan =
        make_cgan(stream, pairs, precision, width, batch, repeats.count * updates, updates);
    name_precision(result, *cgan);
    for (int r = 0; r < repeats.count; ++r) {
        const double time = seconds(stream, [&] { cgan->advance(updates - 1); });
        result.rates.push_back(static_cast<double>(updates - 1) / time);
        cgan->advance(1);
    }
    cgan->check();
    const TrainingHistory history = cgan->history();
    result.check("W1/sigma of the generator", history.best, 0, 0.75 * before,
                 "three quarters of its value after " + std::to_string(kFirst) + " updates");
    result.more = {{"batch", static_cast<double>(batch)},
                   {"width", static_cast<double>(width)},
                   {"updates", static_cast<double>(repeats.count * updates)},
                   {"wasserstein_first", before},
                   {"wasserstein_best", history.best}};
    if (settings.get("competitor", 0) > 0 && stream.device().is_cpu() &&
        stream.device().threads() > 1)
        result.more.emplace_back("slowdown_with_competitor",
                                 slowdown_with_competitor(stream, pairs, precision, width, batch,
                                                          std::max<index>(updates / 4, 2)));
    return result;
}

BenchResult bench_sampling(Stream& stream, const BenchSettings& settings) {
    const index width = settings.count("width", 64), n = settings.count("states", 1 << 18);
    const Repeats repeats(settings);
    constexpr index kUpdates = 500;
    const Pairs pairs(stream);
    const Trainer cgan = make_cgan(stream, pairs, precision_of(settings), width, 256, kUpdates, kUpdates / 5);
    cgan->advance(kUpdates);
    cgan->check();
    Generator generator(stream, cgan->generator_tensors());

    std::vector<float> s(n);
    for (index j = 0; j < n; ++j)
        s[static_cast<std::size_t>(j)] =
            2 * (static_cast<float>(j) + 0.5f) / static_cast<float>(n) - 1;
    Buffer<float> conditions(stream.device(), n), states(stream.device(), n);
    copy_to_device(stream, conditions.span(), s.data());

    BenchResult result;
    result.unit = "samples_per_second";
    name_precision(result, *cgan);
    set_ceiling(stream, Products(kLatent + kFeatures, static_cast<double>(width)).forward(), result);
    const auto draw = [&](index times) {
        for (index k = 0; k < times; ++k)
            generator.generate(stream, conditions.span(), n, kSeed,
                               static_cast<uint64>(k * n), states.span());
    };
    const index draws = units_per_repeat(stream, 1, draw, repeats.seconds);
    for (int r = 0; r < repeats.count; ++r) {
        const double time = seconds(stream, [&] { draw(draws); });
        result.rates.push_back(static_cast<double>(draws * n) / time);
    }

    const std::vector<float> y = to_host(stream, states.span());
    double sum = 0, squares = 0;
    for (index j = 0; j < n; ++j) {
        const auto at = static_cast<std::size_t>(j);
        const double d = static_cast<double>(y[at]) - exact_mean(static_cast<double>(s[at]));
        sum += d;
        squares += d * d;
    }
    const double mean = sum / static_cast<double>(n);
    const double variance = squares / static_cast<double>(n);
    result.check("mean of y - E[y|s]", mean, 0, 0.1 * std::sqrt(kVariance),
                 "a tenth of a standard deviation, after " + std::to_string(kUpdates) +
                     " updates");
    result.check("mean of (y - E[y|s])^2", variance, kVariance, 0.2 * kVariance, "20 %");
    result.more = {{"width", static_cast<double>(width)}, {"states", static_cast<double>(n)}};
    return result;
}

}  // namespace microlift
