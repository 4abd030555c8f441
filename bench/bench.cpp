#include "bench/bench.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <optional>
#include <sstream>

#include "bench/compare.h"
#include "bench/harness.h"
#include "engine/config/names.h"
#include "engine/error.h"
#include "engine/files/files.h"
#include "engine/files/json.h"
#include "sampling/dynamics/mathematics.h"

namespace microlift {

namespace {

struct Benchmark {
    std::string name;
    std::function<BenchResult(Stream&, const BenchSettings&)> run;
    std::string size{};  // settings that the name stands for
    bool slow_on_cpu = false;
    bool by_name = false;  // runs only where it is named
};

template <BenchResult (*benchmark)(Stream&)>
BenchResult plain(Stream& stream, const BenchSettings&) {
    return benchmark(stream);
}

const std::vector<Benchmark>& benchmarks() {
    static const std::vector<Benchmark> all{
        {"muller_brown", plain<bench_muller_brown>},
        {"fast_slow", plain<bench_fast_slow>},
        {"formula", plain<bench_formula>},
        {"cgan_b256", bench_training, "batch=256,competitor=1"},
        {"cgan_b4096", bench_training, "batch=4096"},
        {"cgan_b65536", bench_training, "batch=65536", true},
        {"generate", bench_sampling, "states=262144"},
        {"mbar", bench_estimate, "samples=200000"},
        {"diffusion_map", plain<bench_diffusion_map>},
        {"molecule_vacuum", bench_molecule, "solvent=none"},
        {"molecule_obc2", bench_molecule, "solvent=obc2"},
        {"formula_schemes", plain<bench_formula_schemes>, "", false, true},
        {"molecule_sweep", bench_molecule_sweep, "", false, true},
        {"ensemble", bench_ensemble, "", false, true},
        {"ensemble_sweep", bench_ensemble_sweep, "", false, true},
        {"training", bench_training, "", false, true},
        {"sampling", bench_sampling, "", false, true},
        {"estimate", bench_estimate, "", false, true},
        {"passes", bench_passes, "", false, true},
    };
    return all;
}

struct Chosen {
    const Benchmark* benchmark;
    std::string name;
    BenchSettings settings;
    std::string size{};  // of what was typed, all that changes the work
};

std::string size_of(const std::string& settings) {
    std::string size;
    std::istringstream in(settings);
    for (std::string part; std::getline(in, part, ',');)
        if (!part.starts_with("seconds=") && !part.starts_with("repeats=") && !part.starts_with("save="))
            size += (size.empty() ? "" : ",") + part;
    return size;
}

std::vector<Chosen> chosen(const std::vector<std::string>& names, bool cpu) {
    std::vector<Chosen> out;
    std::vector<std::string> known;
    for (const Benchmark& each : benchmarks()) {
        known.push_back(each.name);
        if (names.empty() && !(each.slow_on_cpu && cpu) && !each.by_name)
            out.push_back({&each, each.name, BenchSettings(each.size)});
    }
    for (const std::string& full : names) {
        const auto colon = full.find(':');
        const std::string name = full.substr(0, colon);
        const auto found = std::find(known.begin(), known.end(), name);
        if (found == known.end()) {
            const std::string near = nearest_name(name, known);
            std::string list;
            for (const std::string& k : known) list += (list.empty() ? "" : ", ") + k;
            throw InputError("unknown benchmark '" + name + "'; " +
                             (near.empty() ? "" : "did you mean '" + near + "'? ") +
                             "known: " + list);
        }
        const Benchmark& each = benchmarks()[static_cast<std::size_t>(found - known.begin())];
        const std::string typed = colon == std::string::npos ? "" : full.substr(colon + 1);
        const bool both = !each.size.empty() && !typed.empty();
        out.push_back({&each, name, BenchSettings(each.size + (both ? "," : "") + typed), size_of(typed)});
    }
    return out;
}

// As the system names it; empty where it does not.
std::string processor_name() {
    std::ifstream in("/proc/cpuinfo");
    for (std::string line; std::getline(in, line);)
        if (const auto colon = line.find(": "); line.starts_with("model name") && colon != std::string::npos)
            return line.substr(colon + 2);
    return "";
}

std::string today() {
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    gmtime_r(&now, &utc);
    char text[sizeof "2026-11-30"];
    return {text, std::strftime(text, sizeof text, "%Y-%m-%d", &utc)};
}

Json as_json(const Chosen& each, const Device& device, const BenchResult& result) {
    const auto [low, high] = std::minmax_element(result.rates.begin(), result.rates.end());
    const double middle = median(result.rates);
    Json out;
    out["name"] = each.name;
    out["settings"] = each.size;
    out["version"] = MICROLIFT_VERSION;
    out["date"] = today();
    if (const std::string processor = processor_name(); !processor.empty()) out["processor"] = processor;
    out["device"] = device.description();
    out["threads"] = device.is_cpu() ? device.threads() : 0;
    out["precision"] = result.precision;
    out["math"] = mathematics_name(portable_trajectories());
    out[result.unit] = middle;
    if (result.ceiling > 0) out["share_of_ceiling"] = middle / result.ceiling;
    if (device.is_cpu()) out["cpu_share"] = take_processor_share(device.threads());
    if (result.clock_hz > 0) out["clock_hz"] = result.clock_hz;
    out["min"] = *low;
    out["median"] = middle;
    out["max"] = *high;
    out["repeats"] = result.rates.size();
    for (const auto& [key, value] : result.more) out[key] = value;
    out["checks"] = result.checks;
    return out;
}

void print_row(const std::string& name, const BenchResult& result) {
    const auto [low, high] = std::minmax_element(result.rates.begin(), result.rates.end());
    const double middle = median(result.rates);
    std::string unit = result.unit;
    unit.replace(unit.find("_per_second"), std::string::npos, "/s");
    std::printf("%-16s %10.3e %-10s %10.3e %10.3e %10.3e", name.c_str(), middle, unit.c_str(), *low,
                middle, *high);
    if (result.ceiling > 0)
        std::printf("  %5.1f %% at %.2f GHz", 100 * middle / result.ceiling, result.clock_hz / 1e9);
    std::printf("\n");
    for (const auto& [key, value] : result.more)
        if (key == "slowdown_with_competitor")
            std::printf("%-14s takes %.2f times as long while another thread keeps one processor busy\n",
                        "", value);
        else if (key == "ratio_to_builtin")
            std::printf("%-14s %.3f of the built-in system's rate\n", "", value);
        else if (key == "bytecode_ratio_to_builtin")
            std::printf("%-14s %.3f of it before the formula is compiled\n", "", value);
        else if (key.starts_with("nanoseconds_n"))
            std::printf("%-14s %.4f ns a trajectory-step with %s trajectories\n", "", value,
                        key.c_str() + 13);
        else if (key.ends_with("_share_of_ceiling"))
            std::printf("%-14s %.1f %% of the ceiling: %s\n", "", 100 * value,
                        key.substr(0, key.size() - std::string("_share_of_ceiling").size()).c_str());
        else if (key == "dearest_over_cheapest_from_1e4")
            std::printf("%-14s dearest over cheapest from 10000 on: %.3f\n", "", value);
    for (const std::string& check : result.checks)
        std::printf("%-14s checked: %s\n", "", check.c_str());
    std::fflush(stdout);
}

}  // namespace

void run_benchmarks(const BenchOptions& options) {
    // Files first, so that a wrong name shows before the work.
    if (std::isnan(options.fail_below)) throw InputError("--fail-below: nan is no share of a rate; give for example 0.9");
    std::optional<Json> old;
    if (!options.compare.empty()) old = read_figures(options.compare);
    if (!options.with.empty())
        return compare_figures(read_figures(options.with), *old, options.compare, options.fail_below);
    const Device device = Device::pick(options.threads > 0 && options.device == "auto" ? "cpu" : options.device,
                                       options.threads);
    set_portable_trajectories(portable_mathematics(options.math, device));
    const std::vector<Chosen> selected = chosen(options.names, device.is_cpu());
    std::optional<AtomicFile> file;
    if (!options.json_file.empty()) file.emplace(options.json_file);

    Stream stream(device);
    std::printf("%s\n%-14s %10s %-10s %10s %10s %10s  %s\n", device.description().c_str(),
                "benchmark", "rate", "unit", "min", "median", "max", "share of ceiling");
    Json all = Json::array();
    for (const Chosen& each : selected) {
        const BenchResult result = each.benchmark->run(stream, each.settings);
        each.settings.check_used(each.name);
        print_row(each.name, result);
        all.push_back(as_json(each, device, result));
    }
    if (file) {
        file->write(all.dump(2) + "\n");
        file->commit();
    }
    if (old) compare_figures(all, *old, options.compare, options.fail_below);
}

}  // namespace microlift
