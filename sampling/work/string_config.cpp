#include "sampling/work/string_config.h"

#include "engine/at.h"
#include "sampling/work/steered_config.h"

namespace microlift {

BiasConfig read_string(Config& config, ModelConfig& model, UmbrellaConfig& umbrella) {
    const BiasConfig bias =
        read_path(config, model, umbrella, [](const std::vector<CvValue>& points, const BiasConfig& of) {
            CvValue stiffness{};
            for (std::size_t k = 0; k < of.stiffness.size(); ++k) stiffness[k] = of.stiffness[k];
            return reparametrised(points, of.images, stiffness);
        });
    return bias;
}

std::string describe_string(const BiasConfig& bias, const UmbrellaConfig& umbrella) {
    return "string: " + std::to_string(bias.images) + " points with " + std::to_string(umbrella.replicas) +
           " walkers each, " + std::to_string(bias.iterations) + " times held for " + std::to_string(umbrella.equilibrate) +
           " steps and let go for " + std::to_string(bias.lag) + ", then sampled for " + std::to_string(umbrella.steps) +
           " steps along the mean of the last half";
}

}  // namespace microlift
