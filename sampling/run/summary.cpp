#include "sampling/run/summary.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "engine/at.h"
#include "engine/text.h"
#include "sampling/numerics/basins.h"

namespace microlift {

namespace {

Json part(const Json& tree, const char* name) { return tree.value(name, Json::object()); }

std::string figure(const Json& tree, const char* name, double times = 1) {
    return number(times * tree.value(name, 0.0));
}

void print_stages(std::ostream& out, const Json& stages, const Json& system) {
    if (stages.contains("sample"))
        out << "  sampled    " << figure(stages["sample"], "steps") << " trajectory-steps at "
                  << figure(stages["sample"], "steps_per_second") << "/s\n";
    if (stages.contains("estimate")) {
        const Json& estimate = stages["estimate"];
        out << "  estimate   " << estimate.value("method", "") << ", "
                  << (estimate.value("converged", false) ? "converged" : "not converged") << " in "
                  << estimate.value("iterations", 0) << " iterations\n";
        if (!system.contains("beta"))
            out << "  energies   in the unit where " << system.value("energy_unit", "")
                      << "\n";
    }
    if (!stages.contains("train")) return;
    const Json& train = stages["train"];
    out << "  generator  " << figure(train, "updates") << " updates, ";
    if (train.value("held_out", Json::array()).size() == 0)
        out << "nothing held out to judge them\n";
    else if (train["best_w1"].is_null())
        out << "of what does not vary: nothing to judge\n";
    else
        out << "held-out W1/sigma " << figure(train, "best_w1") << " (sampling floor "
                  << figure(train, "w1_floor") << ")\n";
}

void print_lifting(std::ostream& out, const Json& lifting) {
    for (const char* source : {"generator_w1", "healed_w1"})
        if (lifting.contains(source))
            out << "  lifting    " << source << "/sigma against "
                      << lifting.value("against", "") << ": median "
                      << figure(lifting[source], "median") << ", worst "
                      << figure(lifting[source], "worst") << "\n";
}

void print_proposals(std::ostream& out, const Json& proposals) {
    if (!proposals.contains("acceptance")) return;
    const Json &acceptance = proposals["acceptance"], effective = part(proposals, "effective");
    out << "  proposals  Metropolis acceptance: median " << figure(acceptance, "median")
              << ", worst " << figure(acceptance, "worst") << "; effective samples: median "
              << figure(effective, "median", 100) << " %, worst "
              << figure(effective, "worst", 100) << " %\n";
}

void print_energies(std::ostream& out, const Json& energies) {
    for (const char* source : {"generator", "healed"}) {
        if (!energies.contains(source)) continue;
        const Json& worst = energies[source];
        out << "  energies   " << source << " against physics: histogram within "
                  << figure(worst, "histogram", 100) << " % (sampling floor "
                  << figure(energies, "floor", 100) << " %)";
        if (worst.contains("correlation"))
            out << ", correlation within " << figure(worst, "correlation", 100) << " %";
        out << "\n";
    }
}

// The error to two digits, and the value as far as it says.
std::string with_error(double value, double error) {
    if (!(error > 0) || !std::isfinite(error) || !std::isfinite(value)) return number(value) + " +- " + number(error);
    const auto digits = 2 + static_cast<int>(std::floor(std::log10(std::max(std::fabs(value), error)))) -
                        static_cast<int>(std::floor(std::log10(error)));
    return number(value, std::clamp(digits, 2, 15)) + " +- " + number(error, 2);
}

// "0.62", "-1.2, 2.5" of the bin's centre.
std::string place(const Run& run, index bin) {
    std::string text = run.grid.dims > 1 ? "(" : "";
    for (int k = 0; k < run.grid.dims; ++k) text += (k > 0 ? ", " : "") + number(run.grid.centre(k, bin), 3);
    return text + (run.grid.dims > 1 ? ")" : "");
}

void print_work(std::ostream& out, const Json& steered) {
    if (!steered.contains("difference")) return;
    const Json& bar = steered["difference"]["bar"];
    out << "  work       free energy difference " << with_error(bar.value("value", 0.0), bar.value("std_error", 0.0))
              << " by BAR; the work of both ways overlaps by " << figure(steered, "overlap", 100) << " %\n";
}

void print_string(std::ostream& out, const Json& string) {
    for (const auto& row : string.value("highest", Json::array())) {
        out << "  string     F = " << with_error(row.value("free_energy", 0.0), row.value("std_error", 0.0))
                  << " above its lowest point, at";
        for (const auto& xi : row["at"]) out << " " << number(xi.get<double>(), 4);
        out << "\n";
    }
}

void print_rates(std::ostream& out, const Json& rates) {
    if (!rates.contains("figures")) return;
    for (const auto& row : rates["figures"])
        out << "  rates      " << row.value("quantity", "") << " "
                  << with_error(row.value("value", 0.0), row.value("std_error", 0.0)) << "\n";
    out << "  rates      " << rates.value("method", "") << ": " << figure(rates, "force_evaluations")
              << " force evaluations; direct simulation would take " << figure(rates, "direct_force_evaluations")
              << " for such an error\n";
}

void print_learned(std::ostream& out, const Json& learned) {
    if (!learned.contains("eigenvalues")) return;
    out << "  learned    " << learned["eigenvalues"].size() << " coordinates; the first";
    const char* separator = ": rank correlation ";
    for (const auto& [name, r] : learned["rank_correlation"][0].items()) {
        out << separator << number(r.get<double>()) << " with " << name;
        separator = ", ";
    }
    out << "\n";
}

}  // namespace

std::string free_energy_in_words(const Run& run) {
    constexpr std::size_t kShown = 4;
    const std::vector<double>&f = run.free_energy.profile, &error = run.free_energy.error;
    if (std::ssize(f) != run.grid.size()) return "";
    const auto value = [&](index bin) { return with_error(f[at(bin)], error[at(bin)]); };
    std::string names = run.model.cv_names()[0];
    if (run.grid.dims > 1) names = "(" + names + ", " + run.model.cv_names()[1] + ")";
    std::string text;
    const std::vector<Basin> found = basins(run.grid, f, error, run.model.kt());
    for (std::size_t k = 0; k < std::min(found.size(), kShown); ++k) {
        const Basin& basin = found[k];
        if (basin.saddle < 0)
            text += "lowest at " + names + " = " + place(run, basin.minimum);
        else
            text += "; " + value(basin.minimum) + " at " + place(run, basin.minimum) + ", behind " +
                    value(basin.saddle) + " at " + place(run, basin.saddle);
    }
    if (found.size() > kShown) text += "; and " + std::to_string(found.size() - kShown) + " basins more";
    return text;
}

std::string summary(const Run& run) {
    std::ostringstream out;
    const Json& metrics = run.record.metrics;
    const Json stages = part(metrics, "stages");
    double seconds = 0;
    for (const auto& [name, stage] : stages.items()) seconds += stage.value("seconds", 0.0);
    out << "results in " << run.dir.string() << " (" << number(seconds) << " s of work)\n";
    if (const Json given = part(metrics, "given"); given.contains("samples"))
        out << "  taken      " << figure(given, "samples") << " samples of "
                  << figure(given, "trajectories") << " trajectories made elsewhere\n";
    print_stages(out, stages, part(metrics, "system"));
    if (const std::string words = free_energy_in_words(run); !words.empty()) out << "  F          " << words << "\n";
    print_lifting(out, part(metrics, "lifting"));
    print_proposals(out, part(metrics, "proposals"));
    print_energies(out, part(metrics, "energies"));
    for (const auto& row : metrics.value("compare", Json::array()))
        out << "  compared   " << row.value("kind", "") << ": W1/sigma median "
                  << figure(row, "median") << ", worst " << figure(row, "worst") << "\n";
    print_work(out, part(metrics, "steered"));
    print_string(out, part(metrics, "string"));
    print_rates(out, part(metrics, "rates"));
    print_learned(out, part(metrics, "learn"));
    for (const auto& w : metrics.value("warnings", Json::array()))
        out << "  warning    " << w.get<std::string>() << "\n";
    return out.str();
}

}  // namespace microlift
