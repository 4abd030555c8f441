#include "sampling/run/config/cost.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>

#include "sampling/work/steered_config.h"

namespace microlift {
namespace {

std::string gigabytes(double bytes) {
    char text[40];
    std::snprintf(text, sizeof text, "%.1f GB", bytes / 1e9);
    return text;
}

RatesCost cost_of_rates(const RunConfig& run) {
    if (!run.rates.enabled) return {};
    return rates_cost(run.rates, variable_count(run.system),
                      run.system.is_molecule() || run.integrator.scheme == "baoab");
}

}  // namespace

RunCost run_cost(const RunConfig& run) {
    const UmbrellaConfig& umbrella = run.umbrella;
    const int variables = variable_count(run.system);
    const auto values = static_cast<double>(variables + run.cv.count()) +
                        static_cast<double>(run.system.observe.size());
    RunCost cost;
    cost.trajectories = static_cast<double>(umbrella.trajectories());
    cost.samples = cost.trajectories * static_cast<double>(umbrella.samples_per_trajectory());
    cost.force_evaluations =
        cost.trajectories * static_cast<double>(umbrella.equilibrate + umbrella.steps);
    if (run.samples.given) {
        cost.trajectories = static_cast<double>(run.samples.given->trajectories());
        cost.samples = static_cast<double>(umbrella.given);
        cost.force_evaluations = 0;
    }
    if (run.bias.annealed())
        cost.force_evaluations += cost.trajectories * static_cast<double>(run.bias.rungs * run.bias.anneal);
    if (run.coupling.enabled) {
        const CouplingConfig& coupling = run.coupling;
        const double rounds = static_cast<double>(coupling.rounds);
        const double trajectories = static_cast<double>(coupling.windows * coupling.replicas);
        const double stored =
            std::max(1.0, static_cast<double>(coupling.steps / umbrella.stride));
        cost.trajectories += rounds * trajectories;
        cost.samples += rounds * trajectories * stored;
        cost.force_evaluations +=
            rounds * trajectories * static_cast<double>(coupling.equilibrate + coupling.steps);
    }
    // Every further temperature takes as many steps, and keeps states and velocities.
    const auto rungs = static_cast<double>(umbrella.molecule.temperatures.size());
    cost.force_evaluations *= 1 + rungs;
    // Samples are float; the estimator adds one double weight each; a trajectory also keeps its
    // state, its last noise or velocity, and its window.
    if (run.bias.along_path()) cost.samples = 0;
    if (run.bias.strings())
        cost.force_evaluations +=
            cost.trajectories * static_cast<double>(run.bias.iterations * (umbrella.equilibrate + run.bias.lag));
    const double stored = umbrella.histogram ? 0.0 : cost.samples;
    cost.memory_bytes = stored * (4.0 * values + 8.0) +
                        cost.trajectories * (8.0 * static_cast<double>(variables) + 16.0);
    cost.memory_bytes += rungs * cost.trajectories * 8.0 * static_cast<double>(variables);
    cost.disk_bytes = 2.0 * stored * (4.0 * values + 12.0);
    cost.memory_bytes += steered_bytes(run.bias, umbrella);
    const RatesCost rates = cost_of_rates(run);
    if (run.rates.enabled) cost.trajectories += trajectories_of(run.rates);
    cost.force_evaluations += rates.force_evaluations;
    cost.memory_bytes += rates.memory_bytes;
    if (umbrella.histogram)  // sums of a trajectory, and samples of 16 segments on their way
        cost.memory_bytes += cost.trajectories * (16.0 + 64.0) * values;
    return cost;
}

void check_memory(Checks& checks, const RunConfig& run, double available_bytes) {
    const auto check = [&](const char* key, const char* what, double bytes, const char* right) {
        if (bytes > available_bytes) {
            throw KeyError(key,
                           std::string(what) + " " + gigabytes(bytes) + " of memory, there are " +
                               gigabytes(available_bytes),
                           right);
        }
    };
    checks.with({"system.name", "system.variables", "cv.variables", "rates"}, [&] {
        check("rates.replicas", "the trajectories of [rates] take", cost_of_rates(run).memory_bytes,
              "give fewer replicas, repeats or levels");
    });
    checks.with({"system.name", "system.variables", "cv.variables", "umbrella", "coupling"}, [&] {
        check("umbrella.stride", "the samples take", run_cost(run).memory_bytes - cost_of_rates(run).memory_bytes,
              "give a larger 'umbrella.stride', or fewer windows, replicas or steps");
    });
    // Of later stages, the arrays of states that they hold for certain.
    const double dim = variable_count(run.system), cvs = run.cv.count();
    const auto states = [&](index places, index each) {
        return 4.0 * (2.0 * dim + cvs) * static_cast<double>(places) * static_cast<double>(each);
    };
    const LiftingConfig& lifting = run.lifting;
    const ClosureConfig& closure = run.closure;
    checks.with({"system.name", "system.variables", "cv.variables", "umbrella.windows",
                 "generator.enabled", "lifting.values", "lifting.states"}, [&] {
        if (!run.generator.enabled) return;
        const index places = cvs == 1 ? std::min(lifting.values, 2 * run.umbrella.windows[0])
                                      : lifting.values;
        check("lifting.states", "the lifted states take", states(places, lifting.states),
              "give fewer 'lifting.states' or 'lifting.values'");
        check("lifting.energy_states", "the lifted states whose energies are compared take",
              states(std::min(places, lifting.energies), lifting.energy_states),
              "give fewer 'lifting.energy_states' or 'lifting.energies'");
    });
    checks.with({"system.name", "system.variables", "cv.variables", "closure"}, [&] {
        if (!closure.enabled) return;
        if (closure.bursts) {
            check("closure.replicas", "the bursts take", states(closure.values, closure.replicas),
                  "give fewer 'closure.replicas' or 'closure.values'");
        }
        const index points =
            static_cast<index>(closure.committor_points.size()) / std::max(1, variable_count(run.system));
        check("closure.committor_runs", "the trajectories of the committors take",
              states(points, closure.committor_runs), "give fewer");
        if (!closure.passage_to.empty()) {
            check("closure.passages", "the first passages take", states(1, closure.passages),
                  "give fewer");
        }
    });
}

double free_disk_bytes(const std::string& dir) {
    std::error_code unknown;
    const std::filesystem::space_info space = std::filesystem::space(dir, unknown);
    return unknown ? std::numeric_limits<double>::infinity() : static_cast<double>(space.available);
}

double available_memory_bytes() {
    // MemAvailable counts what the page cache would give back; sysconf does not.
    std::ifstream in("/proc/meminfo");
    std::string name;
    double kilobytes = 0.0;
    while (in >> name >> kilobytes) {
        if (name == "MemAvailable:") {
            return kilobytes * 1024.0;
        }
        in.ignore(100, '\n');
    }
    return static_cast<double>(sysconf(_SC_PHYS_PAGES)) *
           static_cast<double>(sysconf(_SC_PAGE_SIZE));
}

}  // namespace microlift
