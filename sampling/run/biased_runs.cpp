#include "sampling/run/biased_runs.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/at.h"
#include "engine/error.h"
#include "engine/stop.h"
#include "engine/text.h"
#include "kernels/random/streams.h"
#include "sampling/bias/energy.h"
#include "sampling/lift/descents.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/molecule/worst_force.h"
#include "sampling/run/checks.h"
#include "sampling/run/lifted.h"
#include "sampling/run/places.h"
#include "sampling/run/config/starts.h"
#include "sampling/work/steered_config.h"

namespace microlift {

namespace {

constexpr index kPieces = 128;  // that the way is taken in

// ξ of n states x (dim, n), (variable, state).
std::vector<float> values_of(Run& run, Span<const float> x, index n) {
    const index K = run.model.n_cvs();
    Buffer<float> values(run.device, K * (1 + run.model.dim()) * n);
    run.model.evaluate_cvs(run.stream, x, n, n, values.span(), n);
    std::vector<float> xi(at(K * n));
    copy_to_host(run.stream, xi.data(), Span<const float>(values.span().subspan(0, K * n)));
    return xi;
}

void take_state(Run& run, Ensemble& from, Ensemble& to, double of_velocity) {
    std::vector<float> state = from.save_state();
    const auto x = at(run.model.dim() * from.size());
    for (std::size_t i = x; i < state.size(); ++i)
        state[i] = static_cast<float>(of_velocity * static_cast<double>(state[i]));
    to.load_state(state, 0);
}

std::unique_ptr<Ensemble> biased_ensemble(Run& run, Ensemble& of, const PathSetup& setup, uint64 seed) {
    const std::shared_ptr<const PathKernel> kernel = run.model.path_kernel(setup);
    auto made = std::make_unique<Ensemble>(run.stream, kernel, of.size(), seed, kStreamNoise);
    copy(run.stream, made->stiffness(), Span<const float>(of.stiffness()));
    return made;
}

}  // namespace

RoundPlan plan_of(const Run& run, index round) {
    const UmbrellaConfig& u = run.config.umbrella;
    const CouplingConfig& c = run.config.coupling;
    if (round == 0)
        return {round, u.window_count(), u.replicas, u.equilibrate, u.samples_per_trajectory(),
                u.exchange, 0};
    const auto places = static_cast<index>(run.coupling.places.size());
    const index steps = c.steps / u.stride, jump = (c.jump + u.stride - 1) / u.stride * u.stride;
    if (u.shared) return {round, 1, places * c.replicas, c.equilibrate, steps, 0, jump};
    return {round, places, c.replicas, c.equilibrate, steps, c.exchange, jump};
}

void add_windows(BiasWindows& windows, const Run& run, const std::vector<CvValue>& centers) {
    const std::vector<double>& stiffness = run.config.umbrella.stiffness;
    for (const CvValue& center : centers) {
        windows.center.push_back(center);
        windows.stiffness.push_back({stiffness[0], run.grid.dims == 2 ? stiffness[1] : 0.0});
    }
}

std::unique_ptr<Umbrella> umbrella_of(Run& run, const BiasWindows& windows,
                                      std::size_t first_window, const RoundPlan& plan) {
    const std::vector<index>& grid = run.config.umbrella.windows;
    UmbrellaOptions options;
    for (std::size_t w = first_window; w < first_window + at(plan.windows); ++w) {
        options.windows.center.push_back(windows.center[w]);
        options.windows.stiffness.push_back(windows.stiffness[w]);
    }
    options.grid[0] = plan.round == 0 ? grid[0] : plan.windows;
    options.grid[1] = plan.round == 0 && run.grid.dims == 2 ? grid[1] : 1;
    for (std::size_t k = 0; k < 2; ++k)
        options.round[k] = plan.round == 0 && run.config.umbrella.all_round(k);
    options.windows.period = windows.period;
    options.replicas = plan.replicas;
    options.exchange = plan.exchange;
    BiasSetup setup;
    setup.cvs = run.grid.dims;
    setup.trajectories = plan.trajectories();
    setup.beta = run.model.cv_beta();
    setup.seed = derived_seed(run.config.seed, 1000 + 1000000 * static_cast<uint64>(plan.round));
    setup.options = std::move(options);
    return std::make_unique<Umbrella>(run.stream, setup);
}

namespace {

// A spring that pulls ξ past λ in a step has no law, and round a period nothing blows up that would tell.
void check_steps_of_springs(const Run& run, const AdaptiveOptions& options) {
    constexpr double kMost = 0.5;  // of the way to λ in a step
    if (run.config.bias.method != "eabf" || run.model.molecule()) return;
    for (int k = 0; k < run.grid.dims; ++k) {
        const std::optional<double>& diffusion = run.model.formulas().cvs[at(k)].diffusion;
        const double dt = run.config.integrator.dt;
        const double share = options.spring[at(k)] * diffusion.value_or(0) * run.model.cv_beta()[at(k)] * dt;
        if (share <= kMost) continue;
        throw KeyError("integrator.dt",
                       "key 'integrator.dt' is " + number(dt) + ", in which the springs of eABF (stiffness " +
                           number(options.spring[at(k)]) + ") pull " + run.model.cv_names()[at(k)] + " " + number(share) +
                           " of the way to what they bind it to",
                       "give at most " + number(dt * kMost / share) + ", fewer 'bias.bins', or a smaller 'bias.stiffness'");
    }
}

}  // namespace

std::unique_ptr<AdaptiveBias> make_shared_bias(Run& run) {
    AdaptiveOptions options = adaptive_options(run.config.bias, run.config.umbrella, run.model.kt());
    check_steps_of_springs(run, options);
    options.drift = [&model = run.model](Stream& stream, Span<const float> x, index row, index n, Span<float> values) {
        model.closure(stream, x, row, n, values, row);
    };
    BiasSetup setup;
    setup.cvs = run.grid.dims;
    setup.trajectories = run.config.umbrella.trajectories();
    setup.beta = run.model.cv_beta();
    setup.seed = derived_seed(run.config.seed, 1500);
    setup.options = std::move(options);
    std::unique_ptr<BiasMethod> made = make_bias_method(run.config.bias.method, run.stream, setup);
    return std::unique_ptr<AdaptiveBias>(dynamic_cast<AdaptiveBias*>(made.release()));
}

std::unique_ptr<Steered> make_steered_bias(Run& run) {
    const UmbrellaConfig& u = run.config.umbrella;
    BiasSetup setup;
    setup.cvs = run.grid.dims;
    setup.trajectories = u.trajectories();
    setup.beta = run.model.cv_beta();
    SteeredOptions options = steered_options(run.config.bias, u, run.model.kt());
    for (int k = 0; k < setup.cvs; ++k) options.period[at(k)] = run.model.period(k);
    setup.options = std::move(options);
    return std::make_unique<Steered>(run.stream, setup);
}

void check_temperature(Run& run, Ensemble& ensemble, Json& record) {
    constexpr double kNoticed = 0.01, kErrors = 5;
    constexpr double kWild = 10;  // times what is right: no warning but the end
    const Molecule& molecule = run.model.molecule()->molecule;
    const std::vector<float> state = ensemble.save_state();
    const auto n = at(ensemble.size()), x = at(run.model.dim()) * n;
    std::vector<double> twice_of(n, 0.0);  // the kinetic energy
    for (std::size_t i = x; i < state.size(); ++i) {
        const double v = static_cast<double>(state[i]);
        twice_of[(i - x) % n] += molecule.atoms[(i - x) / n / 3].mass * v * v;
    }
    const double twice = std::accumulate(twice_of.begin(), twice_of.end(), 0.0);
    const double freedom =
        static_cast<double>(3 * molecule.size() - static_cast<index>(molecule.rigid_bonds.size()));
    const double right = 1 / (kGasConstant * run.model.cv_beta()[0]);
    const double found = twice / (freedom * static_cast<double>(n) * kGasConstant);
    const double error = right * std::sqrt(2 / (freedom * static_cast<double>(n)));
    record["temperature"] = found;
    record["temperature_error"] = error;
    const Checking check(run, "temperature");
    const double off = found / right - 1;
    if (off > kWild) {
        const auto hottest = at(std::ranges::max_element(twice_of) - twice_of.begin());
        std::vector<float> place;
        for (std::size_t d = 0; d < at(run.model.dim()); ++d) place.push_back(state[d * n + hottest]);
        throw NumericError("the steps are too long: velocities have the temperature " + number(found, 3) +
                           " K, the system has " + number(right, 5) + " K, replica " + std::to_string(hottest) +
                           " the highest; " + worst_force(run.stream, molecule, place) +
                           "; choose a smaller integrator.dt");
    }
    if (std::fabs(off) > kNoticed && std::fabs(found - right) > kErrors * error)
        run.warn("velocities have the temperature " + number(found, 5) + " K, the system has " +
                 number(right, 5) + " K: choose a smaller integrator.dt, or rigid bonds to hydrogens "
                 "(constraints = \"h_bonds\")");
}

namespace {

// Every other trajectory is lifted at a window elsewhere on the umbrella's range and then brought to its own,
// where bonds are turned for that: what the generator knows there of the hidden variables may be missing here.
void lift_molecules(Run& run, Ensemble& ensemble, const RoundPlan& plan) {
    const index n = ensemble.size();
    const auto K = at(run.grid.dims);
    std::vector<float> s = to_host(run.stream, Span<const float>(ensemble.center()));
    const std::vector<CvValue> all = umbrella_centers(run.config.umbrella);
    const bool turns = run.model.molecule_states(run.stream).sets_cvs();
    for (index t = 1; t < n && turns; t += 2) {
        const CvValue& other = all[at(t / 2) * 7919 % all.size()];  // a prime: all windows, in mixed order
        for (std::size_t k = 0; k < K; ++k) s[k * at(n) + at(t)] = static_cast<float>(other[k]);
    }
    Buffer<float> values(run.device, std::ssize(s));
    copy_to_device(run.stream, values.span(), s.data());
    Lifter lifter = make_lifter(run);
    lifter.lift(values.span(), n, derived_seed(run.config.seed, 2000), static_cast<uint64>(plan.round) << 32,
                ensemble.x());
    run.model.project(run.stream, ensemble.center(), n, n, ensemble.x(), n);
    calm(run.stream, run.model, run.config.integrator, ensemble.center(), n, ensemble.x());
    run.model.molecule_states(run.stream).draw_velocities(
        run.stream, derived_seed(run.config.seed, 2001), kStreamVelocity,
        static_cast<index>(plan.round) << 32, n, ensemble.v());
}

// Brings every trajectory, from whatever state it has, to its window: the centre moves there from the state's own ξ
// the shorter way round, in short runs at the temperature umbrella.heat, which then go on there for as long.
void steer_molecules(Run& run, Ensemble& ensemble, index replicas) {
    const MoleculeSampling& u = run.config.umbrella.molecule;
    const auto describe = [&](index t) {
        return "on the way to window " + std::to_string(t / replicas) + ", replica " +
               std::to_string(t % replicas);
    };
    PathSetup setup = run.model.path_setup(run.config.integrator);
    const double beta = setup.beta;
    const std::vector<float> start = values_of(run, ensemble.x(), ensemble.size());
    const std::vector<float> aim = to_host(run.stream, Span<const float>(ensemble.center()));

    const double hot = std::max(u.heat, 1 / (kGasConstant * beta));
    setup.beta = 1 / (kGasConstant * hot);
    std::unique_ptr<Ensemble> heated =
        biased_ensemble(run, ensemble, setup, derived_seed(run.config.seed, 3001));
    take_state(run, ensemble, *heated, 0);
    run.progress.begin("start", static_cast<double>(u.heat_steps), "steps");
    std::vector<float> center(aim.size());
    const index each = std::max<index>(1, u.heat_steps / kPieces);
    for (index done = 0, piece = 1; done < u.heat_steps; ++piece) {
        const double way = std::min(1.0, static_cast<double>(2 * piece) / static_cast<double>(kPieces));
        for (std::size_t i = 0; i < aim.size(); ++i) {
            const auto k = i / at(ensemble.size());
            const double from = static_cast<double>(start[i]);
            const double off = static_cast<double>(aim[i]) - from;
            center[i] = static_cast<float>(from + way * nearest_image(off, run.model.turn(static_cast<int>(k))));
        }
        copy_to_device(run.stream, heated->center(), center.data());
        const index now = std::min(each, u.heat_steps - done);
        heated->advance(static_cast<uint64>(now));
        done += now;
        heated->check_finite(describe);
        run.progress.update(static_cast<double>(done));
        throw_if_stopped();
    }
    take_state(run, *heated, ensemble, std::sqrt(setup.beta / beta));
    run.progress.end();
}

// Starts x, (variable, window), that no step of the run can leave, as of a file whose atoms overlap, are minimised,
// before anything is heated.
void minimise_starts(Run& run, std::vector<float>& x) {
    const index n = std::ssize(x) / run.model.dim();
    Buffer<float> states(run.device, std::ssize(x));
    copy_to_device(run.stream, states.span(), x.data());
    const std::vector<float> before = values_of(run, states.span(), n);
    const std::vector<index> wild =
        descend_wild_states(run.stream, run.model, run.config.integrator, n, states.span());
    Json& record = run.record.stage("sample")["minimised_starts"];
    record = {{"windows", wild.size()}};
    if (wild.empty()) return;
    const std::vector<float> after = values_of(run, states.span(), n);
    std::string moved;
    for (std::size_t k = 0; k < at(run.model.n_cvs()); ++k) {
        double most = 0;
        for (std::size_t w = 0; w < at(n); ++w) {
            const double off = static_cast<double>(after[k * at(n) + w]) - static_cast<double>(before[k * at(n) + w]);
            most = std::max(most, std::fabs(nearest_image(off, run.model.turn(static_cast<int>(k)))));
        }
        const std::string& name = run.model.cv_names()[k];
        record["moved"][name] = most;
        moved += (k > 0 ? " and " : ", which moved ") + name + " by " + number(most);
    }
    run.progress.note("minimised the starts of " + count_of(wild.size(), "window") +
                      ", whose forces were too large for steps of integrator.dt" + moved +
                      (n > 1 ? " at most" : ""));
    x = to_host(run.stream, std::as_const(states).span());
    if (const std::vector<index> left = wild_states(run.stream, run.model, run.config.integrator,
                                                    std::as_const(states).span(), n);
        !left.empty()) {
        std::vector<float> worst;
        for (std::size_t d = 0; d < at(run.model.dim()); ++d) worst.push_back(x[d * at(n) + at(left[0])]);
        run.warn("the start of window " + std::to_string(left[0]) + " has forces too large for steps of "
                 "integrator.dt after it was minimised, too (" +
                 worst_force(run.stream, run.model.molecule()->molecule, worst) +
                 "): give other coordinates, or choose a smaller integrator.dt");
    }
}

}  // namespace

void set_initial(Run& run, Ensemble& ensemble, const BiasWindows& windows, std::size_t first_window,
                 const RoundPlan& plan) {
    const index n = ensemble.size();
    std::vector<CvValue> places(windows.center.begin() + static_cast<std::ptrdiff_t>(first_window),
                                windows.center.begin() + static_cast<std::ptrdiff_t>(first_window) +
                                    static_cast<std::ptrdiff_t>(plan.windows));
    if (run.config.umbrella.shared) {  // walkers begin all along ξ, whom nothing pulls anywhere
        places = plan.round > 0 ? run.coupling.places : umbrella_centers(run.config.umbrella);
        std::vector<float> center(at(run.grid.dims * n));
        for (index t = 0; t < n; ++t)
            for (index k = 0; k < run.grid.dims; ++k)
                center[at(k * n + t)] = static_cast<float>(places[at(t % std::ssize(places))][at(k)]);
        copy_to_device(run.stream, ensemble.center(), center.data());
    }
    if (plan.round > 0 && run.model.molecule()) return lift_molecules(run, ensemble, plan);
    if (plan.round > 0 && !run.model.observed()) {
        Lifter lifter = make_lifter(run);
        lifter.lift(ensemble.center(), n, derived_seed(run.config.seed, 2000),
                    static_cast<uint64>(plan.round) << 32, ensemble.x());
        calm(run.stream, run.model, run.config.integrator, ensemble.center(), n, ensemble.x());
        return;
    }
    const std::vector<double> states = given_states(run.config.umbrella, run.model, run.grid, places);
    const index D = run.model.dim();
    const index starts = std::ssize(places);
    std::vector<float> one(at(D * starts)), x(at(D * n));  // a state a start, and a trajectory
    for (index s = 0; s < starts; ++s)
        for (index d = 0; d < D; ++d) one[at(d * starts + s)] = static_cast<float>(states[at(s * D + d)]);
    if (run.model.molecule()) minimise_starts(run, one);
    for (index t = 0; t < n; ++t) {
        const index s = run.config.umbrella.shared ? t % starts : t / plan.replicas;
        for (index d = 0; d < D; ++d) x[at(d * n + t)] = one[at(d * starts + s)];
    }
    copy_to_device(run.stream, ensemble.x(), x.data());
    if (run.model.molecule()) {
        if (run.config.umbrella.shared)
            run.model.molecule_states(run.stream).draw_velocities(run.stream, derived_seed(run.config.seed, 2001),
                                                                  kStreamVelocity, 0, n, ensemble.v());
        else if (run.config.umbrella.molecule.heat_steps > 0)
            steer_molecules(run, ensemble, plan.replicas);
        return;
    }
    if (run.config.umbrella.initial_line)
        run.model.project(run.stream, ensemble.center(), n, n, ensemble.x(), n, kLineSteps);
}

Span<const float> bias_values(Run& run, Ensemble& ensemble) {
    const index n = ensemble.size();
    const int rows = static_cast<int>(run.model.formulas().cv.outputs.size());
    if (run.bias_xi.size() != rows * n) run.bias_xi = Buffer<float>(run.device, rows * n);
    run.model.evaluate_cvs(run.stream, ensemble.x(), n, n, run.bias_xi.span(), n);
    return run.bias_xi.span();
}

void step_bias(Run& run, Ensemble& ensemble, BiasMethod& bias) { bias.step(ensemble, bias_values(run, ensemble)); }

void begin_shared_bias(Run& run, Ensemble& ensemble, AdaptiveBias& bias) {
    bias.begin_with(ensemble, bias_values(run, ensemble));
}

// --- the free energy under one bias for all walkers

namespace {

constexpr index kFirstLook = 16;  // part of all samples

}  // namespace

EstimateOptions estimate_options(const Run& run) {
    const EstimateConfig& config = run.config.estimate;
    EstimateOptions options;
    options.method = config.method;
    options.kt = run.model.kt();
    options.tolerance = config.tolerance;
    options.max_iterations = config.max_iterations;
    options.error_blocks = config.blocks;
    return options;
}

FreeEnergyResult estimate_under_bias(Run& run, const BiasedSamples& biased, const BiasWindows& windows) {
    EstimateOptions options = estimate_options(run);
    const std::vector<CvValue> centres = bin_centres(run.grid);
    const auto bins = std::ssize(centres);
    std::vector<float> xi(at(run.grid.dims * bins));
    for (index b = 0; b < bins; ++b)
        for (index k = 0; k < run.grid.dims; ++k) xi[at(k * bins + b)] = static_cast<float>(centres[at(b)][at(k)]);
    Buffer<float> places(run.device, std::ssize(xi)), energy(run.device, bins);
    copy_to_device(run.stream, places.span(), xi.data());
    run.bias.method->energy(run.stream, places.span(), bins, bins, energy.span());
    for (const float u : to_host(run.stream, Span<const float>(energy.span())))
        options.common_bias.push_back(static_cast<double>(u));
    FreeEnergyResult result =
        estimate_free_energy(run.stream, biased, windows, run.grid, options);
    Buffer<float> of_samples(run.device, biased.n);
    run.bias.method->energy(run.stream, biased.xi, biased.row, biased.n, of_samples.span());
    add_scaled(run.stream, static_cast<float>(1 / run.model.kt()), of_samples.span(), result.log_weight.span());
    return result;
}

FreeEnergyProfile first_profile(Run& run, index walkers, index samples) {
    BiasedSamples biased = run.samples.biased();
    biased.n = walkers * samples;
    biased.blocks = {{0, 0, 1, walkers, samples}};
    BiasWindows first = run.windows;
    first.center.resize(1);
    first.stiffness.resize(1);
    return estimate_under_bias(run, biased, first).profile;
}

TypicalError typical_error(const FreeEnergyProfile& profile) {
    TypicalError typical;
    double squares = 0;
    for (std::size_t b = 0; b < profile.free_energy.size(); ++b) {
        const double error = profile.std_error[b];
        if (!std::isfinite(profile.free_energy[b]) || !std::isfinite(error)) continue;
        squares += error * error;
        ++typical.bins;
    }
    typical.rms = typical.bins > 0 ? std::sqrt(squares / static_cast<double>(typical.bins)) : kNaN;
    return typical;
}

bool is_look(index samples, index all) {
    index look = (all + kFirstLook - 1) / kFirstLook;
    while (look < samples) look = std::max(look + 1, (5 * look + 3) / 4);
    return look == samples && samples < all;
}

}  // namespace microlift
