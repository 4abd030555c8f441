#include "sampling/model/ensembles.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/at.h"
#include "kernels/random/streams.h"

namespace microlift {

namespace {

// Standard deviations about the value, rad and nm: of dihedral angles, and of what atoms have to move for
// any other variable.
constexpr double kAngle = 0.02, kDistance = 0.002;
constexpr index kSlopes = 1024;                     // states whose gradients are looked at
constexpr double kSteps = 10;                       // of memory in the velocities

// √⟨|∇ξ_k|²⟩ over states x, where it is a number.
double mean_slope(Stream& stream, const Model& model, Span<const float> x, index n, int k) {
    const index D = model.dim(), K = model.n_cvs(), some = std::min<index>(n, kSlopes);
    Buffer<float> values(stream.device(), K * (1 + D) * some);
    model.evaluate_cvs(stream, x, n, some, values.span(), some);
    const std::vector<float> all = to_host(stream, std::as_const(values).span());
    double sum = 0;
    for (index j = 0; j < some; ++j) {
        double square = 0;
        for (index d = 0; d < D; ++d) square += std::pow(all[at((K + k * D + d) * some + j)], 2);
        if (std::isfinite(square)) sum += square / static_cast<double>(some);
    }
    return std::sqrt(sum);
}

std::vector<float> stiffness(Stream& stream, const Model& model, Span<const float> x, index n) {
    std::vector<float> all;
    for (int k = 0; k < model.n_cvs(); ++k) {
        const double slope = model.own_unit(k) ? 0 : mean_slope(stream, model, x, n, k);
        const double width = model.own_unit(k) && model.turn(k) > 0 ? kAngle
                             : slope > 0                           ? kDistance * slope
                                                                   : kDistance;
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
    if (model.molecule()) copy_to_device(stream, held->stiffness(), stiffness(stream, model, x, n).data());
    draw_velocities(stream, model, *held, seed, first);
    return held;
}

}  // namespace microlift
