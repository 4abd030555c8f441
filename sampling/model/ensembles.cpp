#include "sampling/model/ensembles.h"

#include <algorithm>
#include <vector>

#include "kernels/random/streams.h"

namespace microlift {

namespace {

constexpr double kAngle = 0.02, kDistance = 0.002;  // rad, nm: standard deviations about the value
constexpr double kSteps = 10;                       // of memory in the velocities

std::vector<float> stiffness(const Model& model, index n) {
    std::vector<float> all;
    for (int k = 0; k < model.n_cvs(); ++k) {
        const double width = model.turn(k) > 0 ? kAngle : kDistance;
        all.insert(all.end(), static_cast<std::size_t>(n),
                   static_cast<float>(model.kt() / (width * width)));
    }
    return all;
}

void draw_velocities(Stream& stream, const Model& model, Ensemble& ensemble, uint64 seed, index first) {
    if (model.molecule())
        model.molecule_states(stream).draw_velocities(stream, seed, kStreamVelocity, first, ensemble.size(),
                                                      ensemble.v());
}

}  // namespace

std::unique_ptr<Ensemble> free_ensemble(Stream& stream, const Model& model,
                                        const IntegratorConfig& integrator, double dt, index n,
                                        uint64 seed) {
    IntegratorConfig free = integrator;
    free.dt = dt;
    if (!model.molecule()) free.scheme = "euler_maruyama";
    auto ensemble = std::make_unique<Ensemble>(stream, model.path_kernel(model.path_setup(free)), n, seed,
                                               kStreamBurst);
    draw_velocities(stream, model, *ensemble, seed, 0);
    return ensemble;
}

std::unique_ptr<Ensemble> held_ensemble(Stream& stream, const Model& model,
                                        const IntegratorConfig& integrator, Span<const float> s,
                                        Span<const float> x, index n, uint64 seed, index first) {
    PathSetup setup = model.path_setup(integrator);
    if (model.molecule())
        setup.friction = std::max(setup.friction, 1 / (kSteps * setup.dt));
    else
        setup.bias = BiasKind::level_set;
    const std::shared_ptr<const PathKernel> kernel = model.path_kernel(setup);
    auto held = std::make_unique<Ensemble>(stream, kernel, n, seed, kStreamHeal, first);
    copy(stream, held->x(), Span<const float>(x.data, model.dim() * n));
    copy(stream, held->center(), Span<const float>(s.data, model.n_cvs() * n));
    if (model.molecule()) copy_to_device(stream, held->stiffness(), stiffness(model, n).data());
    draw_velocities(stream, model, *held, seed, first);
    return held;
}

}  // namespace microlift
