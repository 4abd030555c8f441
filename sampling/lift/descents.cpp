#include "sampling/lift/descents.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/launch/gather.h"
#include "sampling/dynamics/molecule_minimize.h"
#include "sampling/molecule/files/read_molecule.h"

namespace microlift {
namespace {

// Thermal states of a peptide have up to four of them at steps of 4 fs, where bonds pull.
constexpr double kDeviations = 5;

// kJ/mol/nm that change the velocity of such a mass by so many thermal deviations in a step.
double most_force(const Model& model, const IntegratorConfig& integrator, double mass) {
    return kDeviations * std::sqrt(mass * model.kt()) / integrator.dt;
}

}  // namespace

std::vector<index> wild_states(Stream& stream, const Model& model, const IntegratorConfig& integrator,
                               Span<const float> x, index n, double times) {
    const index D = model.dim();
    const std::vector<Atom>& atoms = model.molecule()->molecule.atoms;
    Buffer<float> force(stream.device(), model.force_rows() * n);
    model.forces(stream, x, n, n, force.span());
    const std::vector<float> f = to_host(stream, std::as_const(force).span());
    std::vector<char> wild(at(n), 0);
    for (index d = 0; d < D; ++d) {
        const auto most = static_cast<float>(times * most_force(model, integrator, atoms[at(d / 3)].mass));
        for (index j = 0; j < n; ++j) wild[at(j)] |= !(std::fabs(f[at(d * n + j)]) <= most);
    }
    std::vector<index> found;
    for (index j = 0; j < n; ++j)
        if (wild[at(j)]) found.push_back(j);
    return found;
}

std::vector<index> descend_wild_states(Stream& stream, const Model& model, const IntegratorConfig& integrator,
                                       index n, Span<float> x) {
    const index D = model.dim();
    const std::vector<index> wild = wild_states(stream, model, integrator, Span<const float>(x.data, D * n), n);
    const auto m = std::ssize(wild);
    if (m == 0) return wild;
    Buffer<index> which(stream.device(), m);
    copy_to_device(stream, which.span(), wild.data());
    Buffer<float> states(stream.device(), D * m), energy(stream.device(), m), largest(stream.device(), m);
    gather_columns(stream, x.data, n, D, std::as_const(which).span(), states.data());
    const Molecule& molecule = model.molecule()->molecule;
    const auto lightest = std::ranges::min_element(molecule.atoms, {}, &Atom::mass);
    minimize(stream, molecule, states.span(), m, m, energy.span(), largest.span(),
             {kDescentIterations, most_force(model, integrator, lightest->mass)});
    put_columns(stream, std::as_const(states).span(), wild, D, n, x);
    return wild;
}

void put_columns(Stream& stream, Span<const float> from, const std::vector<index>& which, index rows, index n,
                 Span<float> x) {
    const auto m = std::ssize(which);
    const std::vector<float> part = to_host(stream, from);
    std::vector<float> all = to_host(stream, Span<const float>(x.data, rows * n));
    for (index r = 0; r < rows; ++r)
        for (index j = 0; j < m; ++j) all[at(r * n + which[at(j)])] = part[at(r * m + j)];
    copy_to_device(stream, x.subspan(0, rows * n), all.data());
}

}  // namespace microlift
