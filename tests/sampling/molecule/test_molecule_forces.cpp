// The kernels' energies and forces against plain double arithmetic, term by term.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "sampling/molecule/forces.h"
#include "tests/sampling/molecule/random_molecule.h"
#include "tests/sampling/molecule/reference_energy.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

template <class T>
struct Evaluated {
    std::vector<T> force, energy;  // of the first state
};

// `states` copies of a state, which must all give the same.
template <class T>
Evaluated<T> evaluate(const Device& device, const Molecule& molecule, const std::vector<double>& x,
                      index states = 19) {
    Stream stream(device);
    const auto n = static_cast<index>(x.size());
    MoleculeForces<T> forces(stream, molecule, states);
    std::vector<T> columns;
    for (const double value : x)
        columns.insert(columns.end(), static_cast<std::size_t>(states), static_cast<T>(value));
    Buffer<T> at(device, n * states), force(device, n * states), energy(device, kForceTerms * states);
    copy_to_device(stream, at.span(), columns.data());
    forces.evaluate(stream, std::as_const(at).span(), states, states, force.span(), energy.span());
    const std::vector<T> f = to_host(stream, std::as_const(force).span());
    const std::vector<T> e = to_host(stream, std::as_const(energy).span());
    Evaluated<T> result;
    const auto first = [&](const std::vector<T>& rows, std::vector<T>& out) {
        for (std::size_t r = 0; r < rows.size(); r += static_cast<std::size_t>(states)) {
            out.push_back(rows[r]);
            for (std::size_t k = 1; k < static_cast<std::size_t>(states); ++k)
                REQUIRE(rows[r + k] == rows[r]);
        }
    };
    first(f, result.force);
    first(e, result.energy);
    return result;
}

template <class A, class B>
double largest_difference(const std::vector<A>& a, const std::vector<B>& b) {
    double most = 0;
    for (std::size_t k = 0; k < a.size(); ++k)
        most = std::max(most, std::abs(static_cast<double>(a[k]) - static_cast<double>(b[k])));
    return most;
}
double largest(const std::vector<double>& a) { return largest_difference(a, std::vector<double>(a.size())); }

void compare(const Device& device, const RandomMolecule& random) {
    const Molecule& m = random.molecule;
    const auto expected = reference_energy(m, random.x);
    const auto got = evaluate<double>(device, m, random.x);
    for (std::size_t t = 0; t < kForceTerms; ++t) {
        CAPTURE(force_term_names()[t]);
        // Sums of some hundred terms of up to thousands: 1e-11 of what they add up to.
        CHECK(got.energy[t] == doctest::Approx(expected[t]).epsilon(1e-10));
    }
    // Differences of fourth order at h = 1e-4 nm err by some (h/0.1 nm)⁴ ≈ 1e-12 and by rounding of the
    // energy, 1e4 · 1e-16/h.
    const std::vector<double> force = reference_force(m, random.x);
    CHECK(largest_difference(got.force, force) < 1e-8 * largest(force) + 1e-6);

    // Single precision at a state that it can represent.
    std::vector<double> rounded;
    for (const double x : random.x) rounded.push_back(static_cast<float>(x));
    const auto fine = evaluate<double>(device, m, rounded);
    const auto coarse = evaluate<float>(device, m, rounded);
    CHECK(largest_difference(coarse.force, fine.force) < 1e-5 * largest(fine.force));
}

}  // namespace

TEST_CASE("all terms in vacuum agree with their definitions") {
    for (const Device& device : test_devices())
        for (unsigned seed = 1; seed <= 4; ++seed) {
            CAPTURE(seed);
            compare(device, RandomMolecule(9 + static_cast<index>(seed), seed));
        }
}

TEST_CASE("every solvent model agrees with its definition, with salt and without") {
    for (const Device& device : test_devices())
        for (const SolventKind kind : {SolventKind::hct, SolventKind::obc1, SolventKind::obc2,
                                       SolventKind::gbn, SolventKind::gbn2})
            for (const double kappa : {0.0, 1.3}) {
                CAPTURE(static_cast<int>(kind));
                CAPTURE(kappa);
                compare(device, RandomMolecule(11, 7, kind, kappa));
            }
}

TEST_CASE("a large molecule's solvent, whose pairs are not stored, agrees on every device") {
    for (const auto& [kind, kappa] : {std::pair{SolventKind::gbn, 0.9}, std::pair{SolventKind::obc1, 0.0}}) {
        RandomMolecule random(kMostStored + 3, 5, kind, kappa);
        for (double& x : random.x) x = static_cast<float>(x);  // as single precision can hold it
        const auto expected = evaluate<double>(Device::cpu(2), random.molecule, random.x, 2);
        for (const Device& device : test_devices()) {
            const auto fine = evaluate<double>(device, random.molecule, random.x, 2);
            CHECK(fine.force == expected.force);
            CHECK(fine.energy == expected.energy);
            const auto coarse = evaluate<float>(device, random.molecule, random.x, 2);
            CHECK(largest_difference(coarse.force, fine.force) < 1e-5 * largest(fine.force));
        }
    }
}

TEST_CASE("a large molecule's solvent, whose pairs are not stored, agrees too") {
    const RandomMolecule random(kMostStored + 3, 5, SolventKind::gbn, 0.9);
    const Molecule& m = random.molecule;
    const auto expected = reference_energy(m, random.x);
    const auto got = evaluate<double>(Device::cpu(2), m, random.x, 3);
    for (std::size_t t = 0; t < kForceTerms; ++t)
        CHECK(got.energy[t] == doctest::Approx(expected[t]).epsilon(1e-10));
    // A few components of the force, by differences of the energy along each.
    double most = 0;
    for (const double f : got.force) most = std::max(most, std::abs(f));
    for (const std::size_t d : {1u, 100u, 301u, 500u}) {
        const double h = 1e-4;
        const auto moved = [&](double by) {
            std::vector<double> x = random.x;
            x[d] += by;
            double sum = 0;
            for (const double e : reference_energy(m, x)) sum += e;
            return sum;
        };
        const double slope = (8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h);
        CHECK(std::abs(got.force[d] + slope) < 1e-7 * most);
    }
}

}  // namespace microlift
