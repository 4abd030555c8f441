#include "sampling/run/stages/accuracy/accuracy.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/random/philox.h"
#include "kernels/random/streams.h"

namespace microlift {

namespace {

using Rows = std::vector<std::vector<double>>;

constexpr double kSignificant = 4;   // standard errors: many windows and variables are looked at
constexpr double kNoticed = 0.05;    // of the temperature
// Of variables behind ξ: the windows' own stiffness alone shifts no free energy.
constexpr double kNoticedAlongCv = 0.25;
constexpr double kExplains = 1.0 / 3;  // of an excess, by the order of magnitude of what a step does
constexpr double kLong = 0.25;         // such a step explains any
constexpr index kBlocks = 16;        // that an error is made of, at least
constexpr std::size_t kTried = 64;   // steps tried in a window
constexpr double kWay = 0.2;         // of a difference, in a step's noise
constexpr double kGoodStep = 0.2;    // dt times the steepest change of the drift

// A figure of a window.
struct Excess {
    double value = 0, error = 0, expected = 0;
    double noticed = kNoticed;
    bool found() const {
        return std::isfinite(value) && std::fabs(value) > kSignificant * error &&
               std::fabs(value) > noticed &&
               expected > std::min(kExplains * std::fabs(value), kLong);
    }
    // What a step may have done of it.
    double weight() const { return std::min(std::fabs(value), expected / kExplains); }
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

// Σ of q over Σ of p, its error from blocks: replicas are independent, and where there are few, so nearly
// are long pieces of their times.
Excess ratio_of(const WindowStates& at, const std::vector<double>& q, const std::vector<double>& p) {
    const index pieces = std::min(at.times, (kBlocks + at.replicas - 1) / at.replicas);
    std::vector<double> sum(static_cast<std::size_t>(at.replicas * pieces), 0.0), base = sum;
    for (index t = 0; t < at.times; ++t)
        for (index r = 0; r < at.replicas; ++r) {
            const auto i = static_cast<std::size_t>(t * at.replicas + r);
            const auto b = static_cast<std::size_t>(t * pieces / at.times * at.replicas + r);
            sum[b] += q[i];
            base[b] += p[i];
        }
    const double blocks = static_cast<double>(sum.size()), below = mean(base);
    Excess excess;
    excess.value = mean(sum) / below;
    double variance = 0;
    for (std::size_t b = 0; b < sum.size(); ++b)
        variance += std::pow((sum[b] - excess.value * base[b]) / below, 2) / (blocks - 1);
    excess.error = std::sqrt(variance / blocks);
    return excess;
}

// With a potential: E[b²] = ½σ² E[−∂b], which sees the steepest places best.
Excess excess_of_force(const WindowStates& at, const std::vector<double>& drift,
                       const std::vector<double>& slope, double half_noise, double time) {
    std::vector<double> q, p;
    double square = 0, steep = 0;
    for (std::size_t i = 0; i < drift.size(); ++i) {
        p.push_back(-half_noise * slope[i]);
        q.push_back(drift[i] * drift[i] - p.back());
        square += drift[i] * drift[i];
        steep -= drift[i] * drift[i] * slope[i];
    }
    if (!(mean(p) > 0)) return {};
    Excess excess = ratio_of(at, q, p);
    excess.expected = 0.5 * time * steep / square;
    return excess;
}

// Without: E[Lφ] = 0 for the generator L and φ = b_d², whose drift part and noise part are differences
// over a short time.
struct GeneratorParts {
    Rows drift, noise;  // (variable, state): −b·∇φ, ½ σσᵀ:∇∇φ
};

GeneratorParts generator_parts(const BiasedDrift& physics, const WindowStates& at,
                               const Rows& drift, double time) {
    const double brief = kWay * kWay * time;
    const Rows kicks = physics.kicks(at.x);
    Rows pushed = at.x, up = at.x, down = at.x;
    for (std::size_t d = 0; d < at.x.size(); ++d)
        for (std::size_t i = 0; i < at.x[d].size(); ++i) {
            const double kick = std::sqrt(brief) * kicks[d][i];
            pushed[d][i] += brief * drift[d][i];
            up[d][i] += kick;
            down[d][i] -= kick;
        }
    const Rows p = physics.drift(at.window, pushed), u = physics.drift(at.window, up),
               w = physics.drift(at.window, down);
    GeneratorParts parts{Rows(at.x.size()), Rows(at.x.size())};
    for (std::size_t d = 0; d < at.x.size(); ++d)
        for (std::size_t i = 0; i < at.x[d].size(); ++i) {
            const double here = drift[d][i] * drift[d][i];
            parts.drift[d].push_back((here - p[d][i] * p[d][i]) / brief);
            parts.noise[d].push_back((0.5 * (u[d][i] * u[d][i] + w[d][i] * w[d][i]) - here) / brief);
        }
    return parts;
}

// The drift part, about 2 b² steepness, says by how much a step breaks it.
Excess excess_of_drift(const WindowStates& at, const std::vector<double>& drift,
                       const std::vector<double>& push, const std::vector<double>& kick, double time) {
    if (!(mean(kick) > 0)) return {};
    std::vector<double> q;
    double square = 0;
    for (std::size_t i = 0; i < push.size(); ++i) {
        q.push_back(push[i] - kick[i]);
        square += drift[i] * drift[i] / static_cast<double>(push.size());
    }
    Excess excess = ratio_of(at, q, kick);
    excess.expected = 0.25 * time * mean(push) / square;
    return excess;
}

// ∂b_d/∂x_d of every state, from a difference along random signs: its mean is right.
Rows slopes_of(const Run& run, const BiasedDrift& physics, const WindowStates& at, const Rows& noise,
               double time) {
    Rows ahead = at.x, behind = at.x, way(at.x.size());
    for (std::size_t d = 0; d < at.x.size(); ++d)
        for (std::size_t i = 0; i < at.x[d].size(); ++i) {
            const bool up = derived_seed(run.config.seed + d, 9600 + i) & 1;
            way[d].push_back((up ? kWay : -kWay) * std::sqrt(noise[d][i] * time));
            ahead[d][i] += way[d][i];
            behind[d][i] -= way[d][i];
        }
    const Rows there = physics.drift(at.window, ahead), here = physics.drift(at.window, behind);
    Rows slopes(at.x.size());
    for (std::size_t d = 0; d < at.x.size(); ++d)
        for (std::size_t i = 0; i < at.x[d].size(); ++i)
            slopes[d].push_back((there[d][i] - here[d][i]) / (2 * way[d][i]));
    return slopes;
}

// How often a Metropolis decision would accept a step from a stored state; noise of its own.
double acceptance_of(const Run& run, const BiasedDrift& physics, const WindowStates& at,
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
double steepness_of(const BiasedDrift& physics, const WindowStates& at, const Rows& drift,
                    const Rows& noise, double time) {
    const std::size_t dims = at.x.size(), n = std::min(kTried, static_cast<std::size_t>(at.count()));
    std::vector<double> push(drift[0].size(), 0.0);
    for (const auto& row : drift)
        for (std::size_t i = 0; i < push.size(); ++i) push[i] += row[i] * row[i];
    std::vector<std::size_t> order(push.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n), order.end(),
                      [&](std::size_t a, std::size_t b) { return push[a] > push[b]; });
    Rows to(dims);
    std::vector<double> way;
    for (std::size_t j = 0; j < n; ++j) {
        const std::size_t i = order[j];
        double thermal = 0;
        for (const auto& row : noise) thermal += row[i] * time;
        way.push_back(1e-3 * std::sqrt(thermal));
        for (std::size_t d = 0; d < dims; ++d)
            to[d].push_back(at.x[d][i] - way[j] * drift[d][i] / std::sqrt(push[i]));
    }
    const Rows there = physics.drift(at.window, to);
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
    Excess worst;
    const WindowStates* where = &drawn[0];
    std::size_t variable = 0;
    double acceptance = 0, lowest = 2;
    index lowest_window = -1;
    for (const WindowStates& at : drawn) {
        const Rows drift = physics.drift(at.window, at.x), noise = physics.noise(at.x);
        Rows slopes;
        GeneratorParts parts;
        if (physics.has_energy())
            slopes = slopes_of(run, physics, at, noise, time);
        else
            parts = generator_parts(physics, at, drift, time);
        for (std::size_t d = 0; d < at.x.size(); ++d) {
            Excess excess =
                physics.has_energy()
                    ? excess_of_force(at, drift[d], slopes[d], 0.5 * mean(noise[d]), time)
                    : excess_of_drift(at, drift[d], parts.drift[d], parts.noise[d], time);
            if (physics.along_cv(d)) excess.noticed = kNoticedAlongCv;
            const bool worse = excess.found() != worst.found() ? excess.found()
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
