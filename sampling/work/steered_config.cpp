#include "sampling/work/steered_config.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/text.h"

namespace microlift {

namespace {

constexpr double kBeside = 2;  // widths of the bias: room beside a path along which a variable stays as it is

std::vector<CvValue> points_of(const BiasConfig& bias, int cvs) {
    std::vector<CvValue> points;
    for (std::size_t i = 0; i + at(cvs) <= bias.path.size(); i += at(cvs)) {
        CvValue point{};
        for (std::size_t k = 0; k < at(cvs); ++k) point[k] = bias.path[i + k];
        points.push_back(point);
    }
    return points;
}

void check_path(const BiasConfig& bias, int cvs) {
    const auto count = at(cvs);
    if (bias.path.size() < 2 * count || bias.path.size() % count != 0)
        throw KeyError("bias.path",
                       bias.path.empty() ? "key 'bias.path' is missing, and the bias goes along it"
                                         : "key 'bias.path' has " + count_of(bias.path.size(), "number") + " for " +
                                               count_of(count, "collective variable"),
                       cvs == 1 ? "give two values or more, for example path = [-1.0, 1.0]"
                                : "give two points or more, one after the other: path = [x1, y1, x2, y2]");
    const std::vector<CvValue> points = points_of(bias, cvs);
    for (std::size_t p = 1; p < points.size(); ++p)
        if (points[p] == points[p - 1])
            throw KeyError("bias.path", "two points of 'bias.path' that follow each other are the same",
                           "leave one of them out");
}

void check_moves(const BiasConfig& bias, const UmbrellaConfig& umbrella) {
    if (umbrella.stride % bias.move != 0)
        throw KeyError("bias.move",
                       "key 'bias.move' = " + std::to_string(bias.move) + " does not divide 'bias.stride' = " +
                           std::to_string(umbrella.stride),
                       "give a number of steps that divides it");
}

// What stands where nothing asks for it.
void refuse_others(const Config& config, const std::string& key) {
    if (!config.given(key)) return;
    if (key == "output.plumed" && !output_section.read(config).plumed) return;  // as a run writes it down
    if (key == "output.plumed")
        throw KeyError(key, "a bias that goes along a path leaves no samples in PLUMED's formats", "leave it out");
    throw KeyError(key, "key '" + key + "' is of a bias on a grid, and this one goes along a path",
                   "leave it out; 'bias.path' says where it begins and ends");
}

}  // namespace

BiasConfig read_path(Config& config, ModelConfig& model, UmbrellaConfig& umbrella,
                     const std::function<std::vector<CvValue>(const std::vector<CvValue>&, const BiasConfig&)>& centers) {
    BiasConfig bias = bias_section.read(config);
    bias.enabled = true;
    umbrella = shared_window_section.read(config);
    umbrella.histogram = true;  // no sample is stored
    umbrella.molecule.heat = bias.heat;
    umbrella.molecule.heat_steps = model.molecule ? bias.heat_steps : 0;
    const int cvs = model.cv.count();
    umbrella.windows.assign(at(cvs), 2);
    for (const char* key : {"bias.from", "bias.to", "bias.walls", "output.plumed"})
        config.with({key}, [&] { refuse_others(config, key); });
    spread(config, "bias.stiffness", bias.stiffness, cvs);
    config.with({"bias.stiffness"}, [&] {
        for (const double k : bias.stiffness)
            if (!(k > 0))
                throw KeyError("bias.stiffness", "a bias that goes along a path needs a key 'bias.stiffness' above 0",
                               "give so much that 1/sqrt(stiffness/kT) is the width of what it is to follow");
    });
    umbrella.stiffness = bias.stiffness;
    config.with({"bias.walkers"}, [&] {
        if (umbrella.replicas < 2)
            throw KeyError("bias.walkers", "key 'bias.walkers' is 1, which says nothing of how much they differ",
                           "give a hundred or more");
    });
    config.with({"bias.path", "cv.variables"}, [&] { check_path(bias, cvs); });
    const std::vector<CvValue> points = points_of(bias, cvs);
    if (!config.sound("bias.path") || !config.sound("bias.stiffness") || points.size() < 2) {
        config.distrust("umbrella");
        return bias;
    }
    umbrella.centers = centers(points, bias);
    umbrella.from.assign(at(cvs), 0), umbrella.to.assign(at(cvs), 0);
    for (std::size_t k = 0; k < at(cvs); ++k) {
        const auto [low, high] = std::ranges::minmax_element(points, {}, [&](const CvValue& p) { return p[k]; });
        umbrella.from[k] = (*low)[k], umbrella.to[k] = (*high)[k];
        if (umbrella.from[k] < umbrella.to[k]) continue;
        const double room = kBeside / std::sqrt(model.system.beta.value_or(1) * umbrella.stiffness[k]);
        umbrella.from[k] -= room, umbrella.to[k] += room;
    }
    finish_umbrella(config, model, umbrella);
    return bias;
}

BiasConfig read_steered(Config& config, ModelConfig& model, UmbrellaConfig& umbrella) {
    BiasConfig bias = read_path(config, model, umbrella, [](const std::vector<CvValue>& points, const BiasConfig&) {
        return std::vector<CvValue>{points.front(), points.back()};
    });
    config.with({"bias.move", "bias.stride"}, [&] { check_moves(bias, umbrella); });
    return bias;
}

SteeredOptions steered_options(const BiasConfig& bias, const UmbrellaConfig& umbrella, double kt) {
    SteeredOptions o;
    const int cvs = static_cast<int>(umbrella.stiffness.size());
    o.path = points_of(bias, cvs);
    for (std::size_t k = 0; k < at(cvs); ++k) o.stiffness[k] = umbrella.stiffness[k];
    o.start = umbrella.equilibrate;
    o.move = bias.move;
    o.moves = umbrella.steps / bias.move;
    o.stride = umbrella.stride / bias.move;
    o.kt = kt;
    return o;
}

std::string describe_steered(const BiasConfig& bias, const UmbrellaConfig& umbrella) {
    return "steered: " + std::to_string(umbrella.replicas) + " walkers each way, after " +
           std::to_string(umbrella.equilibrate) + " steps at its ends, in " +
           std::to_string(umbrella.steps / bias.move) + " moves over " + std::to_string(umbrella.steps) +
           " steps, looked at " + std::to_string(umbrella.steps / umbrella.stride + 1) + " times";
}

double steered_bytes(const BiasConfig& bias, const UmbrellaConfig& umbrella) {
    if (!bias.steered()) return 0;
    const double looks = static_cast<double>(umbrella.steps / umbrella.stride + 1);
    // On the device, and once more as they are read.
    return 2 * looks * static_cast<double>(umbrella.trajectories()) *
           (8 + 4 * static_cast<double>(umbrella.stiffness.size()));
}

}  // namespace microlift
