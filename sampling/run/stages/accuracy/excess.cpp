#include "sampling/run/stages/accuracy/excess.h"

#include <algorithm>
#include <cmath>

namespace microlift {

namespace {

constexpr double kSignificant = 4;   // standard deviations, were there one window and variable
constexpr double kNoticed = 0.05;    // of the temperature
// Of variables behind ξ: the windows' own stiffness alone shifts no free energy.
constexpr double kNoticedAlongCv = 0.25;
constexpr double kExplains = 1.0 / 3;  // of an excess, by the order of magnitude of what a step does
constexpr double kLong = 0.25;         // such a step explains any
constexpr index kBlocks = 16;        // that an error is made of, at least
constexpr double kWay = 0.2;         // of a difference, in a step's noise

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
    excess.blocks = blocks;
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
    StateRows drift, noise;  // (variable, state): −b·∇φ, ½ σσᵀ:∇∇φ
};

GeneratorParts generator_parts(const BiasedDrift& physics, const WindowStates& at,
                               const StateRows& drift, double time) {
    const double brief = kWay * kWay * time;
    const StateRows kicks = physics.kicks(at.x);
    StateRows pushed = at.x, up = at.x, down = at.x;
    for (std::size_t d = 0; d < at.x.size(); ++d)
        for (std::size_t i = 0; i < at.x[d].size(); ++i) {
            const double kick = std::sqrt(brief) * kicks[d][i];
            pushed[d][i] += brief * drift[d][i];
            up[d][i] += kick;
            down[d][i] -= kick;
        }
    const StateRows p = physics.drift(at.window, pushed), u = physics.drift(at.window, up),
               w = physics.drift(at.window, down);
    GeneratorParts parts{StateRows(at.x.size()), StateRows(at.x.size())};
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
StateRows slopes_of(const Run& run, const BiasedDrift& physics, const WindowStates& at, const StateRows& noise,
               double time) {
    StateRows ahead = at.x, behind = at.x, way(at.x.size());
    for (std::size_t d = 0; d < at.x.size(); ++d)
        for (std::size_t i = 0; i < at.x[d].size(); ++i) {
            const bool up = derived_seed(run.config.seed + d, 9600 + i) & 1;
            way[d].push_back((up ? kWay : -kWay) * std::sqrt(noise[d][i] * time));
            ahead[d][i] += way[d][i];
            behind[d][i] -= way[d][i];
        }
    const StateRows there = physics.drift(at.window, ahead), here = physics.drift(at.window, behind);
    StateRows slopes(at.x.size());
    for (std::size_t d = 0; d < at.x.size(); ++d)
        for (std::size_t i = 0; i < at.x[d].size(); ++i)
            slopes[d].push_back((there[d][i] - here[d][i]) / (2 * way[d][i]));
    return slopes;
}

}  // namespace

// The logarithm of the ratio is nearly normal, its error Student's.
double Excess::significance() const {
    if (!(error > 0 && value > -1)) return 0;
    const double t = std::log1p(value) * (1 + value) / error, freedom = blocks - 1;
    return std::sqrt((freedom - 0.5) * std::log1p(t * t / freedom));
}

bool Excess::found() const {
    return std::isfinite(value) && std::fabs(value) > noticed &&
           significance() > std::sqrt(kSignificant * kSignificant + 2 * std::log(looks)) &&
           expected > std::min(kExplains * std::fabs(value), kLong);
}

double Excess::weight() const { return std::min(std::fabs(value), expected / kExplains); }

std::vector<Excess> excesses(const Run& run, const BiasedDrift& physics, const WindowStates& at,
                             const StateRows& drift, const StateRows& noise, double time) {
    StateRows slopes;
    GeneratorParts parts;
    if (physics.has_energy())
        slopes = slopes_of(run, physics, at, noise, time);
    else
        parts = generator_parts(physics, at, drift, time);
    std::vector<Excess> all;
    for (std::size_t d = 0; d < at.x.size(); ++d) {
        all.push_back(physics.has_energy()
                          ? excess_of_force(at, drift[d], slopes[d], 0.5 * mean(noise[d]), time)
                          : excess_of_drift(at, drift[d], parts.drift[d], parts.noise[d], time));
        all.back().noticed = physics.along_cv(d) ? kNoticedAlongCv : kNoticed;
    }
    return all;
}

}  // namespace microlift
