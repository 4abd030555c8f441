#include "sampling/estimate/estimate_config.h"

#include "engine/config/section.h"
#include "sampling/bias/umbrella_config.h"

namespace microlift {

using Estimate = EstimateConfig;
const Section<EstimateConfig> estimate_section{"estimate", {
    enabled(&Estimate::enabled, "whether to estimate the free energy"),
    key(&Estimate::method, "method", "mbar", "estimator of the free energy")
        .one_of({"mbar", "wham", "umbrella_integration"}),
    key(&Estimate::bins, "bins", {100}, "bins of each collective variable over [from, to]")
        .from(1).to(1e7),
    key(&Estimate::blocks, "blocks", 32, "blocks that the standard errors are taken from")
        .from(2).to(1e5),
    key(&Estimate::tolerance, "tolerance", 1e-9,
        "largest change of a window's free energy that counts as converged")
        .above(0).below(1).unit("kT"),
    key(&Estimate::max_iterations, "max_iterations", 10000,
        "iterations after which the estimator gives up").from(1).to(1e9),
}};

EstimateConfig read_estimate(Config& config, const UmbrellaConfig& umbrella, int cvs) {
    EstimateConfig estimate = estimate_section.read(config);
    spread(config, "estimate.bins", estimate.bins, cvs);
    config.with({"estimate.method", "umbrella.store"}, [&] {
        if (!umbrella.histogram || estimate.method != "mbar") return;
        if (config.given("estimate.method")) {
            throw KeyError("estimate.method",
                           "key 'estimate.method' is \"mbar\", which needs the samples that "
                           "'umbrella.store' = \"histogram\" does not keep",
                           "use \"wham\" or \"umbrella_integration\", or store = \"samples\"");
        }
        estimate.method = "wham";
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
        if (estimate.enabled && estimate.method == "umbrella_integration" && cvs > 1) {
            throw KeyError("estimate.method",
                           "key 'estimate.method' is \"umbrella_integration\", which works with one "
                           "collective variable, there are " +
                               std::to_string(cvs),
                           "use \"mbar\" or \"wham\"");
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
