// What is done to many states of a molecule outside its time loop.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/at.h"
#include "kernels/random/streams.h"
#include "sampling/dynamics/molecule_states.h"
#include "sampling/molecule/bond_graph.h"
#include "sampling/molecule/files/read_molecule.h"
#include "tests/sampling/molecule/molecule_data.h"
#include "tests/sampling/molecule/reference_energy.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

constexpr index kStates = 70;  // not whole packs

LoadedMolecule dipeptide() {
    MoleculeFiles files;
    files.topology = molecule_data_path("ala2.prmtop");
    files.coordinates = molecule_data_path("ala2.inpcrd");
    files.rigid_hydrogen_bonds = true;
    return read_molecule(files);
}

MoleculeSetup with_angles() {
    MoleculeSetup setup;
    setup.cvs = {{MoleculeCvKind::dihedral, {4, 6, 8, 14}}, {MoleculeCvKind::dihedral, {6, 8, 14, 16}}};
    return setup;
}

// The molecule so many times.
std::vector<float> columns(const LoadedMolecule& m) {
    std::vector<float> x;
    for (const double value : m.position) x.insert(x.end(), at(kStates), static_cast<float>(value));
    return x;
}

struct States {
    Stream stream;
    LoadedMolecule loaded = dipeptide();
    MoleculeStates states;
    Buffer<float> x;

    explicit States(const Device& device)
        : stream(device), states(stream, std::make_shared<Molecule>(loaded.molecule), with_angles()),
          x(device, static_cast<index>(loaded.position.size()) * kStates) {
        copy_to_device(stream, x.span(), columns(loaded).data());
    }
    std::vector<double> state(index i) {
        const std::vector<float> all = to_host(stream, Span<const float>(x.span()));
        std::vector<double> one;
        for (std::size_t k = at(i); k < all.size(); k += at(kStates)) one.push_back(static_cast<double>(all[k]));
        return one;
    }
};

double distance(const std::vector<double>& x, index i, index j) {
    double sum = 0;
    for (index d = 0; d < 3; ++d) sum += std::pow(x[at(3 * i + d)] - x[at(3 * j + d)], 2);
    return std::sqrt(sum);
}

}  // namespace

TEST_CASE("dihedral angles are set exactly, and no bond, angle or chirality changes") {
    for (const Device& device : test_devices()) {
        States s(device);
        REQUIRE(s.states.sets_cvs());
        std::vector<float> target;
        for (int k = 0; k < 2; ++k)
            for (index i = 0; i < kStates; ++i)
                target.push_back(static_cast<float>(-3.1 + 0.088 * static_cast<double>((i * (k + 1)) % kStates)));
        Buffer<float> aim(device, 2 * kStates);
        copy_to_device(s.stream, aim.span(), target.data());
        const std::vector<double> before = s.state(0);
        s.states.set_cvs(s.stream, std::as_const(aim).span(), kStates, kStates, s.x.span(), kStates);
        for (index i = 0; i < kStates; ++i) {
            const std::vector<double> x = s.state(i);
            CHECK(std::fabs(std::remainder(reference_dihedral(x, {4, 6, 8, 14}) - static_cast<double>(target[at(i)]),
                                           2 * std::numbers::pi)) < 1e-5);
            CHECK(std::fabs(std::remainder(reference_dihedral(x, {6, 8, 14, 16}) -
                                               static_cast<double>(target[at(kStates + i)]),
                                           2 * std::numbers::pi)) < 1e-5);
            for (const auto& bond : s.loaded.molecule.bonded)
                CHECK(std::fabs(distance(x, bond[0], bond[1]) - distance(before, bond[0], bond[1])) < 1e-6);
            for (const Angle& angle : s.loaded.molecule.angles)
                CHECK(std::fabs(distance(x, angle.atoms[0], angle.atoms[2]) -
                                distance(before, angle.atoms[0], angle.atoms[2])) < 2e-6);
            // N, C and CB about CA: an improper dihedral angle has the sign of the hand.
            CHECK(reference_dihedral(x, {8, 6, 14, 10}) ==
                  doctest::Approx(reference_dihedral(before, {8, 6, 14, 10})).epsilon(1e-4));
        }
    }
}

