// Trajectory-steps a second.
#include <algorithm>
#include <cmath>
#include <memory>

#include "bench/harness.h"
#include "engine/device/cpu.h"
#include "engine/error.h"
#include "kernels/random/streams.h"
#include "sampling/model/model.h"
#include "sampling/dynamics/systems.h"
#include "sampling/run/config/run_config.h"

#if defined(MICROLIFT_HAVE_CUDA)
#include <cuda_runtime_api.h>
#endif

namespace microlift {

namespace {

// Enough to fill the machine: a CUDA device holds some 300 thousand at a time.
index trajectories_on(const Device& device) { return device.is_cpu() ? 8192 : index{1} << 22; }
constexpr index kStepGroup = 256;

// Müller–Brown: Philox-10, Box–Muller, force and update of 16 trajectories take about 95 cycles of
// one core with AVX-512.
constexpr double kCyclesPerPack = 95;
// The same on CUDA: the fewest instructions a step; a scheduler issues one a clock for 32 lanes.
[[maybe_unused]] constexpr double kInstructionsPerStep = 78;

// A system of the configuration, with every trajectory held at `center` by one bias.
class HeldEnsemble {
public:
    HeldEnsemble(Stream& stream, const std::string& system, const std::string& cv,
                 const std::string& integrator, double center, double stiffness, index trajectories = 0,
                 BiasKind bias = BiasKind::harmonic)
        : stream_(stream), center_(center), stiffness_(stiffness),
          trajectories_(trajectories > 0 ? trajectories : trajectories_on(stream.device())),
          run_(parse_run_config("[system]\n" + system + "\n[cv]\nvariables = [\"" + cv +
                                    "\"]\n[integrator]\n" + integrator +
                                    "\n[umbrella]\nfrom = -1.0\nto = 1.0\nwindows = 2\n"
                                    "stiffness = 1.0\nreplicas = 1\nsteps = 1000\nstride = 100\n",
                                "benchmark")),
          model_(with_chosen_math(run_)),
          ensemble_(stream, model_.path_kernel(setup(bias)), trajectories_, kSeed, kStreamNoise) {
        fill(ensemble_.center(), center);
        fill(ensemble_.stiffness(), stiffness);
    }
    // Every trajectory starts at (x, y).
    void start(double x, double y) {
        fill(ensemble_.x().subspan(0, trajectories_), x);
        fill(ensemble_.x().subspan(trajectories_, trajectories_), y);
    }
    void advance(index steps) { ensemble_.advance(static_cast<uint64>(steps)); }
    double rate(index steps) {
        const double time = seconds(stream_, [&] { advance(steps); });
        return static_cast<double>(trajectories_ * steps) / time;
    }
    // The present states, (variable, trajectory).
    std::vector<float> states() {
        ensemble_.check_finite([](index) { return std::string("benchmark"); });
        return ensemble_.save_state();
    }
    const Model& model() const { return model_; }
    double center() const { return center_; }
    double stiffness() const { return stiffness_; }
    index trajectories() const { return trajectories_; }

private:
    static const RunConfig& with_chosen_math(RunConfig& run) {
        run.integrator.portable_math = portable_trajectories();
        return run;
    }
    PathSetup setup(BiasKind bias) const {
        PathSetup setup = model_.path_setup(run_.integrator);
        setup.bias = bias;
        return setup;
    }
    void fill(Span<float> span, double value) {
        const std::vector<float> host(static_cast<std::size_t>(span.size),
                                      static_cast<float>(value));
        copy_to_device(stream_, span, host.data());
    }
    Stream& stream_;
    double center_, stiffness_;
    index trajectories_;
    RunConfig run_;
    Model model_;
    Ensemble ensemble_;
};

// At x = −0.5, where y relaxes within tens of steps.
HeldEnsemble held_muller_brown(Stream& stream, const std::string& system, index trajectories = 0,
                               const char* compile_after = "-1") {
    HeldEnsemble held(stream, "beta = 0.06666666666666667\n" + system, "x",
                      std::string("dt = 1e-4\ncompile_after = ") + compile_after, -0.5, 1500,
                      trajectories);
    held.start(-0.5, 1.5);
    return held;
}

std::string muller_brown_formula() {
    return "variables = [\"x\", \"y\"]\npotential = \"" + find_system("muller_brown").potential +
           "\"";
}

// The same by its drift, with a noise along y that depends on y.
std::string driven_muller_brown() {
    struct Term {
        const char *a, *by_x, *by_y, *power;
    };
    constexpr Term terms[] = {
        {"-200", "-2*(x - 1)", "-20*y", "-(x - 1)^2 - 10*y^2"},
        {"-100", "-2*x", "-20*(y - 0.5)", "-x^2 - 10*(y - 0.5)^2"},
        {"-170", "(11*(y - 1.5) - 13*(x + 0.5))", "(11*(x + 0.5) - 13*(y - 1.5))",
         "-6.5*(x + 0.5)^2 + 11*(x + 0.5)*(y - 1.5) - 6.5*(y - 1.5)^2"},
        {"15", "(1.4*(x + 1) + 0.6*(y - 1))", "(0.6*(x + 1) + 1.4*(y - 1))",
         "0.7*(x + 1)^2 + 0.6*(x + 1)*(y - 1) + 0.7*(y - 1)^2"}};
    std::string drift_x = "0", drift_y = "0";
    for (const Term& t : terms) {
        const std::string value = std::string(" - (") + t.a + ")*exp(" + t.power + ")*(";
        drift_x += value + t.by_x + ")";
        drift_y += value + t.by_y + ")";
    }
    return "variables = [\"x\", \"y\"]\ndrift = [\"" + drift_x + "\", \"" + drift_y +
           "\"]\ndiffusion = [\"sqrt(30)\", \"sqrt(30)*(1 + 0.1*tanh(y))\"]";
}

// Against ∫ of the exact p(y | s) under the window's own density of s.
void check_muller_brown(HeldEnsemble& held, BenchResult& result) {
    const std::optional<ExactModel> exact = held.model().exact();
    if (!exact) throw NumericError("benchmark: no exact answer for the Mueller-Brown potential");
    const double beta = 1 / held.model().kt(), k = held.stiffness(), c = held.center();
    const double reach = 9 / std::sqrt(beta * k);
    constexpr int kNodes = 241;
    double z = 0, x1 = 0, x2 = 0, y1 = 0, y2 = 0, top = 0;
    for (int i = 0; i < kNodes; ++i) {
        const double s = c + reach * (2.0 * i / (kNodes - 1) - 1);
        const ExactConditional at = exact->at(s);
        const double log_weight = at.log_z - 0.5 * beta * k * (s - c) * (s - c);
        if (i == 0) top = log_weight;
        const double w = std::exp(log_weight - top);
        z += w;
        x1 += w * s;
        x2 += w * s * s;
        y1 += w * at.mean;
        y2 += w * (at.variance + at.mean * at.mean);
    }
    x1 /= z;
    y1 /= z;
    const std::vector<float> states = held.states();
    result.check_moments("x", states.data(), held.trajectories(), x1, x2 / z - x1 * x1);
    result.check_moments("y", states.data() + held.trajectories(), held.trajectories(), y1, y2 / z - y1 * y1);
}

void set_ceiling(Stream& stream, BenchResult& result) {
    if (!stream.device().is_cpu()) {
#if defined(MICROLIFT_HAVE_CUDA)
        int processors = 0, kilohertz = 0;
        const int device = stream.device().ordinal();
        CUDA_CHECK(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
        CUDA_CHECK(cudaDeviceGetAttribute(&kilohertz, cudaDevAttrClockRate, device));
        result.clock_hz = 1e3 * kilohertz;  // the highest, as the device states it
        result.ceiling = processors * 4 * 32 * result.clock_hz / kInstructionsPerStep;
#endif
        return;
    }
    result.clock_hz = measure_clock();
    if (cpu_lanes() == kPack)
        result.ceiling = stream.device().threads() * result.clock_hz / kCyclesPerPack * kPack;
}

}  // namespace

BenchResult bench_muller_brown(Stream& stream) {
    HeldEnsemble held = held_muller_brown(stream, "name = \"muller_brown\"");
    BenchResult result;
    result.unit = "steps_per_second";
    set_ceiling(stream, result);
    const index steps =
        units_per_repeat(stream, kStepGroup, [&](index n) { held.advance(n); });
    for (int r = 0; r < kRepeats; ++r) result.rates.push_back(held.rate(steps));
    check_muller_brown(held, result);
    result.more = {{"trajectories", static_cast<double>(trajectories_on(stream.device()))}, {"steps", static_cast<double>(steps)}};
    return result;
}

// The cost of a trajectory-step for 1e2 … 1e7 trajectories: flat once the machine is full.
BenchResult bench_ensemble_sweep(Stream& stream, const BenchSettings& settings) {
    const index most = settings.count("n", 10000000);
    const Repeats repeats(settings);
    BenchResult result;
    result.unit = "steps_per_second";
    set_ceiling(stream, result);
    double cheapest = 0, dearest = 0;
    for (index n = 100; n <= most; n *= 10) {
        HeldEnsemble held = held_muller_brown(stream, "name = \"muller_brown\"", n);
        const index multiple = std::max<index>(16, 1000000 / n / 16 * 16);
        const index steps = units_per_repeat(
            stream, multiple, [&](index k) { held.advance(k); }, repeats.seconds);
        std::vector<double> rates;
        for (int r = 0; r < repeats.count; ++r) rates.push_back(held.rate(steps));
        held.states();  // finite
        const double rate = median(rates), cost = 1e9 / rate;
        result.rates.push_back(rate);
        result.more.emplace_back("nanoseconds_n" + std::to_string(n), cost);
        if (n < 10000) continue;
        cheapest = cheapest == 0 ? cost : std::min(cheapest, cost);
        dearest = std::max(dearest, cost);
    }
    if (cheapest > 0) result.more.emplace_back("dearest_over_cheapest_from_1e4", dearest / cheapest);
    HeldEnsemble held = held_muller_brown(stream, "name = \"muller_brown\"");
    held.advance(16 * kStepGroup);
    check_muller_brown(held, result);
    return result;
}

BenchResult bench_formula(Stream& stream) {
    HeldEnsemble builtin = held_muller_brown(stream, "name = \"muller_brown\"");
    HeldEnsemble formula = held_muller_brown(stream, muller_brown_formula(), 0, "0");
    HeldEnsemble bytecode = held_muller_brown(stream, muller_brown_formula());
    BenchResult result;
    result.unit = "steps_per_second";
    set_ceiling(stream, result);
    const index steps =
        units_per_repeat(stream, kStepGroup, [&](index n) { formula.advance(n); });
    builtin.advance(kStepGroup);
    bytecode.advance(kStepGroup);
    std::vector<double> builtin_rates, ratios, bytecode_ratios;
    for (int r = 0; r < kRepeats; ++r) {  // in turn, so that all meet the same neighbours
        builtin_rates.push_back(builtin.rate(steps));
        result.rates.push_back(formula.rate(steps));
        ratios.push_back(result.rates.back() / builtin_rates.back());
        bytecode_ratios.push_back(bytecode.rate(steps) / builtin_rates.back());
    }
    check_muller_brown(builtin, result);
    check_muller_brown(formula, result);
    check_muller_brown(bytecode, result);
    result.more = {{"trajectories", static_cast<double>(trajectories_on(stream.device()))},
                   {"steps", static_cast<double>(steps)},
                   {"builtin_steps_per_second", median(builtin_rates)},
                   {"ratio_to_builtin", median(ratios)},
                   {"bytecode_ratio_to_builtin", median(bytecode_ratios)}};
    return result;
}

// Of every scheme, of a curved variable, of held ones: a step compiled and as bytecode, over one of the built-in
// system by leimkuhler_matthews under an umbrella.
BenchResult bench_formula_schemes(Stream& stream) {
    struct Case {
        const char *name, *scheme;
        bool curved = false;
        BiasKind bias = BiasKind::harmonic;
    };
    constexpr Case cases[] = {{"euler_maruyama", "euler_maruyama"},
                              {"leimkuhler_matthews", "leimkuhler_matthews"},
                              {"heun", "heun"},
                              {"milstein", "milstein"},
                              {"mala", "mala"},
                              {"baoab", "baoab"},
                              {"curved", "leimkuhler_matthews", true},
                              {"held", "leimkuhler_matthews", false, BiasKind::level_set},
                              {"held_curved", "leimkuhler_matthews", true, BiasKind::level_set}};
    HeldEnsemble builtin = held_muller_brown(stream, "name = \"muller_brown\"");
    BenchResult result;
    result.unit = "steps_per_second";
    set_ceiling(stream, result);
    const index steps =
        units_per_repeat(stream, kStepGroup, [&](index n) { builtin.advance(n); });
    for (const Case& each : cases) {
        const std::string name = each.name;
        const std::string system = name == "milstein" ? driven_muller_brown()
                                                      : "beta = 0.06666666666666667\n" + muller_brown_formula();
        const auto made = [&](const char* compile_after) {
            auto held = std::make_unique<HeldEnsemble>(
                stream, system, each.curved ? "sqrt(x^2 + y^2 + 0.1)" : "x",
                std::string("dt = 1e-4\nscheme = \"") + each.scheme + "\"\ncompile_after = " + compile_after,
                each.curved ? 1.6 : -0.5, 1500, 0, each.bias);
            held->start(-0.5, 1.5);
            held->advance(kStepGroup);
            return held;
        };
        const auto compiled = made("0"), bytecode = made("-1");
        std::vector<double> ratios, bytecode_ratios;
        for (int r = 0; r < kRepeats; ++r) {  // in turn, so that all meet the same neighbours
            const double rate = builtin.rate(steps);
            if (name == "leimkuhler_matthews") result.rates.push_back(rate);
            ratios.push_back(compiled->rate(steps / 2) / rate);
            bytecode_ratios.push_back(bytecode->rate(steps / 8) / rate);
        }
        compiled->states(), bytecode->states();  // finite
        result.more.emplace_back(name + "_ratio_to_builtin", median(ratios));
        result.more.emplace_back(name + "_bytecode_ratio_to_builtin", median(bytecode_ratios));
    }
    return result;
}

// x1 ~ N(c + a1/κ, a2²/2κ) and x2 ~ N(1, a4²/2a3), both exact for Leimkuhler–Matthews.
BenchResult bench_fast_slow(Stream& stream) {
    constexpr double a1 = 1e-3, a2 = 1e-3, stiffness = 0.05;
    HeldEnsemble held(stream, "name = \"fast_slow\"", "x1", "dt = 0.05", 0, stiffness);
    held.start(a1 / stiffness, 1);
    BenchResult result;
    result.unit = "steps_per_second";
    if (stream.device().is_cpu()) result.clock_hz = measure_clock();
    held.advance(8192);  // 20 relaxation times of x1, 40 of x2
    const index steps =
        units_per_repeat(stream, kStepGroup, [&](index n) { held.advance(n); });
    for (int r = 0; r < kRepeats; ++r) result.rates.push_back(held.rate(steps));
    const std::vector<float> states = held.states();
    result.check_moments("x1", states.data(), held.trajectories(), a1 / stiffness,
                         a2 * a2 / (2 * stiffness));
    result.check_moments("x2", states.data() + held.trajectories(), held.trajectories(), 1, 0.05);
    result.more = {{"trajectories", static_cast<double>(trajectories_on(stream.device()))}, {"steps", static_cast<double>(steps)}};
    return result;
}

}  // namespace microlift
