#include "sampling/closure/closure_config.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/config/section.h"

namespace microlift {

using Closure = ClosureConfig;
const Section<ClosureConfig> closure_section{"closure", {
    enabled(&Closure::enabled, "whether to close the reduced model"),
    key(&Closure::bursts, "bursts", true, "whether to close from short unbiased runs too"),
    key(&Closure::dt, "dt", 0.0, "time step of bursts and first passages; 0: the integrator's")
        .from(0).unit("time"),
    key(&Closure::values, "values", 49,
        "values of the collective variables at which bursts start").from(8).to(2000),
    key(&Closure::replicas, "replicas", 4096, "bursts at each value").from(16).to(1e7),
    key(&Closure::start, "start", "physics",
        "where bursts start: stored samples, generated or healed states, or states held at the value")
        .one_of({"physics", "generator", "healed", "constrained"}),
    key(&Closure::equilibrate, "equilibrate", 5000,
        "steps held at a value before a burst; start = \"constrained\" only").from(1).to(1e12),
    key(&Closure::burst_steps, "burst_steps", 0, "steps of a burst; 0: chosen from the diffusion")
        .from(0).to(1e12),
    optional(&Closure::burst_lags, "burst_lags", "[10, 20, 40]",
        "lags of the closure, in steps; chosen if left out").from(1).to(1e12),
    key(&Closure::tolerance, "tolerance", 0.1,
        "relative change of the slowest rate when the lag doubles that still counts as a plateau")
        .above(0).below(1),
    key(&Closure::relaxation, "relaxation", 1e9,
        "trajectory-steps spent on the full model's slowest rate by free trajectories; 0, and left out "
        "with a molecule: not measured").from(0).to(1e15),
    optional(&Closure::passage_from, "passage_from", "-1.0",
        "value of the collective variable, or of both, at which first passages start"),
    optional(&Closure::passage_to, "passage_to", "[0.0, 1.0]",
        "values of the collective variable that they are to reach; of two: places, one after the "
        "other"),
    optional(&Closure::passage_radius, "passage_radius", "[0.1, 0.1]",
        "two collective variables: how near to a place counts as there, one number or one for each "
        "of them (half axes of an ellipse)").above(0),
    optional(&Closure::passage_state, "passage_state", "[-0.5, 1.5]",
        "state that full-model passages start from; left out: states with the value passage_from"),
    key(&Closure::passages, "passages", 4096, "first passages simulated to each value")
        .from(16).to(1e8),
    key(&Closure::passage_steps, "passage_steps", 50000000,
        "steps after which the wait for a first passage ends").from(1).to(1e15),
    optional(&Closure::committor_a, "committor_a", "[-0.5, 1.5, 0.1]",
        "centre and radius of a ball, all variables: where committor 0 is"),
    optional(&Closure::committor_b, "committor_b", "[0.6, 0.0, 0.1]",
        "centre and radius of the ball where committor 1 is"),
    optional(&Closure::committor_points, "committor_points", "[0.0, 0.5]",
        "states at which the committor is simulated, one after the other"),
    key(&Closure::committor_runs, "committor_runs", 4096, "trajectories from each of them")
        .from(16).to(1e7),
}};

namespace {

void check_lags(const ClosureConfig& c) {
    for (std::size_t i = 0; i < c.burst_lags.size(); ++i) {
        if (i > 0 && c.burst_lags[i] <= c.burst_lags[i - 1]) {
            throw KeyError("closure.burst_lags", "key 'closure.burst_lags' does not increase",
                           "give each lag once, the shortest first");
        }
        if (c.burst_steps > 0 && c.burst_lags[i] > c.burst_steps) {
            throw KeyError("closure.burst_lags",
                           "key 'closure.burst_lags' has a lag of " +
                               std::to_string(c.burst_lags[i]) +
                               " steps, longer than the burst of 'closure.burst_steps' = " +
                               std::to_string(c.burst_steps),
                           "give lags within the burst, or a longer burst");
        }
    }
}

void check_passage_ends(const ClosureConfig& c) {
    if (c.passage_to.empty() != c.passage_from.empty()) {
        const std::string without =
            c.passage_to.empty() ? "closure.passage_to" : "closure.passage_from";
        const std::string given =
            c.passage_to.empty() ? "closure.passage_from" : "closure.passage_to";
        throw KeyError(given, "key '" + given + "' is given without '" + without + "'",
                       "give both, or neither");
    }
}

// Thresholds of one collective variable, places with a radius of two.
void check_passage_sets(int cvs, ClosureConfig& c) {
    const auto K = static_cast<std::size_t>(cvs);
    if (cvs == 1 && !c.passage_radius.empty()) {
        throw KeyError("closure.passage_radius",
                    "key 'closure.passage_radius' is given with one collective variable",
                    "leave it out: 'closure.passage_to' is reached where it is crossed");
    }
    if (c.passage_to.empty()) {
        if (!c.passage_radius.empty()) {
            throw KeyError("closure.passage_radius",
                        "key 'closure.passage_radius' is given without 'closure.passage_to'",
                        "give both, or neither");
        }
        return;
    }
    check_count("closure.passage_from", c.passage_from.size(), K, "collective variable");
    if (cvs == 1) {
        if (std::find(c.passage_to.begin(), c.passage_to.end(), c.passage_from[0]) !=
            c.passage_to.end()) {
            throw KeyError("closure.passage_to",
                           "key 'closure.passage_to' holds 'closure.passage_from' itself",
                           "give values that are still to be reached");
        }
        return;
    }
    if (c.passage_to.size() % K != 0) {
        throw KeyError("closure.passage_to",
                    "key 'closure.passage_to' has " + count_of(c.passage_to.size(), "number") +
                        ", not a multiple of " + std::to_string(K),
                    "give both collective variables of each place to reach");
    }
    if (c.passage_radius.empty()) {
        throw KeyError("closure.passage_to",
                    "key 'closure.passage_to' is given without 'closure.passage_radius'",
                    "say how near to each place counts as there");
    }
    if (c.passage_radius.size() == 1) {
        c.passage_radius.resize(K, c.passage_radius[0]);
    }
    check_count("closure.passage_radius", c.passage_radius.size(), K,
                "collective variable");
    for (std::size_t t = 0; t < c.passage_to.size(); t += K) {
        double distance = 0;
        for (std::size_t k = 0; k < K; ++k) {
            const double d = (c.passage_to[t + k] - c.passage_from[k]) / c.passage_radius[k];
            distance += d * d;
        }
        if (distance <= 4) {
            throw KeyError("closure.passage_radius",
                        "key 'closure.passage_radius' makes the sets about 'closure.passage_from' "
                        "and 'closure.passage_to' overlap",
                        "give a smaller one");
        }
    }
}

void check_committors(const ClosureConfig& c, std::size_t dim) {
    if (c.committor_points.empty()) {
        for (const auto& [path, set] : {std::pair{"closure.committor_a", &c.committor_a},
                                        std::pair{"closure.committor_b", &c.committor_b}})
            if (!set->empty())
                throw KeyError(path,
                               "key '" + std::string(path) +
                                   "' is given without 'closure.committor_points'",
                               "say at which states the committor is wanted, or leave it out");
        return;
    }
    for (const auto& [path, set] : {std::pair{"closure.committor_a", &c.committor_a},
                                    std::pair{"closure.committor_b", &c.committor_b}}) {
        if (set->size() != dim + 1 || !(set->back() > 0)) {
            throw KeyError("closure.committor_points",
                           "key 'closure.committor_points' needs '" + std::string(path) +
                               "' as a state and a radius, " + count_of(dim + 1, "number"),
                           "give the centre and then the radius of each ball");
        }
    }
    double distance = 0;
    for (std::size_t d = 0; d < dim; ++d)
        distance = std::hypot(distance, c.committor_a[d] - c.committor_b[d]);
    if (distance <= c.committor_a.back() + c.committor_b.back()) {
        throw KeyError("closure.committor_b",
                       "the balls of 'closure.committor_a' and 'closure.committor_b' touch or overlap: "
                       "their centres are " + toml_number(distance) + " apart, their radii " +
                           toml_number(c.committor_a.back()) + " and " +
                           toml_number(c.committor_b.back()),
                       "give smaller radii, or centres further apart");
    }
    if (c.committor_points.size() % dim != 0) {
        throw KeyError("closure.committor_points",
                       "key 'closure.committor_points' has " +
                           count_of(c.committor_points.size(), "number") + ", not a multiple of " +
                           std::to_string(dim),
                       "give all variables of each state");
    }
}

}  // namespace

ClosureConfig read_closure(Config& config, int cvs, int variables, bool molecule) {
    if (molecule && !config.given("closure.relaxation") && config.sound("closure.relaxation"))
        config.set("closure.relaxation", ConfigValue::of(0.0));
    ClosureConfig c = closure_section.read(config);
    if (!c.enabled) {
        return c;
    }
    const auto dim = static_cast<std::size_t>(variables);
    config.with({"closure.burst_lags", "closure.burst_steps"}, [&] { check_lags(c); });
    config.with({"closure.start", "generator.enabled"}, [&] {
        if ((c.start == "generator" || c.start == "healed") && !config.enabled("generator")) {
            throw KeyError("closure.start",
                           "key 'closure.start' is \"" + c.start + "\" but no generator is trained",
                           "add a [generator] table, or use \"physics\"");
        }
    });
    config.with({"closure.passage_from", "closure.passage_to"}, [&] { check_passage_ends(c); });
    config.with({"cv.variables", "closure.passage_from", "closure.passage_to",
                 "closure.passage_radius"}, [&] { check_passage_sets(cvs, c); });
    config.with({"system.name", "system.variables", "closure.passage_state"}, [&] {
        if (!c.passage_state.empty()) {
            check_count("closure.passage_state", c.passage_state.size(), dim, "variable");
        }
    });
    config.with({"system.name", "system.variables", "closure.committor_a", "closure.committor_b",
                 "closure.committor_points"}, [&] { check_committors(c, dim); });
    return c;
}

}  // namespace microlift
