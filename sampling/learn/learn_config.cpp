#include "sampling/learn/learn_config.h"

#include <algorithm>

#include "engine/config/section.h"
#include "sampling/learn/diffusion_map.h"

namespace microlift {

using Learn = LearnConfig;
const Section<LearnConfig> learn_section{"learn", {
    enabled(&Learn::enabled,
            "whether to learn coordinates from the samples: a diffusion map, which a later run may "
            "bias"),
    key(&Learn::alpha, "alpha", 0.5,
        "power of the sampling density that is divided out: 0, 0.5 (the samples' own dynamics) or 1 "
        "(geometry alone)").from(0).to(1),
    key(&Learn::epsilon, "epsilon", 0.0,
        "bandwidth of exp(-d^2/(4 epsilon)), a squared length; 0: from the data").from(0),
    key(&Learn::points, "points", 5000, "samples that are used").from(64).to(1e7),
    key(&Learn::coordinates, "coordinates", 6, "coordinates that are computed").from(1).to(15),
    key(&Learn::landmarks, "landmarks", 120,
        "centres that the coordinates as functions are made of").from(10).to(1000),
    key(&Learn::neighbours, "neighbours", 0,
        "nearest neighbours of each sample in the kernel; 0: all samples").from(0).to(4096),
    key(&Learn::bursts, "bursts", false,
        "distances in units of the local noise of what is observed, from short runs"),
    key(&Learn::burst_time, "burst_time", 0.0,
        "length of those runs; 0: one step of the integrator").from(0).unit("time"),
    key(&Learn::burst_replicas, "burst_replicas", 200, "runs from each sample").from(8).to(1e5),
    key(&Learn::unweighted, "unweighted", false,
        "takes the biased samples as they are, without their weights"),
    key(&Learn::features, "features", "torsions",
        "by what samples of a molecule are told apart: cosine and sine of each torsion about which it turns, or "
        "distances of heavy atoms that three bonds or more are between")
        .one_of({"torsions", "distances"}),
}};

LearnOptions::LearnOptions() : LearnConfig(learn_section.defaults()) {}

LearnConfig read_learn(Config& config, index stored) {
    const LearnConfig learn = learn_section.read(config);
    config.with({"learn.enabled", "estimate.enabled"}, [&] {
        if (learn.enabled && !config.enabled("estimate")) {
            throw KeyError("learn",
                           "[learn] needs the weights of the samples, which [estimate] finds",
                           "add a line [estimate]");
        }
    });
    config.with({"learn.enabled", "learn.coordinates", "umbrella"}, [&] {
        const index least = least_samples(learn.coordinates);
        if (learn.enabled && stored < least) {
            throw KeyError("learn",
                           "the run stores " + std::to_string(stored) +
                               " samples, which are too few for " +
                               std::to_string(learn.coordinates) + " coordinates",
                           "sample longer, or give a shorter umbrella.stride; at least " +
                               std::to_string(least) + " are needed");
        }
    });
    config.with({"learn", "umbrella"}, [&] {
        const index points = std::min(learn.points, stored);
        if (learn.enabled && points < learn.landmarks) {
            throw KeyError("learn.landmarks",
                           "[learn]: " + std::to_string(points) +
                               " different points are too few for " +
                               std::to_string(learn.landmarks) + " landmarks",
                           "use fewer 'learn.landmarks', or more 'learn.points' and samples");
        }
    });
    return learn;
}

}  // namespace microlift
