#include "sampling/run/stages/accuracy/accuracy.h"

#include <algorithm>
#include <cmath>

#include "kernels/random/philox.h"
#include "kernels/random/streams.h"

namespace microlift {

namespace {

using Rows = std::vector<std::vector<double>>;

constexpr double kSignificant = 4;   // standard errors: many windows and variables are looked at
constexpr double kNoticed = 0.05;    // of the temperature
constexpr double kExplains = 1.0 / 3;  // of an excess, by the order of magnitude of what a step does
constexpr index kBlocks = 16;        // that an error is made of, at least
constexpr std::size_t kTried = 64;   // steps tried in a window
constexpr double kGoodStep = 0.2;    // dt times the steepest change of the drift

// A figure of a window.
struct Excess {
    double value = 0, error = 0, expected = 0;  // of ½ E[σσᵀ]
    bool found() const {
        return std::isfinite(value) && std::fabs(value) > kSignificant * error &&
               std::fabs(value) > kNoticed && expected > kExplains * std::fabs(value);
    }
    // What a step may have done of it.
    double weight() const { return std::min(std::fabs(value), expected / kExplains); }
};

struct TriedSteps {
    double acceptance = 1;  // of a Metropolis decision
    double steepness = 0;   // the greatest |change of drift| / |way|
};

// What a step advances by the drift: dt, and of underdamped dynamics dt²/2m.
double drift_time(const Run& run) {
    const IntegratorConfig& integrator = run.config.integrator;
    return run.kernel->has_velocity() ? 0.5 * integrator.dt * integrator.dt / integrator.mass
                                      : integrator.dt;
}

double mean(const std::vector<double>& values) {
    double sum = 0;
    for (const double v : values) sum += v / static_cast<double>(values.size());
    return sum;
}

// −E[(x − E x) b] / ½E[σσᵀ] − 1 of one variable. Replicas are independent, and where there are few, so
// nearly are long pieces of their times.
Excess excess_of(const WindowStates& at, const std::vector<double>& x, const std::vector<double>& drift,
                 const std::vector<double>& noise, double time) {
    const double center = mean(x), half = 0.5 * mean(noise);
    if (!(half > 0)) return {};
    const index pieces = std::min(at.times, (kBlocks + at.replicas - 1) / at.replicas);
    std::vector<double> sum(static_cast<std::size_t>(at.replicas * pieces), 0.0), count = sum;
    double square = 0;
    for (index t = 0; t < at.times; ++t)
        for (index r = 0; r < at.replicas; ++r) {
            const auto i = static_cast<std::size_t>(t * at.replicas + r);
            const auto b = static_cast<std::size_t>(t * pieces / at.times * at.replicas + r);
            sum[b] -= (x[i] - center) * drift[i] / half;
            count[b] += 1;
            square += drift[i] * drift[i] / static_cast<double>(at.count());
        }
    for (std::size_t b = 0; b < sum.size(); ++b) sum[b] /= count[b];
    const double all = mean(sum), blocks = static_cast<double>(sum.size());
    double variance = 0;
    for (const double s : sum) variance += (s - all) * (s - all) / (blocks - 1);
    return {all - 1, std::sqrt(variance / blocks), 0.5 * time * square / half};
}

// A few steps from stored states, with noise of their own.
TriedSteps try_steps(const Run& run, const BiasedDrift& physics, const WindowStates& at,
                     const Rows& drift, const Rows& noise, double time) {
    const std::size_t n = std::min(kTried, static_cast<std::size_t>(at.count())), dims = at.x.size();
    const std::size_t apart = static_cast<std::size_t>(at.count()) / n;
    Rows from(dims), to(dims), push(dims), kick(dims);
    for (std::size_t j = 0; j < n; ++j) {
        const PhiloxStream<float, kPhiloxRounds> random(
            derived_seed(run.config.seed, 9500 + static_cast<uint64>(at.window)), kStreamStepCheck,
            static_cast<index>(j));
        float z[4];
        for (std::size_t d = 0; d < dims; ++d) {
            if (d % 4 == 0) normal_block<Portable>(random, d / 4, z);
            const std::size_t i = j * apart;
            from[d].push_back(at.x[d][i]);
            push[d].push_back(drift[d][i]);
            kick[d].push_back(std::sqrt(noise[d][i] * time) * static_cast<double>(z[d % 4]));
            to[d].push_back(at.x[d][i] + time * drift[d][i] + kick[d].back());
        }
    }
    const Rows there = physics.drift(at.window, to);
    TriedSteps tried;
    std::vector<double> before, after;
    if (physics.has_energy()) {
        before = physics.energy(at.window, from);
        after = physics.energy(at.window, to);
        tried.acceptance = 0;
    }
    for (std::size_t j = 0; j < n; ++j) {
        double work = 0, change = 0, way = 0;
        for (std::size_t d = 0; d < dims; ++d) {
            const double h = push[d][j] + there[d][j], s = to[d][j] - from[d][j];
            work += 0.5 * h * (kick[d][j] + 0.5 * time * h);
            change += (there[d][j] - push[d][j]) * (there[d][j] - push[d][j]);
            way += s * s;
        }
        if (way > 0 && std::isfinite(change))
            tried.steepness = std::max(tried.steepness, std::sqrt(change / way));
        if (!physics.has_energy()) continue;
        const double ratio = -run.model.formulas().beta * (after[j] - before[j] + work);
        if (std::isfinite(ratio))
            tried.acceptance += std::exp(std::min(0.0, ratio)) / static_cast<double>(n);
    }
    return tried;
}

std::string place_of(const Run& run, index window) {
    std::string text;
    for (int k = 0; k < run.model.n_cvs(); ++k) {
        const auto i = static_cast<std::size_t>(k);
        text += (k ? ", " : "") + run.model.cv_names()[i] + " = " +
                number(run.windows.center[static_cast<std::size_t>(window)][i]);
    }
    return text;
}

// One digit, downwards.
double rounded_down(double value) {
    const double unit = std::pow(10.0, std::floor(std::log10(value)));
    return std::floor(value / unit) * unit;
}

}  // namespace

void check_steps(Run& run, const BiasedDrift& physics, const std::vector<WindowStates>& drawn) {
    const double time = drift_time(run), dt = run.config.integrator.dt;
    Excess worst;
    TriedSteps steepest;
    index window = drawn.empty() ? -1 : drawn[0].window, lowest_window = -1;
    std::size_t variable = 0;
    double acceptance = 0, lowest = 2;
    for (const WindowStates& at : drawn) {
        const Rows drift = physics.drift(at.window, at.x), noise = physics.noise(at.x);
        const TriedSteps tried = try_steps(run, physics, at, drift, noise, time);
        acceptance += tried.acceptance / static_cast<double>(drawn.size());
        if (tried.acceptance < lowest) lowest = tried.acceptance, lowest_window = at.window;
        for (std::size_t d = 0; d < at.x.size(); ++d) {
            const Excess excess = excess_of(at, at.x[d], drift[d], noise[d], time);
            const bool worse = excess.found() != worst.found()
                                   ? excess.found()
                                   : excess.weight() > worst.weight();
            if (worse) worst = excess, window = at.window, variable = d, steepest = tried;
        }
    }
    Json& record = run.record["accuracy"]["step"];
    if (physics.has_energy()) {
        record["acceptance"] = acceptance;
        record["lowest_acceptance"] = lowest;
        record["lowest_acceptance_window"] = lowest_window;
    }
    if (window < 0) return;
    record["excess"] = worst.value;
    record["excess_error"] = worst.error;
    record["excess_expected"] = worst.expected;
    record["excess_window"] = window;
    record["excess_variable"] = run.model.variables()[variable];
    if (!worst.found() || run.kernel->metropolis()) return;
    const double good = kGoodStep / steepest.steepness;
    const double step = run.kernel->has_velocity()
                            ? std::sqrt(2 * good * run.config.integrator.mass)
                            : good;
    run.warn("integrator.dt = " + number(dt) + " is too long: in the window at " +
             place_of(run, window) + " the samples of " + run.model.variables()[variable] +
             " are as if the temperature were off by " + number(100 * worst.value) + " +- " +
             number(100 * worst.error) + " %; try " + number(rounded_down(std::min(step, 0.5 * dt))) +
             ", or the scheme mala");
}

}  // namespace microlift
