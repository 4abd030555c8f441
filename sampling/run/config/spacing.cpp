#include "sampling/run/config/spacing.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/config/checks.h"
#include "engine/text.h"

namespace microlift {

namespace {

// Rounding every step adds spacing²/12 to the variance of its noise: at a quarter half a per cent.
constexpr double kMostOfNoise = 0.25;
// Of the width 1/√(β stiffness) of a window: its centre and the bins within are rounded as much.
constexpr double kMostOfWindow = 1.0 / 256;
constexpr int kDigits = 7;  // which single precision has
// Of the range of the windows: that the noise of one step moves ξ further, and that a window is wider.
constexpr double kMostOfRange = 10;

// The variable that ξ is, up to a constant; −1 where it is none.
int variable_of(const FormulaSystem::Cv& cv) {
    int found = -1;
    for (std::size_t d = 0; cv.linear && d < cv.weights.size(); ++d) {
        if (cv.weights[d] == 0.0) continue;
        if (found >= 0 || std::fabs(cv.weights[d]) != 1.0) return -1;
        found = static_cast<int>(d);
    }
    return found;
}

// Standard deviation of what noise does to a variable in a step; 0 where it depends on the state.
double step_noise(const Model& model, const IntegratorConfig& integrator, int variable) {
    const FormulaSystem& system = model.formulas();
    if (integrator.scheme == "baoab")
        return integrator.dt / std::sqrt(system.beta * integrator.mass);
    if (!system.noise_constant) return 0;
    const auto d = static_cast<std::size_t>(variable), n = static_cast<std::size_t>(system.dim);
    if (system.noise == FormulaSystem::Noise::diagonal)
        return std::fabs(system.noise_values[d]) * std::sqrt(integrator.dt);
    double square = 0;
    for (std::size_t e = 0; e < n; ++e)
        square += system.noise_values[d * n + e] * system.noise_values[d * n + e];
    return std::sqrt(square * integrator.dt);
}

// Of a temperature in another unit than the potential, as a rule.
void check_reach(const RunConfig& run, const Model& model, std::size_t k, double noise, double window) {
    const double range = std::fabs(run.umbrella.to[k] - run.umbrella.from[k]);
    if (!(noise > kMostOfRange * range && window > kMostOfRange * range)) return;
    const std::string what = "the noise of a step of integrator.dt moves the collective variable '" +
                             model.cv_names()[k] + "' by " + number(noise, kDigits) +
                             ", and the windows cover " + number(range, kDigits);
    if (model.gradient())
        throw KeyError("system.beta",
                       "key 'system.beta' means kT = " + number(model.kt(), kDigits) + ", so that " + what,
                       "give the inverse temperature in the unit of the potential, or a smaller "
                       "integrator.dt");
    throw KeyError("system.diffusion", what,
                   "check the unit of the noise, or choose a smaller integrator.dt");
}

}  // namespace

double float_spacing(double value) {
    const auto x = static_cast<float>(std::fabs(value));
    return static_cast<double>(std::nextafter(x, std::numeric_limits<float>::max())) -
           static_cast<double>(x);
}

void check_spacing(const RunConfig& run, const Model& model) {
    for (int k = 0; k < model.n_cvs(); ++k) {
        const auto i = static_cast<std::size_t>(k);
        const auto noise_along = static_cast<float>(1 / model.cv_beta()[i]);
        if (!std::isnormal(noise_along)) continue;  // none that single precision knows, refused elsewhere
        const double far = std::max(std::fabs(run.umbrella.from[i]), std::fabs(run.umbrella.to[i]));
        const double spacing = float_spacing(far);
        const double window = 1 / std::sqrt(model.cv_beta()[i] * run.umbrella.stiffness[i]);
        const int variable = variable_of(model.formulas().cvs[i]);
        const double noise = variable < 0 ? 0 : step_noise(model, run.integrator, variable);
        check_reach(run, model, i, noise, window);
        const bool steps = noise > 0 && spacing > kMostOfNoise * noise;
        if (!steps && !(spacing > kMostOfWindow * window)) continue;
        const std::string& name = model.cv_names()[i];
        const std::string far_away = "the collective variable '" + name + "' goes up to " +
                                     number(far, kDigits) +
                                     ", where single precision knows a number every " +
                                     number(spacing, kDigits);
        const double half = 0.5 * std::fabs(run.umbrella.to[i] - run.umbrella.from[i]);
        if (steps && float_spacing(half) > kMostOfNoise * noise)
            throw KeyError("integrator.dt",
                           far_away + ", and the noise of a step of integrator.dt moves it by " +
                               number(noise, kDigits),
                           "choose a larger integrator.dt");
        if (!steps && float_spacing(half) > kMostOfWindow * window)
            throw KeyError("umbrella.stiffness",
                           far_away + "; a window is " + number(window, kDigits) + " wide",
                           "choose a smaller umbrella.stiffness");
        const bool is_variable = variable >= 0 && model.text().cv[i] == model.variables()[
                                                      static_cast<std::size_t>(variable)];
        const std::string middle =
            toml_number(std::round(0.5 * (run.umbrella.from[i] + run.umbrella.to[i])));
        throw KeyError("umbrella.from",
                       far_away + (steps ? "; the noise of a step moves it by " + number(noise, kDigits)
                                         : "; a window is " + number(window, kDigits) + " wide"),
                       "count it from " + middle + ": " +
                           (is_variable ? "write (" + name + " + " + middle + ") for it in the formulas"
                                        : "give the variables behind it such an origin") +
                           ", and shift from, to and initial");
    }
}

}  // namespace microlift
