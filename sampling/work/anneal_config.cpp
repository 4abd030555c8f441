#include "sampling/work/anneal_config.h"

#include <cmath>

#include "engine/at.h"
#include "sampling/work/population.h"

namespace microlift {

namespace {

constexpr index kStartsOfLine = 32, kStartsOfPlane = 12;  // values of ξ at which walkers begin

void check_population(const UmbrellaConfig& umbrella, const ModelConfig& model) {
    if (!model.molecule && !model.system.beta)
        throw KeyError("bias.method", "key 'bias.method' is \"population_annealing\", and a system without a potential "
                                      "has no temperature",
                       "give a potential and 'system.beta'");
    if (population_islands(umbrella.replicas) == 0)
        throw KeyError("bias.walkers",
                       "key 'bias.walkers' is " + std::to_string(umbrella.replicas) +
                           ", which no number from 4 to 32 divides with 8 or more left, and walkers are drawn within so "
                           "many islands",
                       "give a multiple of 32, 256 or more");
}

}  // namespace

BiasConfig read_annealing(Config& config, ModelConfig& model, UmbrellaConfig& umbrella) {
    BiasConfig bias = bias_section.read(config);
    bias.enabled = true;
    umbrella = shared_window_section.read(config);
    umbrella.shared = true;
    const int cvs = model.cv.count();
    umbrella.windows.assign(at(cvs), cvs == 1 ? kStartsOfLine : kStartsOfPlane);
    umbrella.stiffness.assign(at(cvs), 0.0);
    config.with({"bias.method", "bias.walkers", "system"}, [&] { check_population(umbrella, model); });
    if (config.given("bias.walls"))
        config.keep(KeyError("bias.walls", "walls are of a bias on a grid, and population annealing has no bias",
                             "leave 'bias.walls' out"));
    config.with({"output.plumed"}, [&] {
        if (output_section.read(config).plumed)
            throw KeyError("output.plumed", "population annealing has no bias to write in PLUMED's formats", "leave it out");
    });
    finish_umbrella(config, model, umbrella);
    return bias;
}

std::vector<double> annealed_betas(const BiasConfig& bias, double beta) {
    std::vector<double> all;
    for (index k = 0; k <= bias.rungs; ++k)
        all.push_back(beta * std::pow(bias.hottest, static_cast<double>(k) / static_cast<double>(bias.rungs) - 1));
    all.back() = beta;
    return all;
}

std::string describe_annealing(const BiasConfig& bias, const UmbrellaConfig& umbrella) {
    return "population_annealing: " + std::to_string(umbrella.replicas) + " walkers in " +
           std::to_string(population_islands(umbrella.replicas)) + " islands, " + std::to_string(umbrella.equilibrate) +
           " steps at a temperature " + toml_number(bias.hottest) + " times the system's, then " +
           std::to_string(bias.rungs) + " temperatures with " + std::to_string(bias.anneal) +
           " steps at each, and sampled for " + std::to_string(umbrella.steps);
}

}  // namespace microlift
