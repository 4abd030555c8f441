#include "sampling/run/biased_runs.h"

#include <algorithm>

#include "engine/at.h"
#include "sampling/run/lifted.h"
#include "sampling/run/molecules.h"
#include "sampling/run/config/starts.h"

namespace microlift {

RoundPlan plan_of(const Run& run, index round) {
    const UmbrellaConfig& u = run.config.umbrella;
    const CouplingConfig& c = run.config.coupling;
    if (round == 0)
        return {round, u.window_count(), u.replicas, u.equilibrate, u.samples_per_trajectory(),
                u.exchange, 0};
    return {round, static_cast<index>(run.coupling.places.size()), c.replicas, c.equilibrate,
            c.steps / u.stride, c.exchange, (c.jump + u.stride - 1) / u.stride * u.stride};
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

void set_initial(Run& run, Ensemble& ensemble, const BiasWindows& windows, std::size_t first_window,
                 const RoundPlan& plan) {
    const index n = ensemble.size();
    if (plan.round > 0 && !run.model.observed()) {
        Lifter lifter = make_lifter(run);
        lifter.lift(ensemble.center(), n, derived_seed(run.config.seed, 2000),
                    static_cast<uint64>(plan.round) << 32, ensemble.x());
        calm(run.stream, run.model, run.config.integrator, ensemble.center(), n, ensemble.x());
        return;
    }
    const std::vector<double> states =
        given_states(run.config.umbrella, run.model, run.grid,
                     std::span(windows.center).subspan(first_window, at(plan.windows)));
    const index D = run.model.dim();
    std::vector<float> x(static_cast<std::size_t>(D * n));
    for (index t = 0; t < n; ++t)
        for (index d = 0; d < D; ++d)
            x[static_cast<std::size_t>(d * n + t)] =
                static_cast<float>(states[static_cast<std::size_t>(t / plan.replicas * D + d)]);
    copy_to_device(run.stream, ensemble.x(), x.data());
    if (run.model.molecule()) {
        if (run.config.umbrella.molecule.heat_steps > 0)
            steer_molecules(run, ensemble, plan.replicas, static_cast<uint64>(plan.round));
        return;
    }
    if (run.config.umbrella.initial_line)
        run.model.project(run.stream, ensemble.center(), n, n, ensemble.x(), n, kLineSteps);
}

void step_bias(Run& run, Ensemble& ensemble, BiasMethod& bias) {
    const index n = ensemble.size();
    const int rows = static_cast<int>(run.model.formulas().cv.outputs.size());
    if (run.bias_xi.size() != rows * n) run.bias_xi = Buffer<float>(run.device, rows * n);
    run.model.evaluate_cvs(run.stream, ensemble.x(), n, n, run.bias_xi.span(), n);
    bias.step(ensemble, run.bias_xi.span());
}

}  // namespace microlift
