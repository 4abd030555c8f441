#include "sampling/run/molecules.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/stop.h"
#include "kernels/random/streams.h"
#include "engine/text.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/run/checks.h"

namespace microlift {

namespace {

constexpr index kPieces = 128;   // that the way is taken in
constexpr double kStill = 1e-3;  // of the temperature, while what a file left too close moves apart
constexpr double kStrong = 50;   // friction then, 1/ps
constexpr uint64 kStillSteps = 512;

// ξ of the ensemble's states, (variable, trajectory).
std::vector<float> values_of(Run& run, Ensemble& ensemble) {
    const index n = ensemble.size(), K = run.model.n_cvs();
    Buffer<float> values(run.device, K * (1 + run.model.dim()) * n);
    run.model.evaluate_cvs(run.stream, ensemble.x(), n, n, values.span(), n);
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

void steer_molecules(Run& run, Ensemble& ensemble, index replicas, uint64 stream) {
    const MoleculeSampling& u = run.config.umbrella.molecule;
    const auto describe = [&](index t) {
        return "on the way to window " + std::to_string(t / replicas) + ", replica " +
               std::to_string(t % replicas);
    };
    PathSetup setup = run.model.path_setup(run.config.integrator);
    const double beta = setup.beta;
    const std::vector<float> start = values_of(run, ensemble);
    const std::vector<float> aim = to_host(run.stream, Span<const float>(ensemble.center()));

    PathSetup still = setup;
    still.beta = beta / kStill;
    still.friction = kStrong;
    still.dt = 0.25 * setup.dt;
    std::unique_ptr<Ensemble> runs =
        biased_ensemble(run, ensemble, still, derived_seed(run.config.seed, 3000 + 2 * stream));
    take_state(run, ensemble, *runs, 0);
    copy_to_device(run.stream, runs->center(), start.data());
    runs->advance(kStillSteps);
    runs->check_finite(describe);

    const double hot = std::max(u.heat, 1 / (kGasConstant * beta));
    setup.beta = 1 / (kGasConstant * hot);
    std::unique_ptr<Ensemble> heated =
        biased_ensemble(run, ensemble, setup, derived_seed(run.config.seed, 3001 + 2 * stream));
    take_state(run, *runs, *heated, 0);
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

void check_temperature(Run& run, Ensemble& ensemble, Json& record) {
    constexpr double kNoticed = 0.01, kErrors = 5;
    const Molecule& molecule = run.model.molecule()->molecule;
    const std::vector<float> state = ensemble.save_state();
    const auto n = at(ensemble.size()), x = at(run.model.dim()) * n;
    double twice = 0;  // the kinetic energy
    for (std::size_t i = x; i < state.size(); ++i) {
        const double v = static_cast<double>(state[i]);
        twice += molecule.atoms[(i - x) / n / 3].mass * v * v;
    }
    const double freedom =
        static_cast<double>(3 * molecule.size() - static_cast<index>(molecule.rigid_bonds.size()));
    const double right = 1 / (kGasConstant * run.model.cv_beta()[0]);
    const double found = twice / (freedom * static_cast<double>(n) * kGasConstant);
    const double error = right * std::sqrt(2 / (freedom * static_cast<double>(n)));
    record["temperature"] = found;
    record["temperature_error"] = error;
    const Checking check(run, "temperature");
    const double off = found / right - 1;
    if (std::fabs(off) > kNoticed && std::fabs(found - right) > kErrors * error)
        run.warn("velocities have the temperature " + number(found, 5) + " K, the system has " +
                 number(right, 5) + " K: choose a smaller integrator.dt, or rigid bonds to hydrogens "
                 "(constraints = \"h_bonds\")");
}

}  // namespace microlift
