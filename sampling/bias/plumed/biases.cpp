// Adaptive biases, and what is printed.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "sampling/bias/bias_config.h"
#include "sampling/bias/plumed/state.h"
#include "sampling/molecule/molecule.h"

namespace microlift {

namespace {

constexpr double kHottest = 1e6;      // the largest bias factor: without tempering, a uniform target
constexpr double kSame = 1e-6;        // numbers that mean the same
constexpr double kOfWidth = 0.2;      // PLUMED's spacing of a grid, as a part of a hill's width
constexpr double kFullSamples = 500;  // PLUMED's default

double kt_of(const PlumedState& state) {
    return kGasConstant * state.engine.temperature;
}

void check_temperature(const PlumedState& state, const PlumedSettings& settings) {
    if (!settings.has("TEMP")) return;
    const double t = settings.number("TEMP");
    if (std::fabs(t - state.engine.temperature) <= kSame * state.engine.temperature) return;
    settings.wrong(
        "TEMP",
        "key 'TEMP' is " + toml_number(t) + ", and the molecule has " + toml_number(state.engine.temperature) + " K",
        "give TEMP=" + toml_number(state.engine.temperature) + ", or system.temperature = " + toml_number(t));
}

// What all adaptive biases have; `given` keeps more.
PlumedAdaptive new_bias(const PlumedState& state, const PlumedSettings& settings, const char* method) {
    const PlumedAction& action = settings.action();
    if (state.adaptive)
        refuse(action.origin,
               "'" + action.name + "' is a second adaptive bias, besides '" + state.adaptive->action + "' in line " +
                   std::to_string(state.adaptive->origin.line),
               "leave one of them out");
    PlumedAdaptive bias;
    bias.action = action.name;
    bias.label = action.label;
    bias.origin = action.origin;
    bias.given = plumed_table(action.origin);
    bias.fallback = plumed_table(action.origin);
    bias.labels = state.variables(settings, "ARG");
    if (bias.labels.size() > 2)
        settings.wrong("ARG", "'" + action.name + "' biases " + std::to_string(bias.labels.size()) + " variables",
                       "give one or two");
    bias.given.put("method", at_place(ConfigValue::of(std::string(method)), action.origin));
    check_temperature(state, settings);
    return bias;
}

void put_number(PlumedAdaptive& bias, const char* key, double value, const ConfigOrigin& origin) {
    bias.given.put(key, at_place(ConfigValue::of(value), origin));
}

void put_whole(PlumedAdaptive& bias, const char* key, index value, const ConfigOrigin& origin) {
    bias.given.put(key, at_place(ConfigValue::of(static_cast<long long>(value)), origin));
}

struct PlumedRange {
    std::vector<double> from, to;
    bool given = false;
};

// GRID_MIN and GRID_MAX; of periodic variables one period, which is also their default.
PlumedRange range_of(const PlumedState& state, const PlumedSettings& settings, const PlumedAdaptive& bias) {
    const std::size_t n = bias.labels.size();
    PlumedRange range;
    const bool grid = settings.has("GRID_MIN") || settings.has("GRID_MAX");
    if (grid) {
        range.from = plumed_in_units(state, bias.labels, settings.numbers("GRID_MIN", n));
        range.to = plumed_in_units(state, bias.labels, settings.numbers("GRID_MAX", n));
        range.given = true;
    } else {
        for (const char* key : {"GRID_BIN", "GRID_SPACING"})
            if (settings.has(key))
                settings.wrong(key, "key '" + std::string(key) + "' is given without GRID_MIN and GRID_MAX",
                               "give them, too");
    }
    for (std::size_t k = 0; k < n; ++k) {
        const PlumedQuantity& variable = *state.find(bias.labels[k]);
        if (!variable.periodic) continue;
        if (!grid) {
            range.from.push_back(variable.from);
            range.to.push_back(variable.to);
            continue;
        }
        const double period = variable.to - variable.from;
        const auto off = [&](double a, double b) { return std::fabs(a - b) > 1e-4 * period; };
        if (off(range.from[k], variable.from) || off(range.to[k], variable.to))
            settings.wrong(off(range.from[k], variable.from) ? "GRID_MIN" : "GRID_MAX",
                           "the grid of '" + variable.label + "' is not its period, " + toml_number(variable.from) +
                               " to " + toml_number(variable.to),
                           "give that, for example -pi and pi of a torsion");
        range.from[k] = variable.from;
        range.to[k] = variable.to;
    }
    // Of several variables all have a range, or none.
    if (range.from.size() < n) range.from.clear(), range.to.clear();
    return range;
}

std::vector<long long> whole_bins(const PlumedSettings& settings, const char* key, std::size_t count) {
    std::vector<long long> bins;
    for (const double x : settings.numbers(key, count)) {
        if (!(x >= 1 && x <= 1e7) || x != std::floor(x))
            settings.wrong(key, "key '" + std::string(key) + "' has " + toml_number(x) + ", which is no number of bins",
                           "give whole numbers");
        bins.push_back(static_cast<long long>(x));
    }
    return bins;
}

// Range and bins; `width`: of hills, empty where it is unknown.
void read_plumed_grid(const PlumedState& state, const PlumedSettings& settings, PlumedAdaptive& bias,
                      const std::vector<double>& width) {
    const PlumedRange range = range_of(state, settings, bias);
    if (range.from.empty()) return;
    const std::size_t n = bias.labels.size();
    const ConfigOrigin place = settings.place(range.given ? "GRID_MIN" : "ARG");
    ConfigValue& ends = range.given ? bias.given : bias.fallback;
    ends.put("from", plumed_list(range.from, place));
    ends.put("to", plumed_list(range.to, range.given ? settings.place("GRID_MAX") : place));
    std::vector<long long> bins;
    if (settings.has("GRID_BIN")) bins = whole_bins(settings, "GRID_BIN", n);
    std::vector<double> spacing;
    if (settings.has("GRID_SPACING"))
        spacing = plumed_in_units(state, bias.labels, settings.numbers("GRID_SPACING", n));
    else if (bins.empty())
        for (const double w : width) spacing.push_back(kOfWidth * w);
    const char* key = settings.has("GRID_BIN") ? "GRID_BIN" : settings.has("GRID_SPACING") ? "GRID_SPACING" : "ARG";
    for (std::size_t k = 0; k < spacing.size(); ++k) {
        const double needed = std::ceil((range.to[k] - range.from[k]) / spacing[k] * (1 - 1e-12));
        if (!(spacing[k] > 0) || !(needed >= 1 && needed <= 1e7))
            settings.wrong(key, "the grid's spacing is " + toml_number(spacing[k]),
                           "give one that is above 0 and no too small");
        if (bins.size() < n) bins.push_back(1);
        bins[k] = std::max(bins[k], static_cast<long long>(needed));
    }
    if (bins.empty()) return;
    const bool said = settings.has("GRID_BIN") || settings.has("GRID_SPACING");
    (said ? bias.given : bias.fallback)
        .put("bins", at_place(n == 1 ? ConfigValue::of(bins[0]) : ConfigValue::of(bins), settings.place(key)));
}

void put_pace(const PlumedSettings& settings, PlumedAdaptive& bias) {
    put_whole(bias, "pace", settings.whole("PACE"), settings.place("PACE"));
}

// TAU instead of HEIGHT: kT (γ − 1) · PACE · dt/TAU.
double hill_height(const PlumedState& state, const PlumedSettings& settings, double biasfactor) {
    if (!settings.has("TAU")) return settings.number("HEIGHT") * state.units.energy;
    if (settings.has("HEIGHT")) settings.wrong("TAU", "both HEIGHT and TAU are given", "leave one of them out");
    if (!settings.has("BIASFACTOR"))
        settings.wrong("TAU", "TAU is given without BIASFACTOR", "give HEIGHT, or BIASFACTOR");
    if (!(state.engine.dt > 0))
        settings.wrong("TAU", "TAU needs the time step, which the configuration does not say",
                       "give integrator.dt, or HEIGHT");
    const double tau = settings.number("TAU") * state.units.time;
    if (!(tau > 0)) settings.wrong("TAU", "TAU is not above 0", "give a time");
    return kt_of(state) * (biasfactor - 1) / tau * state.engine.dt * static_cast<double>(settings.whole("PACE"));
}

double bias_factor(const PlumedSettings& settings, bool may_be_endless) {
    const std::string& text = settings.text("BIASFACTOR");
    if (may_be_endless && (text == "inf" || text == "INF")) return kHottest;
    const double factor = settings.number("BIASFACTOR");
    if (!(factor > 1))
        settings.wrong("BIASFACTOR",
                       "key 'BIASFACTOR' is " + toml_number(factor) + ", and with 1 or less there is no bias",
                       "give more than 1, for example 10");
    return factor;
}

}  // namespace

// Values of ARG's variables in the engine's units.
std::vector<double> plumed_in_units(const PlumedState& state, const std::vector<std::string>& labels,
                                    std::vector<double> values, double power) {
    for (std::size_t k = 0; k < values.size(); ++k) values[k] *= std::pow(state.unit_of(labels[k]), power);
    return values;
}

void read_plumed_metad(PlumedState& state, const PlumedSettings& settings) {
    PlumedAdaptive bias = new_bias(state, settings, "metadynamics");
    put_pace(settings, bias);
    // Without a bias factor hills keep their height.
    const bool tempered = settings.has("BIASFACTOR");
    const double factor = tempered ? bias_factor(settings, false) : kHottest;
    put_number(bias, "biasfactor", factor, settings.place("BIASFACTOR"));
    double walkers = 1;
    if (settings.has("WALKERS_N")) {
        walkers = static_cast<double>(settings.whole("WALKERS_N"));
        if (!(walkers >= 1)) settings.wrong("WALKERS_N", "there are no walkers", "give 1 or more");
    }
    // How many simulations MPI has, no input says.
    (settings.has("WALKERS_MPI") ? bias.fallback : bias.given)
        .put("height", at_place(ConfigValue::of(walkers * hill_height(state, settings, factor)),
                                settings.place(settings.has("TAU") ? "TAU" : "HEIGHT")));
    const std::vector<double> sigma =
        plumed_in_units(state, bias.labels, settings.numbers("SIGMA", bias.labels.size()));
    for (const double width : sigma)
        if (!(width > 0)) settings.wrong("SIGMA", "a width is not above 0", "give widths");
    bias.given.put("sigma", plumed_list(sigma, settings.place("SIGMA")));
    read_plumed_grid(state, settings, bias, sigma);
    state.adaptive = std::move(bias);
}

// OPES_METAD and OPES_METAD_EXPLORE.
void read_plumed_opes(PlumedState& state, const PlumedSettings& settings) {
    const bool explore = settings.action().name == "OPES_METAD_EXPLORE";
    PlumedAdaptive bias = new_bias(state, settings, explore ? "opes_explore" : "opes");
    put_pace(settings, bias);
    const double barrier = settings.number("BARRIER") * state.units.energy;
    put_number(bias, "barrier", barrier, settings.place("BARRIER"));
    double factor = barrier / kt_of(state);
    if (settings.has("BIASFACTOR")) {
        factor = bias_factor(settings, !explore);
        put_number(bias, "biasfactor", factor, settings.place("BIASFACTOR"));
    } else if (!(factor > 1)) {
        settings.wrong("BARRIER",
                       "the barrier is " + toml_number(factor) + " kT, and the bias factor, which it gives, is above 1",
                       "give a higher one, or BIASFACTOR");
    }
    const std::string width = settings.has("SIGMA") ? settings.text("SIGMA") : "ADAPTIVE";
    std::vector<double> sigma;
    if (width != "ADAPTIVE" && width != "adaptive") {
        sigma = plumed_in_units(state, bias.labels, settings.numbers("SIGMA", bias.labels.size()));
        // The target is broader where the bias explores.
        for (double& w : sigma) {
            if (!(w > 0)) settings.wrong("SIGMA", "a width is not above 0", "give widths, or ADAPTIVE");
            if (explore) w *= std::sqrt(factor);
        }
    }
    bias.given.put("sigma", plumed_list(sigma.empty() ? std::vector<double>{0} : sigma, settings.place("SIGMA")));
    if (settings.has("SIGMA_MIN")) {
        bias.sigma_min = plumed_in_units(state, bias.labels, settings.numbers("SIGMA_MIN", bias.labels.size()));
        bias.sigma_min_place = settings.place("SIGMA_MIN");
    }
    read_plumed_grid(state, settings, bias, sigma);
    state.adaptive = std::move(bias);
}

// Extended ABF: the spring's default is PLUMED's, one bin wide.
void read_plumed_drr(PlumedState& state, const PlumedSettings& settings) {
    PlumedAdaptive bias = new_bias(state, settings, "eabf");
    const std::size_t n = bias.labels.size();
    for (const double factor : settings.numbers("MAXFACTOR", n, 1.0))
        if (factor != 1) settings.wrong("MAXFACTOR", "a force is to be scaled by other than 1", "leave MAXFACTOR out");
    for (const double wall : settings.numbers("REFLECTINGWALL", n, 0.0))
        if (wall != 0)
            settings.wrong("REFLECTINGWALL", "reflecting walls are not read", "use LOWER_WALLS and UPPER_WALLS");
    if (!settings.has("GRID_MIN")) settings.wrong("GRID_MIN", "'DRR' has no GRID_MIN", "give GRID_MIN and GRID_MAX");
    if (!settings.has("GRID_BIN") && !settings.has("GRID_SPACING"))
        settings.wrong("GRID_BIN", "'DRR' has neither GRID_BIN nor GRID_SPACING", "give one of them");
    read_plumed_grid(state, settings, bias, {});
    std::vector<double> stiffness;
    if (settings.has("KAPPA")) {
        stiffness = plumed_in_units(state, bias.labels, settings.numbers("KAPPA", n), -2);
        for (double& k : stiffness) k *= state.units.energy;
    } else {
        const auto entry = [](const ConfigValue& value, std::size_t k) {
            return value.kind == ConfigValue::Kind::array ? value.items[k].as_number() : value.as_number();
        };
        for (std::size_t k = 0; k < n; ++k) {
            const double width = (entry(*bias.given.find("to"), k) - entry(*bias.given.find("from"), k)) /
                                 entry(*bias.given.find("bins"), k);
            stiffness.push_back(kt_of(state) / (width * width));
        }
    }
    bias.given.put("stiffness", plumed_list(stiffness, settings.place("KAPPA")));
    put_number(bias, "full_samples", settings.number_or("FULLSAMPLES", kFullSamples), settings.place("FULLSAMPLES"));
    state.adaptive = std::move(bias);
}

// From one point to another in so many steps; the engine's walkers go both ways.
void read_plumed_moving(PlumedState& state, const PlumedSettings& settings) {
    PlumedAdaptive bias = new_bias(state, settings, "steered");
    if (settings.has("VERSE") && settings.text("VERSE") != "B")
        settings.wrong("VERSE", "the restraint acts on one side alone", "leave VERSE out");
    for (const char* key : {"STEP2", "AT2", "KAPPA2"})
        if (settings.has(key))
            settings.wrong(key, "'MOVINGRESTRAINT' has more than two points", "give STEP0 and STEP1, AT0 and AT1");
    const std::size_t n = bias.labels.size();
    const index first = settings.whole("STEP0"), last = settings.whole("STEP1");
    if (first < 0 || last <= first) settings.wrong("STEP1", "STEP1 is not above STEP0", "give a later step");
    std::vector<double> path;
    for (const char* key : {"AT0", "AT1"})
        for (const double x : plumed_in_units(state, bias.labels, settings.numbers(key, n))) path.push_back(x);
    std::vector<double> stiffness = settings.numbers("KAPPA0", n);
    if (settings.has("KAPPA1") && settings.numbers("KAPPA1", n) != stiffness)
        settings.wrong("KAPPA1", "the stiffness changes on the way", "give KAPPA0 alone");
    stiffness = plumed_in_units(state, bias.labels, stiffness, -2);
    for (double& k : stiffness) k *= state.units.energy;
    bias.given.put("path", at_place(ConfigValue::of(path), settings.place("AT0")));
    bias.given.put("stiffness", plumed_list(stiffness, settings.place("KAPPA0")));
    put_whole(bias, "steps", last - first, settings.place("STEP1"));
    if (first > 0)
        bias.fallback.put("equilibrate",
                          at_place(ConfigValue::of(static_cast<long long>(first)), settings.place("STEP0")));
    state.adaptive = std::move(bias);
}

// Labels, components and patterns; columns that are not of ours are left out.
void read_plumed_print(PlumedState& state, const PlumedSettings& settings) {
    for (const std::string& part : settings.parts("ARG")) {
        if (part.find('*') != std::string::npos || part[0] == '(') continue;
        const std::string label = part.substr(0, part.find('.'));
        if (!state.find(label))
            settings.wrong("ARG", "'PRINT' names '" + printable(part, 40) + "', and no action before it has that label",
                           "give labels of actions that stand before it");
    }
    if (!state.prints) {
        state.printed = settings.parts("ARG");
        state.printed_place = settings.place("ARG");
    }
    state.prints = true;
    if (!settings.has("STRIDE") || state.stride.origin.line > 0) return;
    const index stride = settings.whole("STRIDE");
    if (stride < 1) settings.wrong("STRIDE", "STRIDE is less than 1", "give a number of steps");
    state.stride = at_place(ConfigValue::of(static_cast<long long>(stride)), settings.place("STRIDE"));
}

void read_plumed_restart(PlumedState&, const PlumedSettings& settings) {
    if (settings.has("NO")) return;
    refuse(settings.action().origin, "'RESTART': a run does not go on from PLUMED's files",
           "leave it out; '--resume' goes on with a run");
}

void read_plumed_nothing(PlumedState&, const PlumedSettings&) {}

}  // namespace microlift
