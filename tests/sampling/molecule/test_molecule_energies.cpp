// Energies of molecules from files against numbers that OpenMM's Reference platform gave
// (compare_energies.py --numbers), with every solvent.
#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "sampling/molecule/files/read_molecule.h"
#include "sampling/molecule/forces.h"
#include "tests/sampling/molecule/molecule_data.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

std::vector<double> energies(const Device& device, const Molecule& molecule,
                             const std::vector<std::vector<double>>& states) {
    Stream stream(device);
    const auto n = static_cast<index>(states.size()), variables = 3 * molecule.size();
    MoleculeForces<double> forces(stream, molecule, n);
    std::vector<double> columns;
    for (index d = 0; d < variables; ++d)
        for (const auto& state : states) columns.push_back(state[static_cast<std::size_t>(d)]);
    Buffer<double> x(device, variables * n), force(device, variables * n), energy(device, kForceTerms * n);
    copy_to_device(stream, x.span(), columns.data());
    forces.evaluate(stream, std::as_const(x).span(), n, n, force.span(), energy.span());
    const std::vector<double> terms = to_host(stream, std::as_const(energy).span());
    std::vector<double> sums(states.size(), 0.0);
    for (std::size_t k = 0; k < terms.size(); ++k) sums[k % states.size()] += terms[k];
    return sums;
}

}  // namespace

TEST_CASE("energies of peptides are OpenMM's, with every solvent") {
    const auto numbers = nlohmann::json::parse(molecule_data("energies.json"));
    REQUIRE(numbers.size() == 2);
    for (const Device& device : test_devices())
        for (const auto& [file, of_molecule] : numbers.items()) {
            const auto states = of_molecule["states"].get<std::vector<std::vector<double>>>();
            for (const char* solvent : {"none", "hct", "obc1", "obc2", "gbn", "gbn2"}) {
                CAPTURE(file);
                CAPTURE(solvent);
                MoleculeFiles files;
                files.topology = molecule_data_path(file);
                REQUIRE(solvent_kind(solvent, files.solvent.kind));
                const auto expected = of_molecule[solvent].get<std::vector<double>>();
                const std::vector<double> got =
                    energies(device, read_molecule(files).molecule, states);
                for (std::size_t k = 0; k < expected.size(); ++k)
                    CHECK(std::abs(got[k] - expected[k]) < 2e-3);
            }
        }
}

}  // namespace microlift
