#include "sampling/run/stages/bias/advise.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include <unistd.h>

#include "engine/at.h"
#include "engine/text.h"
#include "sampling/dynamics/mathematics.h"
#include "sampling/estimate/window_statistics.h"
#include "sampling/run/config/cost.h"
#include "sampling/run/biased_runs.h"
#include "sampling/run/places.h"
#include "sampling/run/stages.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

constexpr index kWalkers = 256, kSamples = 128, kBins1 = 60, kBins2 = 20;
constexpr double kBarrier = 30;        // kT, that the pilot's bias levels at most
constexpr double kPilotSteps = 2e6;    // of all walkers of a formula's system, and by so much fewer of a molecule's:
constexpr double kMoleculeSteps = 6e5;
constexpr index kHidden = 12;          // variables whose relaxation is measured
constexpr double kLow = 3;             // kT: a barrier that walkers cross by themselves
constexpr double kSlower = 3;          // times as long as ξ: a variable that ξ does not see

// The pilot: OPES for as many steps as some seconds hold, half of them to make its bias.
RunConfig pilot_of(const RunConfig& run) {
    RunConfig pilot = run;
    const auto cvs = at(run.cv.count());
    const double each = (run.molecule ? kMoleculeSteps : kPilotSteps) / static_cast<double>(kWalkers);
    UmbrellaConfig& u = pilot.umbrella;
    u.shared = true;
    u.windows.assign(cvs, cvs == 1 ? 32 : 12);
    u.stiffness.assign(cvs, 0.0);
    u.replicas = kWalkers;
    u.exchange = 0;
    u.histogram = false;
    u.stride = std::max<index>(1, static_cast<index>(0.5 * each) / kSamples);
    u.steps = u.stride * kSamples;
    u.molecule.temperatures.clear();
    u.molecule.heat_steps = 0;
    BiasConfig& b = pilot.bias;
    b = {};
    b.enabled = true;
    b.method = "opes";
    b.bins.assign(cvs, cvs == 1 ? kBins1 : kBins2);
    b.pace = std::max<index>(1, u.stride / 4);
    b.start = 8 * b.pace;
    b.barrier = kBarrier / (run.system.beta ? *run.system.beta : 1.0);
    b.full_samples = 200;
    b.sigma.assign(cvs, 0.0);
    b.stiffness.assign(cvs, 0.0);
    b.draw = 1;
    u.equilibrate = b.start + u.steps;
    // Where ξ is all that there is walkers begin all along it, and none has to find the other wells.
    if (const Model model(run); !run.molecule && model.linear_cvs() && model.dim() == model.n_cvs() &&
                                !run.config.given("umbrella.initial")) {
        u.initial_state.clear();
        u.initial_line = true;
    }
    pilot.estimate.enabled = true;
    pilot.estimate.method = "mbar";
    pilot.estimate.bins.assign(cvs, cvs == 1 ? kBins1 : kBins2);
    pilot.generator.enabled = pilot.coupling.enabled = pilot.closure.enabled = pilot.learn.enabled = false;
    return pilot;
}

// Steps in which one variable of the stored states, less its mean at the same ξ, forgets itself.
double relaxation(Run& run, const HostView<float>& value, const std::vector<std::size_t>& bin) {
    std::vector<double> sum(at(run.grid.size()), 0.0), count(sum.size(), 0.0);
    const std::size_t n = bin.size();
    for (std::size_t j = 0; j < n; ++j) {
        sum[bin[j]] += static_cast<double>(value[j]);
        count[bin[j]] += 1;
    }
    std::vector<float> rest(n);
    for (std::size_t j = 0; j < n; ++j)
        rest[j] = static_cast<float>(static_cast<double>(value[j]) - sum[bin[j]] / count[bin[j]]);
    Buffer<float> on(run.device, std::ssize(rest));
    copy_to_device(run.stream, on.span(), rest.data());
    BiasedSamples samples = run.samples.biased();
    samples.xi = on.span();
    samples.row = std::ssize(rest);
    samples.n_cvs = 1;
    FreeEnergyResult correlation;
    correlation.inefficiency.assign(1, 1.0);
    window_inefficiencies(run.stream, samples, correlation);
    return 0.5 * correlation.inefficiency[0] * static_cast<double>(run.config.umbrella.stride);
}

struct Findings {
    Barrier barrier;
    double kt = 1, error = 0, steps = 0;  // error of F; steps of all walkers
    double relaxation = 0;                // of ξ under the bias, steps
    double hidden = 0;                    // of the slowest variable that ξ does not see
    std::string hidden_name;
    index bins = 0, seen = 0;
    bool gradient = false, molecule = false;
    std::string unit;  // of energies
    int cvs = 1;
    index dim = 0;
};

