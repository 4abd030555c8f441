#include "sampling/run/summary.h"

#include <algorithm>
#include <cmath>
#include <iostream>

#include "engine/text.h"

namespace microlift {

namespace {

Json part(const Json& tree, const char* name) { return tree.value(name, Json::object()); }

std::string figure(const Json& tree, const char* name, double times = 1) {
    return number(times * tree.value(name, 0.0));
}

void print_stages(const Json& stages, const Json& system) {
    if (stages.contains("sample"))
        std::cout << "  sampled    " << figure(stages["sample"], "steps") << " trajectory-steps at "
                  << figure(stages["sample"], "steps_per_second") << "/s\n";
    if (stages.contains("estimate")) {
        const Json& estimate = stages["estimate"];
        std::cout << "  estimate   " << estimate.value("method", "") << ", "
                  << (estimate.value("converged", false) ? "converged" : "not converged") << " in "
                  << estimate.value("iterations", 0) << " iterations\n";
        if (!system.contains("beta"))
            std::cout << "  energies   in the unit where " << system.value("energy_unit", "")
                      << "\n";
    }
    if (!stages.contains("train")) return;
    const Json& train = stages["train"];
    std::cout << "  generator  " << figure(train, "updates") << " updates, ";
    if (train.value("held_out", Json::array()).size() == 0)
        std::cout << "nothing held out to judge them\n";
    else if (train["best_w1"].is_null())
        std::cout << "of what does not vary: nothing to judge\n";
    else
        std::cout << "held-out W1/sigma " << figure(train, "best_w1") << " (sampling floor "
                  << figure(train, "w1_floor") << ")\n";
}

void print_lifting(const Json& lifting) {
    for (const char* source : {"generator_w1", "healed_w1"})
        if (lifting.contains(source))
            std::cout << "  lifting    " << source << "/sigma against "
                      << lifting.value("against", "") << ": median "
                      << figure(lifting[source], "median") << ", worst "
                      << figure(lifting[source], "worst") << "\n";
}

void print_proposals(const Json& proposals) {
    if (!proposals.contains("acceptance")) return;
    const Json &acceptance = proposals["acceptance"], effective = part(proposals, "effective");
    std::cout << "  proposals  Metropolis acceptance: median " << figure(acceptance, "median")
              << ", worst " << figure(acceptance, "worst") << "; effective samples: median "
              << figure(effective, "median", 100) << " %, worst "
              << figure(effective, "worst", 100) << " %\n";
}

void print_energies(const Json& energies) {
    for (const char* source : {"generator", "healed"}) {
        if (!energies.contains(source)) continue;
        const Json& worst = energies[source];
        std::cout << "  energies   " << source << " against physics: histogram within "
                  << figure(worst, "histogram", 100) << " % (sampling floor "
                  << figure(energies, "floor", 100) << " %)";
        if (worst.contains("correlation"))
            std::cout << ", correlation within " << figure(worst, "correlation", 100) << " %";
        std::cout << "\n";
    }
}

// The error to two digits, and the value as far as it says.
std::string with_error(double value, double error) {
    if (!(error > 0) || !std::isfinite(error) || !std::isfinite(value)) return number(value) + " +- " + number(error);
    const auto digits = 2 + static_cast<int>(std::floor(std::log10(std::max(std::fabs(value), error)))) -
                        static_cast<int>(std::floor(std::log10(error)));
    return number(value, std::clamp(digits, 2, 15)) + " +- " + number(error, 2);
}

void print_work(const Json& steered) {
    if (!steered.contains("difference")) return;
    const Json& bar = steered["difference"]["bar"];
    std::cout << "  work       free energy difference " << with_error(bar.value("value", 0.0), bar.value("std_error", 0.0))
              << " by BAR; the work of both ways overlaps by " << figure(steered, "overlap", 100) << " %\n";
}

void print_string(const Json& string) {
    for (const auto& row : string.value("highest", Json::array())) {
        std::cout << "  string     F = " << with_error(row.value("free_energy", 0.0), row.value("std_error", 0.0))
                  << " above its lowest point, at";
        for (const auto& xi : row["at"]) std::cout << " " << number(xi.get<double>(), 4);
        std::cout << "\n";
    }
}

void print_rates(const Json& rates) {
    if (!rates.contains("figures")) return;
    for (const auto& row : rates["figures"])
        std::cout << "  rates      " << row.value("quantity", "") << " "
                  << with_error(row.value("value", 0.0), row.value("std_error", 0.0)) << "\n";
    std::cout << "  rates      " << rates.value("method", "") << ": " << figure(rates, "force_evaluations")
              << " force evaluations; direct simulation would take " << figure(rates, "direct_force_evaluations")
              << " for such an error\n";
}

void print_learned(const Json& learned) {
    if (!learned.contains("eigenvalues")) return;
    std::cout << "  learned    " << learned["eigenvalues"].size() << " coordinates; the first";
    const char* separator = ": rank correlation ";
    for (const auto& [name, r] : learned["rank_correlation"][0].items()) {
        std::cout << separator << number(r.get<double>()) << " with " << name;
        separator = ", ";
    }
    std::cout << "\n";
}

}  // namespace

void print_summary(const Run& run) {
    const Json& metrics = run.record.metrics;
    const Json stages = part(metrics, "stages");
    double seconds = 0;
    for (const auto& [name, stage] : stages.items()) seconds += stage.value("seconds", 0.0);
    std::cout << "results in " << run.dir.string() << " (" << number(seconds) << " s of work)\n";
    if (const Json given = part(metrics, "given"); given.contains("samples"))
        std::cout << "  taken      " << figure(given, "samples") << " samples of "
                  << figure(given, "trajectories") << " trajectories made elsewhere\n";
    print_stages(stages, part(metrics, "system"));
    print_lifting(part(metrics, "lifting"));
    print_proposals(part(metrics, "proposals"));
    print_energies(part(metrics, "energies"));
    for (const auto& row : metrics.value("compare", Json::array()))
        std::cout << "  compared   " << row.value("kind", "") << ": W1/sigma median "
                  << figure(row, "median") << ", worst " << figure(row, "worst") << "\n";
    print_work(part(metrics, "steered"));
    print_string(part(metrics, "string"));
    print_rates(part(metrics, "rates"));
    print_learned(part(metrics, "learn"));
    for (const auto& w : metrics.value("warnings", Json::array()))
        std::cout << "  warning    " << w.get<std::string>() << "\n";
}

}  // namespace microlift
