// Minima of molecules: Lennard-Jones clusters from known structures, and a peptide with rigid bonds.
#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "sampling/dynamics/molecule_minimize.h"
#include "sampling/molecule/files/read_molecule.h"
#include "tests/sampling/molecule/molecule_data.h"
#include "tests/sampling/molecule/random_molecule.h"
#include "tests/sampling/molecule/star_molecule.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

using Places = std::vector<std::array<double, 3>>;

// ε = σ = 1, every pair.
Molecule cluster(std::size_t atoms) {
    Molecule m;
    m.atoms.resize(atoms);
    for (Atom& atom : m.atoms) {
        atom.mass = 40;
        atom.sigma = atom.epsilon = 1;
    }
    return m;
}

// Two pyramids on one pentagon.
Places bipyramid() {
    Places x{{0, 0, 0.57}, {0, 0, -0.57}};
    for (int k = 0; k < 5; ++k) x.push_back({0.96 * std::cos(1.2566370614 * k), 0.96 * std::sin(1.2566370614 * k), 0});
    return x;
}
// An icosahedron and its centre.
Places icosahedron() {
    const double golden = (1 + std::sqrt(5.0)) / 2, scale = 1.08 / std::sqrt(1 + golden * golden);
    Places x{{0, 0, 0}};
    for (const double a : {scale, -scale})
        for (const double b : {scale * golden, -scale * golden}) {
            x.push_back({0, a, b});
            x.push_back({a, b, 0});
            x.push_back({b, 0, a});
        }
    return x;
}
// A truncated octahedron of the cubic close packing, about a hole of it.
Places octahedron() {
    Places x;
    for (int i = -2; i <= 2; ++i)
        for (int j = -2; j <= 2; ++j)
            for (int k = -2; k <= 2; ++k)
                if ((i + j + k) % 2 != 0 && i * i + j * j + k * k <= 5) x.push_back({0.79 * i, 0.79 * j, 0.79 * k});
    return x;
}

}  // namespace

TEST_CASE("a molecule's way to its minimum is the same on every device") {
    MoleculeFiles files;
    files.topology = molecule_data_path("ala_gly.prmtop");
    files.coordinates = molecule_data_path("ala_gly.inpcrd");
    files.rigid_hydrogen_bonds = true;
    const LoadedMolecule vacuum = read_molecule(files);
    files.solvent.kind = SolventKind::gbn2;
    LoadedMolecule solvated = read_molecule(files);
    solvated.molecule.solvent.kappa = 1.3;
    solvated.molecule.restraints.push_back({0, 100.0, {0.1, 0.2, 0.3}});
    // Whose pairs are not stored, with necks and salt and without.
    std::vector<RandomMolecule> large{{kMostStored + 3, 5, SolventKind::gbn, 0.9},
                                      {kMostStored + 3, 5, SolventKind::obc1, 0.0}};
    for (RandomMolecule& molecule : large)
        for (Atom& atom : molecule.molecule.atoms) atom.mass = 12;
    files.solvent.kind = SolventKind::obc2;
    const LoadedMolecule plain = read_molecule(files);
    StarMolecule stars;  // of every size, pulled away one by one
    for (index atom = 0; atom < StarMolecule::kAtoms; atom += 2)
        stars.molecule.restraints.push_back({atom, 300.0, {1.3, 1.9, -0.8}});
    const auto go = [&]<class T>(T, const Device& device, const Molecule& molecule,
                                 const std::vector<double>& position, index iterations) {
        Stream stream(device);
        const index n = 3;
        std::vector<T> x;
        for (const double value : position)
            for (index t = 0; t < n; ++t) x.push_back(static_cast<T>(value + 0.002 * static_cast<double>(t)));
        Buffer<T> at(device, static_cast<index>(x.size())), energy(device, n), largest(device, n);
        copy_to_device(stream, at.span(), x.data());
        MinimizeSettings settings;
        settings.iterations = iterations;
        minimize(stream, molecule, at.span(), n, n, energy.span(), largest.span(), settings);
        std::vector<T> all = to_host(stream, std::as_const(at).span());
        const std::vector<T> found = to_host(stream, std::as_const(energy).span());
        all.insert(all.end(), found.begin(), found.end());
        return all;
    };
    const auto same = [&](const Device& device, const Molecule& molecule, const std::vector<double>& position,
                          index iterations) {
        CHECK(go(float{}, device, molecule, position, iterations) ==
              go(float{}, Device::cpu(1), molecule, position, iterations));
        CHECK(go(double{}, device, molecule, position, iterations) ==
              go(double{}, Device::cpu(1), molecule, position, iterations));
    };
    for (const Device& device : test_devices()) {
        same(device, vacuum.molecule, vacuum.position, 20);
        same(device, solvated.molecule, solvated.position, 20);
        same(device, plain.molecule, plain.position, 20);
        for (const RandomMolecule& molecule : large) same(device, molecule.molecule, molecule.x, 2);
        same(device, stars.molecule, stars.x, 20);
    }
}