Findings findings_of(Run& run) {
    Findings f;
    f.kt = run.model.kt();
    f.cvs = run.grid.dims;
    f.dim = run.model.dim();
    f.gradient = run.model.gradient();
    f.molecule = run.model.molecule() != nullptr;
    f.unit = f.molecule ? " kJ/mol" : " (in the unit where kT = " + number(f.kt, 3) + ")";
    const FreeEnergyProfile profile = first_profile(run, kWalkers, kSamples);
    const TypicalError typical = typical_error(profile);
    f.error = typical.rms;
    f.bins = run.grid.size();
    f.seen = typical.bins;
    f.barrier = highest_barrier(run.grid, profile.free_energy, std::max(0.5 * f.kt, 3 * f.error));
    const UmbrellaConfig& u = run.config.umbrella;
    f.steps = static_cast<double>(kWalkers) * static_cast<double>(u.equilibrate + u.steps);
    const Json& windows = run.record.metrics["windows"];
    f.relaxation = 0.5 * windows[0].value("inefficiency", 1.0) * static_cast<double>(u.stride);
    if (run.model.observed() || (run.free.empty() && !f.molecule)) return f;
    const StoredCvs xi(run);
    std::vector<std::size_t> bin;
    for (index j = 0; j < run.samples.n; ++j) {
        CvValue value{};
        for (int k = 0; k < run.grid.dims; ++k) value[at(k)] = xi(k, j);
        bin.push_back(bin_of(run.grid, value));
    }
    const Targets y = targets(run);
    const std::vector<std::string> names = target_names(run);
    for (const index v : spread_over(y.count, std::min(kHidden, y.count))) {
        const double steps = relaxation(run, host_column(run, y, v), bin);
        if (steps <= f.hidden) continue;
        f.hidden = steps;
        f.hidden_name = names[at(v)];
    }
    return f;
}

std::string method_of(const Findings& f, std::string& why) {
    const bool known = f.seen == f.bins;
    const std::string barrier =
        known ? " with barrier = " + number(std::ceil(f.barrier.from_lowest / f.kt + 3) * f.kt, 3) + f.unit : "";
    if (f.hidden > kSlower * f.relaxation) {
        why = f.hidden_name + " relaxes more slowly than the collective variables, which do not see it";
        return std::string(f.molecule ? "[umbrella] with temperatures" : "[umbrella] with exchange") +
               ", [generator] and [coupling]; or [bias] method = \"opes_explore\"" + barrier +
               (known ? " and [coupling]" : " with [coupling]");
    }
    if (!known) {
        why = "windows hold walkers where the pilot's did not come";
        return "[umbrella] over the same range; or [bias] with a range that leaves out what cannot be reached, and "
               "this advice again";
    }
    if (f.barrier.from_lowest < kLow * f.kt) {
        why = "walkers cross such barriers by themselves";
        return "[umbrella] with few, wide windows, or [bias] method = \"opes\"" + barrier;
    }
    if (!f.molecule && f.gradient) {
        why = "forces have formulas, and averages of forces settle soonest";
        return "[bias] method = \"abf\"; where parts of the range are not wanted, \"opes\"" + barrier;
    }
    why = "the height is known now, and nothing that the collective variables do not see is slow";
    return "[bias] method = \"opes\"" + barrier + (f.molecule ? "; \"eabf\" if all of the range is wanted" : "");
}

std::vector<std::string> in_words(const RunConfig& run, const Findings& f) {
    std::vector<std::string> lines;
    const auto kt = [&](double energy) { return number(energy / f.kt, 3) + " kT"; };
    lines.push_back("advice, from a pilot of " + number(f.steps, 2) + " steps under one bias:");
    lines.push_back("  " + std::to_string(f.cvs) + (f.cvs == 1 ? " collective variable of " : " collective variables of ") +
                    std::to_string(f.dim) + " variables; " + std::to_string(f.seen) + " of " + std::to_string(f.bins) +
                    " bins were reached, with a standard error of " + kt(f.error));
    if (f.seen < f.bins)
        lines.push_back("  " + std::to_string(f.bins - f.seen) + " of " + std::to_string(f.bins) +
                        " bins were not reached: what lies there is unknown, and basins and barriers are not counted; "
                        "leave out of the range what lies more than " + number(kBarrier, 2) + " kT up");
    else
        lines.push_back(f.barrier.wells < 2
                        ? "  one basin, no barrier of more than " + kt(std::max(0.5 * f.kt, 3 * f.error))
                        : "  " + std::to_string(f.barrier.wells) + " basins; the highest barrier is " +
                              kt(f.barrier.from_lowest) + " above the lowest, " + kt(f.barrier.from_well) +
                              " above the basin behind it");
    lines.push_back("  the collective variables forget where they were in " + number(f.relaxation, 3) + " steps" +
                    (f.hidden > 0 ? ", " + f.hidden_name + ", the slowest of the rest at the same value of them, in " +
                                        number(f.hidden, 3)
                                  : ""));
    std::string why;
    const std::string method = method_of(f, why);
    lines.push_back("  " + method + ": " + why);
    const double budget = run_cost(run).force_evaluations;
    lines.push_back("  this configuration takes " + number(budget, 3) + " force evaluations: by the pilot a standard error of " +
                    kt(f.error * std::sqrt(f.steps / budget)) + "; 0.1 kT takes some " +
                    number(f.steps * std::pow(f.error / (0.1 * f.kt), 2), 2));
    return lines;
}

