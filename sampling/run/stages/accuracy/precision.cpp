#include "sampling/run/stages/accuracy/accuracy.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "sampling/run/checks.h"
#include "sampling/run/config/spacing.h"

namespace microlift {

namespace {

constexpr double kMostEnergy = 0.02;     // kT, over all that a variable goes through
constexpr double kMostForce = 0.01;      // of the drift, where a variable has no noise
constexpr double kMostRounding = 0.02;   // kT, of the energy that a Metropolis decision sees
constexpr double kMostOfNoise = 1.0 / 16, kMostOfBin = 1.0 / 256;  // spacing of numbers
constexpr double kMostOfError = 0.5;
constexpr std::size_t kChecked = 256;    // states of a window
// Beyond these single precision holds an exponential.
constexpr double kLowest = -87.3, kHighest = 88.0;

// Some states of every window, in double precision, x[d][i].
StateRows some_states(const std::vector<WindowStates>& drawn) {
    StateRows x(drawn[0].x.size());
    for (const WindowStates& at : drawn) {
        const auto count = static_cast<std::size_t>(at.count());
        const std::size_t n = std::min(kChecked, count);
        for (std::size_t d = 0; d < x.size(); ++d)
            for (std::size_t j = 0; j < n; ++j) x[d].push_back(at.x[d][j * count / n]);
    }
    return x;
}

// Outputs of a program in single precision.
StateRows in_single(const Program& program, const StateRows& x) {
    const auto n = static_cast<index>(x[0].size());
    const Device host = Device::cpu(1);
    Stream stream(host);
    const ColumnProgram columns(host, program);
    Buffer<float> in(host, static_cast<index>(x.size()) * n), out(host, columns.outputs() * n);
    float* to = in.data();
    for (const auto& row : x)
        for (const double v : row) *to++ = static_cast<float>(v);
    columns.run(stream, in.span(), n, n, out.span(), n);
    stream.synchronize();
    StateRows rows;
    for (index o = 0; o < columns.outputs(); ++o)
        rows.emplace_back(out.data() + o * n, out.data() + (o + 1) * n);
    return rows;
}

StateRows in_double(const Expressions& graph, const std::vector<NodeId>& nodes, const StateRows& x) {
    const std::size_t n = x[0].size();
    std::vector<double> flat, out(nodes.size() * n);
    for (const auto& row : x) flat.insert(flat.end(), row.begin(), row.end());
    BatchEvaluator(graph, nodes)(flat.data(), n, n, out.data());
    StateRows rows;
    for (std::size_t o = 0; o < nodes.size(); ++o)
        rows.emplace_back(out.begin() + static_cast<std::ptrdiff_t>(o * n),
                          out.begin() + static_cast<std::ptrdiff_t>((o + 1) * n));
    return rows;
}

double deviation(const std::vector<double>& values) {
    double mean = 0, square = 0;
    const auto n = static_cast<double>(values.size());
    for (const double v : values) mean += v / n;
    for (const double v : values) square += (v - mean) * (v - mean) / n;
    return std::sqrt(square);
}

double root_mean_square(const std::vector<double>& values, std::size_t from, std::size_t to) {
    double square = 0;
    for (std::size_t i = from; i < to; ++i) square += values[i] * values[i];
    return std::sqrt(square / static_cast<double>(to - from));
}

// Where the formula has no value in double precision either, single precision is not at fault.
std::vector<double> difference(const std::vector<double>& single, const std::vector<double>& exact) {
    std::vector<double> by(exact.size(), 0.0);
    for (std::size_t i = 0; i < by.size(); ++i)
        if (std::isfinite(exact[i]))
            by[i] = std::isfinite(single[i]) ? single[i] - exact[i]
                                             : std::numeric_limits<double>::infinity();
    return by;
}

// The exponential of the drift that single precision holds most often: where, and its exponent.
std::string held_exponential(const FormulaSystem& system, const StateRows& x) {
    std::vector<NodeId> arguments;
    for (const NodeId id : system.graph.reachable(system.drift_nodes))
        if (system.graph.node(id).op == Op::exp) arguments.push_back(system.graph.node(id).a);
    if (arguments.empty()) return "";
    const StateRows values = in_double(system.graph, arguments, x);
    std::size_t most = 0, which = 0;
    double extreme = 0;
    for (std::size_t a = 0; a < arguments.size(); ++a) {
        const auto held = static_cast<std::size_t>(
            std::count_if(values[a].begin(), values[a].end(),
                          [](double v) { return v < kLowest || v > kHighest; }));
        if (held <= most) continue;
        most = held, which = a;
        extreme = *std::max_element(
            values[a].begin(), values[a].end(),
            [](double p, double q) { return std::fabs(p) < std::fabs(q); });
    }
    if (most == 0) return "";
    return "; exp(" + system.graph.to_string(arguments[which], system.variables) + ") is held at " +
           (extreme > 0 ? "e^88" : "e^-87") + " where its exponent goes to " + number(extreme);
}

// The error of the drift of a variable, as an energy over the way that the samples span in kT; of a
// variable without noise, as a part of the drift.
struct DriftError {
    double energy = 0, part = 0;
    bool found(bool noisy) const { return noisy ? energy > kMostEnergy : part > kMostForce; }
};

DriftError drift_error(const std::vector<double>& single, const std::vector<double>& exact,
                       double spread, double half_noise, std::size_t windows) {
    const std::vector<double> by = difference(single, exact);
    const std::size_t n = by.size();
    DriftError error;
    for (std::size_t w = 0; w < windows; ++w)
        error.energy = std::max(error.energy, root_mean_square(by, w * n / windows, (w + 1) * n / windows));
    std::vector<double> finite;
    for (const double v : exact) finite.push_back(std::isfinite(v) ? v : 0.0);
    const double size = root_mean_square(finite, 0, n), wrong = root_mean_square(by, 0, n);
    error.part = wrong > 0 ? wrong / size : 0.0;
    error.energy *= half_noise > 0 ? spread / half_noise : 0.0;
    return error;
}

void check_drift(Run& run, const BiasedDrift& physics, const StateRows& x, std::size_t windows) {
    const Checking check(run, "single_force");
    const FormulaSystem& system = run.model.formulas();
    const StateRows single = in_single(system.force, x);
    const StateRows exact = in_double(system.graph, system.drift_nodes, x), noise = physics.noise(x);
    Json& record = run.record["accuracy"]["precision"];
    double worst_energy = 0, worst_part = 0;
    for (std::size_t d = 0; d < x.size(); ++d) {
        double half_noise = 0;
        for (const double s : noise[d]) half_noise += 0.5 * s / static_cast<double>(noise[d].size());
        const DriftError error =
            drift_error(single[d], exact[d], deviation(x[d]), half_noise, windows);
        worst_energy = std::max(worst_energy, error.energy);
        worst_part = std::max(worst_part, error.part);
        if (error.found(half_noise > 0))
            run.warn("single precision is not enough for the " +
                     std::string(run.model.gradient() ? "force on " : "drift of ") +
                     run.model.variables()[d] + ": at the run's own states it is off by " +
                     number(100 * error.part) + " % of its size" +
                     (half_noise > 0 ? ", " + number(error.energy) + " kT over all of them" : "") +
                     held_exponential(system, x) +
                     "; write the formula without such large terms, or in another form");
    }
    record["drift_error"] = worst_part;
    record["drift_error_kt"] = worst_energy;
}

// Numbers far from zero lie apart.
void check_numbers(Run& run, const BiasedDrift& physics, const StateRows& x) {
    const Checking check(run, "single_state");
    const IntegratorConfig& integrator = run.config.integrator;
    const StateRows squares = physics.noise(x);
    double worst = 0;
    for (std::size_t d = 0; d < x.size(); ++d) {
        const auto n = static_cast<double>(x[d].size());
        double far = 0, square = 0;
        for (const double v : x[d]) far += std::fabs(v) / n;
        for (const double v : squares[d]) square += v / n;
        // Of underdamped dynamics the way of a step at thermal velocity.
        const double noise = run.kernel->has_velocity()
                                 ? integrator.dt * std::sqrt(0.5 * square / integrator.mass)
                                 : std::sqrt(square * integrator.dt);
        if (!(noise > 0)) continue;
        worst = std::max(worst, float_spacing(far) / noise);
        if (float_spacing(far) > kMostOfNoise * noise)
            run.warn("single precision knows a number every " + number(float_spacing(far)) +
                     " where " + run.model.variables()[d] + " is (about " + number(far) +
                     "), and the noise of a step is " + number(noise) +
                     ": rounding is felt; count " + run.model.variables()[d] +
                     " from a value near its states, or choose a larger integrator.dt");
    }
    run.record["accuracy"]["precision"]["spacing_of_step"] = worst;
}

// In kT, half of the bins have less; 0 without an estimate.
double usual_error(const Run& run) {
    std::vector<double> errors;
    for (const double e : run.free_energy.error)
        if (std::isfinite(e)) errors.push_back(e / run.model.kt());
    if (errors.empty()) return 0;
    const auto middle = errors.begin() + static_cast<std::ptrdiff_t>(errors.size() / 2);
    std::nth_element(errors.begin(), middle, errors.end());
    return *middle;
}

// A bin's density, and so its free energy in kT, is off by about the spacing's part of its width.
void check_cvs(Run& run, const StateRows& x) {
    const Checking check(run, "single_variable");
    const FormulaSystem& system = run.model.formulas();
    const StateRows single = in_single(system.cv, x), exact = in_double(system.graph, system.cv_nodes, x);
    double worst = 0;
    for (int k = 0; k < run.model.n_cvs(); ++k) {
        const auto i = static_cast<std::size_t>(k);
        std::vector<double> by = difference(single[i], exact[i]);
        for (double& d : by) d = nearest_image(d, run.grid.period(k));
        const double far = std::max(std::fabs(run.grid.from[i]), std::fabs(run.grid.to[i]));
        const double off = std::max(root_mean_square(by, 0, by.size()), float_spacing(far));
        const double part = off / run.grid.width(k);
        worst = std::max(worst, part);
        if (part > std::max(kMostOfBin, kMostOfError * usual_error(run)))
            run.warn("single precision knows " + run.model.cv_names()[i] + " to " + number(off) +
                     ", and a bin is " + number(run.grid.width(k)) +
                     " wide: bins are filled unevenly; give fewer estimate.bins, or count the "
                     "variables from values near the windows");
    }
    run.record["accuracy"]["precision"]["spacing_of_bin"] = worst;
}

// Metropolis decisions see energies in single precision, constants included.
void check_energies(Run& run, const StateRows& x) {
    const bool decides = run.kernel->metropolis() || run.coupling.jump_acceptance > 0;
    if (!decides || !run.model.gradient()) return;
    const Checking check(run, "single_energy");
    const FormulaSystem& system = run.model.formulas();
    const StateRows single = in_single(system.potential, x);
    const StateRows exact = in_double(system.graph, {system.potential_node}, x);
    const double off = system.beta * deviation(difference(single[0], exact[0]));
    run.record["accuracy"]["precision"]["energy_rounding_kt"] = off;
    if (!(off <= kMostRounding))
        run.warn("single precision rounds energies by " + number(off) +
                 " kT, which acceptances see; write the potential without its large constant terms");
}

}  // namespace

void check_precision(Run& run, const BiasedDrift& physics, const std::vector<WindowStates>& drawn) {
    if (drawn.empty()) return;
    const StateRows x = some_states(drawn);
    check_drift(run, physics, x, drawn.size());
    check_numbers(run, physics, x);
    check_cvs(run, x);
    check_energies(run, x);
}

}  // namespace microlift