TEST_CASE("a state goes down the same way whatever goes down beside it") {
    MoleculeFiles files;
    files.topology = molecule_data_path("ala2.prmtop");
    files.coordinates = molecule_data_path("ala2.inpcrd");
    files.rigid_hydrogen_bonds = true;
    const LoadedMolecule loaded = read_molecule(files);
    constexpr std::size_t states = 21;  // not whole packs
    const std::size_t dim = loaded.position.size();
    std::vector<float> x(dim * states);
    for (std::size_t k = 0; k < dim; ++k)
        for (std::size_t t = 0; t < states; ++t)
            x[k * states + t] = static_cast<float>(
                loaded.position[k] + 4e-4 * static_cast<double>(t) * std::sin(static_cast<double>(k * 7 + t)));
    const auto go = [&](const Device& device, std::size_t first, std::size_t n) {
        Stream stream(device);
        std::vector<float> own;
        for (std::size_t k = 0; k < dim; ++k)
            own.insert(own.end(), x.begin() + static_cast<std::ptrdiff_t>(k * states + first),
                       x.begin() + static_cast<std::ptrdiff_t>(k * states + first + n));
        const auto count = static_cast<index>(n);
        Buffer<float> at(device, static_cast<index>(own.size())), energy(device, count), largest(device, count);
        copy_to_device(stream, at.span(), own.data());
        MinimizeSettings settings;
        settings.iterations = 60;
        settings.tolerance = 400;
        minimize(stream, loaded.molecule, at.span(), count, count, energy.span(), largest.span(), settings);
        std::vector<float> all = to_host(stream, std::as_const(at).span());
        for (const Buffer<float>* more : {&energy, &largest}) {
            const std::vector<float> values = to_host(stream, more->span());
            all.insert(all.end(), values.begin(), values.end());
        }
        return all;
    };
    std::vector<float> alone((dim + 2) * states);
    std::size_t done = 0;
    for (std::size_t t = 0; t < states; ++t) {
        const std::vector<float> one = go(Device::cpu(1), t, 1);
        for (std::size_t k = 0; k < one.size(); ++k) alone[k * states + t] = one[k];
        done += one.back() <= 400;
    }
    CHECK(done > 4);  // one after another, as they begin further and further up
    for (const Device& device : test_devices()) CHECK(go(device, 0, states) == alone);
}

TEST_CASE("Lennard-Jones clusters have their known energies") {
    const std::pair<Places, double> cases[] = {
        {bipyramid(), -16.505384}, {icosahedron(), -44.326801}, {octahedron(), -173.928427}};
    for (const Device& device : quick_devices())
        for (const auto& [places, expected] : cases) {
            CAPTURE(expected);
            Stream stream(device);
            const std::size_t starts = 20, dim = 3 * places.size();
            std::mt19937 random(3);
            std::normal_distribution<double> shake(0, 0.03);
            std::vector<double> x(dim * starts);
            for (std::size_t k = 0; k < dim; ++k)
                for (std::size_t t = 0; t < starts; ++t) x[k * starts + t] = places[k / 3][k % 3] + shake(random);
            const auto n = static_cast<index>(starts);
            Buffer<double> at(device, static_cast<index>(x.size())), energy(device, n), largest(device, n);
            copy_to_device(stream, at.span(), x.data());
            MinimizeSettings settings;
            settings.tolerance = 1e-6;
            minimize(stream, cluster(places.size()), at.span(), n, n, energy.span(), largest.span(), settings);
            for (const double e : to_host(stream, std::as_const(energy).span()))
                CHECK(std::abs(e - expected) < 1e-6);  // of the digits given
            for (const double f : to_host(stream, std::as_const(largest).span())) CHECK(f <= 1e-6);
        }
}

TEST_CASE("a peptide goes down to a minimum in either precision, its rigid bonds as they were") {
    for (const Device& device : quick_devices()) {
        Stream stream(device);
        MoleculeFiles files;
        files.topology = molecule_data_path("ala2.prmtop");
        files.coordinates = molecule_data_path("ala2.inpcrd");
        files.solvent.kind = SolventKind::obc2;
        files.rigid_hydrogen_bonds = true;
        const LoadedMolecule loaded = read_molecule(files);
        double found[2] = {};
        const auto descend = [&](auto zero, double tolerance, double bond_tolerance) {
            using T = decltype(zero);
            const auto dim = static_cast<index>(loaded.position.size());
            std::vector<T> x(loaded.position.begin(), loaded.position.end());
            Buffer<T> at(device, dim), energy(device, 1), largest(device, 1);
            copy_to_device(stream, at.span(), x.data());
            MinimizeSettings settings;
            settings.tolerance = tolerance;
            settings.iterations = 50000;
            minimize(stream, loaded.molecule, at.span(), 1, 1, energy.span(), largest.span(), settings);
            CHECK(static_cast<double>(to_host(stream, std::as_const(largest).span())[0]) <= tolerance);
            x = to_host(stream, Span<const T>(at.span()));
            for (const RigidBond& bond : loaded.molecule.rigid_bonds) {
                double square = 0;
                for (std::size_t d = 0; d < 3; ++d)
                    square += std::pow(static_cast<double>(x[3 * static_cast<std::size_t>(bond.atoms[0]) + d] -
                                                           x[3 * static_cast<std::size_t>(bond.atoms[1]) + d]),
                                       2);
                CHECK(std::abs(std::sqrt(square) / bond.length - 1) < bond_tolerance);
            }
            return static_cast<double>(to_host(stream, std::as_const(energy).span())[0]);
        };
        // Forces of 1e3 kJ/mol/nm have roundings of 1e-3 to 1e-2 in single precision; lengths are given in it.
        found[0] = descend(0.0, 1e-3, 2e-7);
        found[1] = descend(0.0f, 1.0, 1e-6);
        // From a force of 1 the energy is of the order of 1²/k, 1e-2, above the minimum of a soft torsion.
        CHECK(std::abs(found[0] - found[1]) < 0.1);
    }
}

}  // namespace microlift