// A folder of the pilot's own, gone at the end.
struct PilotFolder {
    fs::path path = fs::temp_directory_path() / ("microlift_pilot_" + std::to_string(::getpid()));
    PilotFolder() { fs::create_directories(path); }
    ~PilotFolder() {
        std::error_code ignored;
        fs::remove_all(path, ignored);
    }
};

}  // namespace

Barrier highest_barrier(const Grid& grid, const std::vector<double>& free_energy, double noise) {
    std::vector<index> order;
    for (index b = 0; b < grid.size(); ++b)
        if (std::isfinite(free_energy[at(b)])) order.push_back(b);
    std::ranges::stable_sort(order, {}, [&](index b) { return free_energy[at(b)]; });
    std::vector<index> parent(at(grid.size()), -1);  // towards the bottom of its well
    const auto bottom = [&](index b) {
        while (parent[at(b)] != b) b = parent[at(b)] = parent[at(parent[at(b)])];
        return b;
    };
    Barrier found;
    found.wells = order.empty() ? 0 : 1;
    for (const index b : order) {
        parent[at(b)] = b;
        for (int k = 0; k < grid.dims; ++k) {
            const index stride = k == 0 && grid.dims == 2 ? grid.bins[1] : 1, bins = grid.bins[at(k)], i = b / stride % bins;
            for (const index way : {index{-1}, index{1}}) {
                index other = i + way;
                if (grid.round[at(k)]) other = (other + bins) % bins;
                if (other < 0 || other >= bins || parent[at(b + (other - i) * stride)] < 0) continue;
                index a = bottom(b), c = bottom(b + (other - i) * stride);
                if (a == c) continue;
                if (free_energy[at(a)] < free_energy[at(c)]) std::swap(a, c);  // a's bottom is the higher
                const double rise = free_energy[at(b)] - free_energy[at(a)];
                parent[at(a)] = c;
                if (rise <= noise) continue;
                ++found.wells;
                if (rise > found.from_well) {
                    found.from_well = rise;
                    found.from_lowest = free_energy[at(b)] - free_energy[at(order.front())];
                }
            }
        }
    }
    return found;
}

void check_advisable(RunConfig& run) {
    const auto refuse = [&](const char* key, const std::string& wrong, const std::string& right) {
        run.config.keep(KeyError(key, wrong, right));
        run.config.throw_faults();
    };
    if (run.samples.enabled)
        refuse("samples", "--advise runs a pilot, and the samples of [samples] are made already",
               run.system.states_alone ? "leave --advise out: a pilot needs a [system] that it can run"
                                       : "leave --advise out, or put [umbrella] in place of [samples]");
    if (!run.sampled)
        refuse("rates", "--advise runs a pilot under a bias, and [rates] alone has no range of the collective variables",
               "leave --advise out, or add [umbrella] or [bias]");
    if (run.bias.along_path())
        refuse("bias.method",
               "--advise runs a pilot over a range of the collective variables, and \"" + run.bias.method +
                   "\" has a path in place of one",
               "leave --advise out, or give [umbrella] or another method with 'from' and 'to'");
}

std::vector<std::string> advice(const RunConfig& run, const RunOptions& options) {
    RunConfig pilot = pilot_of(run);
    const PilotFolder folder;
    RunOptions own = options;
    own.out_dir = folder.path.string();
    own.resume = false;
    Progress quiet(true);
    Device device = Device::pick(own.device, own.threads);
    pilot.integrator.portable_math = portable_mathematics(own.math, device);
    device.compute_portably(pilot.integrator.portable_math);
    Run made(pilot, own, device, quiet);
    sample(made);
    estimate(made);
    return in_words(run, findings_of(made));
}

}  // namespace microlift
