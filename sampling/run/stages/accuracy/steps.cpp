#include "sampling/run/stages/accuracy/accuracy.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "sampling/run/checks.h"
#include "sampling/run/stages/accuracy/excess.h"

namespace microlift {

namespace {

constexpr std::size_t kTried = 64;   // steps tried in a window
constexpr double kGoodStep = 0.2;    // dt times the steepest change of the drift

// What a step advances by the drift: dt, and of underdamped dynamics dt²/2m.
double drift_time(const Run& run) {
    const IntegratorConfig& integrator = run.config.integrator;
    return run.kernel->has_velocity() ? 0.5 * integrator.dt * integrator.dt / integrator.mass
                                      : integrator.dt;
}

// How often a Metropolis decision would accept a step from a stored state; noise of its own.
double acceptance_of(const Run& run, const BiasedDrift& physics, const WindowStates& at,
                     const StateRows& drift, const StateRows& noise, double time) {
    const std::size_t n = std::min(kTried, static_cast<std::size_t>(at.count())), dims = at.x.size();
    const std::size_t apart = static_cast<std::size_t>(at.count()) / n;
    StateRows from(dims), to(dims), push(dims), kick(dims);
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
    const StateRows there = physics.drift(at.window, to);
    const std::vector<double> before = physics.energy(at.window, from);
    const std::vector<double> after = physics.energy(at.window, to);
    double acceptance = 0;
    for (std::size_t j = 0; j < n; ++j) {
        double work = 0;
        for (std::size_t d = 0; d < dims; ++d) {
            const double h = push[d][j] + there[d][j];
            work += 0.5 * h * (kick[d][j] + 0.5 * time * h);
        }
        const double ratio = -run.model.formulas().beta * (after[j] - before[j] + work);
        if (std::isfinite(ratio))
            acceptance += std::exp(std::min(0.0, ratio)) / static_cast<double>(n);
    }
    return acceptance;
}

// |change of the drift| / |way| along the drift, the greatest over the states that are pushed hardest.
double steepness_of(const BiasedDrift& physics, const WindowStates& at, const StateRows& drift,
                    const StateRows& noise, double time) {
    const std::size_t dims = at.x.size(), n = std::min(kTried, static_cast<std::size_t>(at.count()));
    std::vector<double> push(drift[0].size(), 0.0);
    for (const auto& row : drift)
        for (std::size_t i = 0; i < push.size(); ++i) push[i] += row[i] * row[i];
    std::vector<std::size_t> order(push.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n), order.end(),
                      [&](std::size_t a, std::size_t b) { return push[a] > push[b]; });
    StateRows to(dims);
    std::vector<double> way;
    for (std::size_t j = 0; j < n; ++j) {
        const std::size_t i = order[j];
        double thermal = 0;
        for (const auto& row : noise) thermal += row[i] * time;
        way.push_back(1e-3 * std::sqrt(thermal));
        for (std::size_t d = 0; d < dims; ++d)
            to[d].push_back(at.x[d][i] - way[j] * drift[d][i] / std::sqrt(push[i]));
    }
    const StateRows there = physics.drift(at.window, to);
    double steepest = 0;
    for (std::size_t j = 0; j < n; ++j) {
        double change = 0;
        for (std::size_t d = 0; d < dims; ++d)
            change += std::pow(there[d][j] - drift[d][order[j]], 2);
        if (std::isfinite(change)) steepest = std::max(steepest, std::sqrt(change) / way[j]);
    }
    return steepest;
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

void warn_of_steps(Run& run, const BiasedDrift& physics, const WindowStates& at,
                   const Excess& excess, const std::string& variable) {
    const double time = drift_time(run), dt = run.config.integrator.dt;
    const double steepness = steepness_of(physics, at, physics.drift(at.window, at.x),
                                          physics.noise(at.x), time);
    // Of underdamped dynamics the time goes as dt².
    const double shorter = std::min(0.5, kGoodStep / (steepness * time));
    const double good = dt * (run.kernel->has_velocity() ? std::sqrt(shorter) : shorter);
    run.warn("integrator.dt = " + number(dt) + " is too long: in the window at " +
             place_of(run, at.window) +
             (run.model.gradient() ? ", the mean square of the force on " : ", the mean square of the drift of ") +
             variable + " exceeds that of the exact law by " + number(100 * excess.value) + " +- " +
             number(100 * excess.error) + " %; try " + number(rounded_down(good)) +
             (run.model.gradient() ? ", or the scheme mala" : ""));
}

}  // namespace

void check_steps(Run& run, const BiasedDrift& physics, const std::vector<WindowStates>& drawn) {
    if (drawn.empty()) return;
    const double time = drift_time(run);
    const Checking check(run, "steps");
    Excess worst;
    const WindowStates* where = &drawn[0];
    std::size_t variable = 0;
    double acceptance = 0, lowest = 2;
    index lowest_window = -1;
    for (const WindowStates& at : drawn) {
        const StateRows drift = physics.drift(at.window, at.x), noise = physics.noise(at.x);
        const std::vector<Excess> all = excesses(run, physics, at, drift, noise, time);
        for (std::size_t d = 0; d < all.size(); ++d) {
            Excess excess = all[d];
            excess.looks = static_cast<double>(drawn.size() * all.size());
            const bool worse = excess.found() != worst.found() ? excess.found()
                               : worst.found() ? excess.significance() > worst.significance()
                                               : excess.weight() > worst.weight();
            if (worse) worst = excess, where = &at, variable = d;
        }
        if (!physics.has_energy()) continue;
        const double accepted = acceptance_of(run, physics, at, drift, noise, time);
        acceptance += accepted / static_cast<double>(drawn.size());
        if (accepted < lowest) lowest = accepted, lowest_window = at.window;
    }
    Json& record = run.record["accuracy"]["step"];
    if (physics.has_energy()) {
        record["acceptance"] = acceptance;
        record["lowest_acceptance"] = lowest;
        record["lowest_acceptance_window"] = lowest_window;
    }
    record["excess"] = worst.value;
    record["excess_error"] = worst.error;
    record["excess_expected"] = worst.expected;
    record["excess_window"] = where->window;
    record["excess_variable"] = run.model.variables()[variable];
    if (worst.found() && !run.kernel->metropolis())
        warn_of_steps(run, physics, *where, worst, run.model.variables()[variable]);
}

}  // namespace microlift
