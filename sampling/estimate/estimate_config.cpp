#include "sampling/estimate/estimate_config.h"

#include <algorithm>

#include "engine/config/section.h"
#include "sampling/bias/umbrella_config.h"
#include "sampling/estimate/estimators.h"

namespace microlift {
namespace {

// Of the estimators that fit, in the order of their table.
template <class Fits>
std::vector<std::string> names_of(const Fits& fits) {
    std::vector<std::string> names;
    for (const Estimator& estimator : estimators())
        if (fits(estimator)) names.push_back(estimator.name);
    return names;
}

std::string quoted(std::vector<std::string> names) {
    for (std::string& name : names) name = toml_string(name);
    return join(names, " or ");
}

}  // namespace

using Estimate = EstimateConfig;
const Section<EstimateConfig> estimate_section{"estimate", {
    enabled(&Estimate::enabled, "whether to estimate the free energy"),
    key(&Estimate::method, "method", "mbar", "estimator of the free energy")
        .one_of(names_of([](const Estimator&) { return true; })),
    key(&Estimate::bins, "bins", {100}, "bins of each collective variable over [from, to]")
        .from(1).to(1e7),
    key(&Estimate::blocks, "blocks", 32, "blocks that the standard errors are taken from")
        .from(8).to(1e5),
    key(&Estimate::tolerance, "tolerance", 1e-9,
        "largest change of a window's free energy that counts as converged")
        .above(0).below(1).unit("kT"),
    key(&Estimate::max_iterations, "max_iterations", 10000,
        "iterations after which the estimator gives up").from(1).to(1e9),
}};

EstimateConfig read_estimate(Config& config, const UmbrellaConfig& umbrella, int cvs) {
    EstimateConfig estimate = estimate_section.read(config);
    spread(config, "estimate.bins", estimate.bins, cvs);
    const bool of_samples = std::ranges::any_of(estimators(), [&](const Estimator& e) { return e.name == estimate.method; });
    config.with({"estimate.method", "umbrella.store"}, [&] {
        if (!of_samples || !umbrella.histogram || !find_estimator(estimate.method).needs_samples) return;
        const auto others = names_of([](const Estimator& e) { return !e.needs_samples; });
        if (config.given("estimate.method")) {
            throw KeyError("estimate.method",
                           "key 'estimate.method' is " + toml_string(estimate.method) +
                               ", which needs the samples that 'umbrella.store' = \"histogram\" does "
                               "not keep",
                           "use " + quoted(others) + ", or store = \"samples\"");
        }
        estimate.method = others.at(0);
        config.set("estimate.method", ConfigValue::of(estimate.method));
    });
    config.with({"estimate.bins"}, [&] {
        double cells = 1.0;
        for (index bins : estimate.bins) {
            cells *= static_cast<double>(bins);
        }
        if (cells > 1e8) {
            throw KeyError("estimate.bins", "key 'estimate.bins' makes more than 1e8 bins",
                           "give fewer bins");
        }
    });
    config.with({"estimate.method", "estimate.enabled", "cv.variables"}, [&] {
        if (!of_samples) return;
        const int most = find_estimator(estimate.method).most_cvs;
        if (estimate.enabled && cvs > most) {
            throw KeyError("estimate.method",
                           "key 'estimate.method' is " + toml_string(estimate.method) +
                               ", which works with " + (most == 1 ? "one" : std::to_string(most)) +
                               " collective variable" + (most == 1 ? "" : "s") + ", there are " +
                               std::to_string(cvs),
                           "use " + quoted(names_of([cvs](const Estimator& e) {
                               return e.most_cvs >= cvs;
                           })));
        }
    });
    config.with({"estimate.method", "estimate.enabled", "umbrella.replicas", "umbrella.steps",
                 "umbrella.stride"}, [&] {
        const index samples = umbrella.replicas * umbrella.samples_per_trajectory();
        if (estimate.enabled && estimate.method == "umbrella_integration" && samples < 2) {
            throw KeyError("estimate.method",
                           "key 'estimate.method' is \"umbrella_integration\", which needs two "
                           "samples in every window, there is one",
                           "give more 'umbrella.replicas', or a shorter 'umbrella.stride'");
        }
    });
    return estimate;
}

}  // namespace microlift
