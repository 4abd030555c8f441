#include "sampling/model/ensembles.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/at.h"
#include "kernels/random/streams.h"
#include "sampling/molecule/files/read_molecule.h"

namespace microlift {

namespace {

// Standard deviations about the value, rad and nm: of dihedral angles, and of what atoms have to move for
// any other variable.
constexpr double kAngle = 0.02, kDistance = 0.002;
constexpr double kMostTurn = 1;  // rad of the umbrella's oscillation in a step, as far as the stiffest bonds go
constexpr index kSlopes = 1024;                     // states whose gradients are looked at
constexpr double kSteps = 10;                       // of memory in the velocities

struct Slopes {
    double square = 0, by_mass = 0;  // ⟨|∇ξ|²⟩; ⟨Σ |∂ξ/∂x|²/m⟩, 1/u of what moves with ξ
};

// Of ξ_k over states x, where they are numbers.
Slopes mean_slopes(Stream& stream, const Model& model, Span<const float> x, index n, int k) {
    const index D = model.dim(), K = model.n_cvs(), some = std::min<index>(n, kSlopes);
    const std::vector<Atom>& atoms = model.molecule()->molecule.atoms;
    Buffer<float> values(stream.device(), K * (1 + D) * some);
    model.evaluate_cvs(stream, x, n, some, values.span(), some);
    const std::vector<float> all = to_host(stream, std::as_const(values).span());
    Slopes sum;
    for (index j = 0; j < some; ++j) {
        double square = 0, by_mass = 0;
        for (index d = 0; d < D; ++d) {
            const double own = std::pow(all[at((K + k * D + d) * some + j)], 2);
            square += own;
            by_mass += own / atoms[at(d / 3)].mass;
        }
        if (!std::isfinite(square)) continue;
        sum.square += square / static_cast<double>(some);
        sum.by_mass += by_mass / static_cast<double>(some);
    }
    return sum;
}

// As stiff as these widths ask for, but no stiffer than steps bear.
std::vector<float> stiffness(Stream& stream, const Model& model, double dt, Span<const float> x, index n) {
    std::vector<float> all;
    for (int k = 0; k < model.n_cvs(); ++k) {
        const Slopes slopes = mean_slopes(stream, model, x, n, k);
        const bool unit = model.own_unit(k);
        const double width = unit && model.turn(k) > 0    ? kAngle
                             : !unit && slopes.square > 0 ? kDistance * std::sqrt(slopes.square)
                                                          : kDistance;
        double stiff = model.kt() / (width * width);
        if (slopes.by_mass > 0) stiff = std::min(stiff, kMostTurn * kMostTurn / (dt * dt * slopes.by_mass));
        all.insert(all.end(), static_cast<std::size_t>(n), static_cast<float>(stiff));
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
    if (model.molecule()) copy_to_device(stream, held->stiffness(), stiffness(stream, model, setup.dt, x, n).data());
    draw_velocities(stream, model, *held, seed, first);
    return held;
}

}  // namespace microlift
