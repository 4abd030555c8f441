// Variables of a molecule in its time loop on every device: kinds, sizes of groups, formulas of them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "kernels/random/streams.h"
#include "sampling/dynamics/ensemble.h"
#include "sampling/dynamics/molecule_path.h"
#include "sampling/formula/program.h"
#include "sampling/molecule/files/read_molecule.h"
#include "tests/sampling/molecule/molecule_data.h"
#include "tests/support/molecule_machines.h"

namespace microlift {
namespace {

constexpr index kReplicas = 3;
const std::vector<index> kMembers{1, 4, 6, 8, 10, 14, 16};

const LoadedMolecule& peptide() {
    static const LoadedMolecule loaded = [] {
        MoleculeFiles files;
        files.topology = molecule_data_path("ala2.prmtop");
        files.coordinates = molecule_data_path("ala2.inpcrd");
        files.rigid_hydrogen_bonds = true;
        return read_molecule(files);
    }();
    return loaded;
}

std::vector<index> members(std::size_t from, std::size_t count) {
    return {kMembers.begin() + static_cast<std::ptrdiff_t>(from),
            kMembers.begin() + static_cast<std::ptrdiff_t>(from + count)};
}
MoleculeVariable contacts(std::vector<index> atoms, std::vector<index> others, int numerator, int denominator) {
    MoleculeVariable v{MoleculeCvKind::coordination, std::move(atoms)};
    v.others = std::move(others);
    v.numerator = numerator;
    v.denominator = denominator;
    return v;
}
MoleculeVariable size_of(std::vector<index> atoms) {
    MoleculeVariable v{MoleculeCvKind::gyration, std::move(atoms)};
    v.by_mass = atoms.size() % 2 == 0;
    return v;
}
// From places that the molecule does not have.
MoleculeVariable deviation(std::vector<index> atoms) {
    MoleculeVariable v{MoleculeCvKind::rmsd, std::move(atoms)};
    for (std::size_t k = 0; k < 3 * v.atoms.size(); ++k)
        v.reference.push_back(0.1 * static_cast<double>(k) * (k % 3 == 0) + 0.07 * std::sin(static_cast<double>(k * k)));
    return v;
}
MoleculeVariable formula(std::string text, std::vector<MoleculeVariable> of) {
    MoleculeVariable v{MoleculeCvKind::formula, {}};
    v.formula = std::move(text);
    v.of = std::move(of);
    for (std::size_t k = 0; k < v.of.size(); ++k) v.names.push_back(std::string(1, static_cast<char>('a' + k)));
    return v;
}
const MoleculeVariable kPhi{MoleculeCvKind::dihedral, {4, 6, 8, 14}};

// Positions and variables after a few steps under a bias on each variable.
std::vector<float> moved(const Device& device, const MoleculeSetup& setup, const Molecule& molecule) {
    Stream stream(device);
    Ensemble ensemble(stream, make_molecule_path_kernel(std::make_shared<Molecule>(molecule), setup), kReplicas, 11,
                      kStreamTest);
    const auto variables = static_cast<int>(setup.cvs.size());
    SampleSet samples(device, static_cast<int>(3 * molecule.size()), variables, 2 * kReplicas);
    std::vector<float> x;
    for (const double place : peptide().position)
        for (index t = 0; t < kReplicas; ++t) x.push_back(static_cast<float>(place));
    copy_to_device(stream, ensemble.x(), x.data());
    const std::vector<float> center(static_cast<std::size_t>(variables * kReplicas), 0.4f);
    const std::vector<float> stiffness(center.size(), 50.0f);
    copy_to_device(stream, ensemble.center(), center.data());
    copy_to_device(stream, ensemble.stiffness(), stiffness.data());
    ensemble.sample(2, 2, samples);
    std::vector<float> found = to_host(stream, Span<const float>(ensemble.x()));
    const std::vector<float> xi = to_host(stream, std::as_const(samples.xi).span());
    found.insert(found.end(), xi.begin(), xi.end());
    return found;
}

// The CPU's bits in portable mathematics; the fast one draws another noise, which four steps turn into less than
// 0.05 nm or rad.
void check_same(MoleculeSetup setup, const Molecule& molecule) {
    for (const bool portable : {true, false}) {
        CAPTURE(portable);
        setup.portable_math = portable;
        const std::vector<float> expected = moved(Device::cpu(1), setup, molecule);
        for (const float value : expected) REQUIRE(std::isfinite(value));
        for (const Machine& machine : molecule_machines({8})) {
            const AskedLanes asked(machine.lanes);
            const std::vector<float> found = moved(machine.device, setup, molecule);
            REQUIRE(found.size() == expected.size());
            float apart = 0;
            for (std::size_t k = 0; k < found.size(); ++k)
                apart = std::max(apart, std::fabs(found[k] - expected[k]));
            CHECK(apart <= (portable ? 0.0f : 0.05f));
        }
    }
}

}  // namespace

TEST_CASE("groups of any size pull the same on every machine, alone and in formulas") {
    for (const std::size_t size : {2, 3, 4, 5, 6, 7}) {
        CAPTURE(size);
        MoleculeSetup setup;
        setup.scheme = size % 2 == 0 ? MoleculeScheme::lf_middle : MoleculeScheme::baoab;
        const int n = static_cast<int>(size);
        const std::size_t half = size / 2;
        const MoleculeVariable within = contacts(members(0, size), {}, n - 1, 2 * n + 1),
                               between = contacts(members(0, half), members(half, size - half), n, n + 1),
                               radius = size_of(members(0, size)), away = deviation(members(0, size));
        setup.cvs = {within, between};
        check_same(setup, peptide().molecule);
        setup.cvs = {radius, away};
        check_same(setup, peptide().molecule);
        const MoleculeVariable angle{MoleculeCvKind::angle, {4, 6, 8}}, distance{MoleculeCvKind::distance, {4, 14}};
        setup.cvs = {formula("a*b + c/(1 + d*d) - 0.5*e", {within, radius, between, angle, away}),
                     formula("sin(a)*b - c", {kPhi, away, distance})};
        check_same(setup, peptide().molecule);
    }
}

TEST_CASE("every instruction of a formula of variables computes the same on every machine") {
    const std::vector<MoleculeVariable> of{{MoleculeCvKind::distance, {4, 14}},
                                           size_of(members(0, 7)),
                                           {MoleculeCvKind::angle, {6, 8, 14}}};
    const std::vector<std::string> names{"a", "b", "c"};
    const std::string texts[] = {
        "log(exp(-20*a) + exp(-10*b)) + 2^c - exp(-a*b) + exp(c - b)",
        "a + b*c + 2*a*b - c + 1/a - b/c + a*b*c - 3*c*a + 0.5",
        "sqrt(a) + a^2.5 + log(2 + c) + sin(c) + cos(3*b) + tan(a)",
        "tanh(c) + sinh(a)*cosh(b) + atan(c) + atan2(a, b) + erf(a - 0.2) + asin(b)",
        "abs(a - c) + min(a, b) + max(b, c) + min(a, 0.3) + max(c, 0.2) + max(0.1, min(c, 2))",
        "2*a - 3*b + 1 - (4*a + 2*b)*c",
        "a^b + (1 - a*b)*(a - b*c) + (2 - b)^3 + 3 - 0.2*c",
        "a*b - c",
        "0.5 - a*b",
    };
    std::set<Code> seen;
    for (const std::string& text : texts) {
        CAPTURE(text);
        MoleculeSetup setup;
        setup.cvs = {formula(text, of), kPhi};
        check_same(setup, peptide().molecule);
        Expressions graph;
        const NodeId value = parse_formula(graph, text, {names, {}});
        std::vector<NodeId> outputs{value};
        for (const NodeId slope : graph.gradient(value, 3)) outputs.push_back(slope);
        for (const Instruction& in : lower(graph, outputs, 3).instructions) seen.insert(in.code);
    }
    // A sine whose derivative is asked for has its cosine beside it.
    for (int code = 0; code <= static_cast<int>(Code::k_less); ++code)
        if (static_cast<Code>(code) != Code::sin && static_cast<Code>(code) != Code::cos) {
            CAPTURE(code);
            CHECK(seen.contains(static_cast<Code>(code)));
        }
}

TEST_CASE("any number of restraints, few rounds of random numbers: the same on every machine") {
    for (const std::size_t restraints : {2, 3, 5}) {
        CAPTURE(restraints);
        Molecule held = peptide().molecule;
        for (std::size_t k = 0; k < restraints; ++k)
            held.restraints.push_back({kMembers[k], 100.0, {0.1, 0.2, 0.3}});
        MoleculeSetup setup;
        setup.cvs = {kPhi};
        setup.philox_rounds = kPhiloxFewRounds;
        check_same(setup, held);
        MoleculeSetup full = setup;
        full.philox_rounds = kPhiloxRounds;
        CHECK(moved(Device::cpu(1), setup, held) != moved(Device::cpu(1), full, held));
    }
}

}  // namespace microlift