TEST_CASE("what is done to states has the same bits on every machine") {
    std::vector<std::vector<float>> expected;
    for (const Device& device : test_devices()) {
        States s(device);
        std::vector<std::vector<float>> found;
        const auto keep = [&](Span<const float> values) { found.push_back(to_host(s.stream, values)); };
        std::vector<float> x = columns(s.loaded), target;
        for (std::size_t k = 0; k < x.size(); ++k) x[k] += 0.01f * std::sin(static_cast<float>(k % 1009));
        copy_to_device(s.stream, s.x.span(), x.data());
        s.states.restore_bonds(s.stream, kStates, s.x.span(), kStates);
        keep(std::as_const(s.x).span());
        for (index i = 0; i < 2 * kStates; ++i) target.push_back(static_cast<float>(-3.1 + 0.04 * static_cast<double>(i)));
        Buffer<float> aim(device, 2 * kStates), v(device, s.x.size()), force(device, s.x.size()),
            energy(device, kStates);
        copy_to_device(s.stream, aim.span(), target.data());
        s.states.set_cvs(s.stream, std::as_const(aim).span(), kStates, kStates, s.x.span(), kStates);
        keep(std::as_const(s.x).span());
        s.states.draw_velocities(s.stream, 3, kStreamVelocity, 0, kStates, v.span());
        keep(std::as_const(v).span());
        s.states.evaluate(s.stream, std::as_const(s.x).span(), kStates, kStates, force.span(), energy.span());
        keep(std::as_const(force).span());
        keep(std::as_const(energy).span());
        if (expected.empty()) expected = found;
        for (std::size_t k = 0; k < found.size(); ++k) {
            CAPTURE(k);
            float apart = 0;
            for (std::size_t i = 0; i < found[k].size(); ++i)
                apart = std::max(apart, std::fabs(found[k][i] - expected[k][i]));
            CHECK(apart == 0.0f);
        }
    }
}

TEST_CASE("forces and energies of states are those of the force field") {
    for (const Device& device : test_devices()) {
        States s(device);
        Buffer<float> force(device, s.x.size()), energy(device, kStates);
        s.states.evaluate(s.stream, std::as_const(s.x).span(), kStates, kStates, force.span(), energy.span());
        double sum = 0;
        for (const double term : reference_energy(s.loaded.molecule, s.state(0))) sum += term;
        for (const float e : to_host(s.stream, std::as_const(energy).span()))
            CHECK(static_cast<double>(e) == doctest::Approx(sum).epsilon(1e-5));
    }
}

TEST_CASE("rigid bonds that are off by a tenth are restored") {
    for (const Device& device : test_devices()) {
        States s(device);
        std::vector<float> x = columns(s.loaded);
        for (std::size_t k = 0; k < x.size(); ++k)
            x[k] += 0.01f * std::sin(static_cast<float>(k % 1009));
        copy_to_device(s.stream, s.x.span(), x.data());
        s.states.restore_bonds(s.stream, kStates, s.x.span(), kStates);
        double worst = 0;
        for (index i = 0; i < kStates; ++i) {
            const std::vector<double> state = s.state(i);
            for (const RigidBond& bond : s.loaded.molecule.rigid_bonds)
                worst = std::max(worst, std::fabs(distance(state, bond.atoms[0], bond.atoms[1]) / bond.length - 1));
        }
        CHECK(worst < 1e-5);
    }
}

TEST_CASE("velocities that are drawn have their temperature") {
    for (const Device& device : test_devices()) {
        States s(device);
        const index n = is_emulated(device) ? kStates : 4000;
        const auto coordinates = static_cast<index>(s.loaded.position.size());
        Buffer<float> v(device, coordinates * n);
        s.states.draw_velocities(s.stream, 3, kStreamVelocity, 0, n, v.span());
        const std::vector<float> drawn = to_host(s.stream, std::as_const(v).span());
        double sum = 0;
        for (std::size_t k = 0; k < drawn.size(); ++k)
            sum += s.loaded.molecule.atoms[k / at(3 * n)].mass * std::pow(static_cast<double>(drawn[k]), 2);
        const double temperature = sum / (kGasConstant * static_cast<double>(drawn.size()));
        // The sum of so many squares, within four standard errors.
        CHECK(std::fabs(temperature / 300 - 1) < 4 * std::sqrt(2 / static_cast<double>(drawn.size())));
    }
}

TEST_CASE("a bond cuts a molecule in two, but not in a ring") {
    const LoadedMolecule m = dipeptide();
    CHECK(BondGraph(m.molecule).side(6, 8).size() + BondGraph(m.molecule).side(8, 6).size() == 22);
    Molecule ring;
    ring.atoms.resize(4);
    ring.bonded = {{0, 1}, {1, 2}, {2, 0}, {2, 3}};
    CHECK(BondGraph(ring).side(0, 1).empty());
    CHECK(BondGraph(ring).side(2, 3).size() == 1);
}

}  // namespace microlift
