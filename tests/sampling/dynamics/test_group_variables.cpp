// Collective variables of groups of atoms: values against mdtraj and by hand, gradients against differences,
// and the law of what a bias on them holds.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "kernels/molecule/molecule_cv.h"
#include "kernels/random/streams.h"
#include "sampling/dynamics/ensemble.h"
#include "sampling/dynamics/molecule_path.h"
#include "sampling/formula/formula.h"
#include "sampling/model/molecule_variable.h"
#include "tests/sampling/molecule/molecule_data.h"
#include "tests/support/devices.h"

namespace microlift {
namespace {

using States = std::vector<std::vector<double>>;

// Conformations of alanine dipeptide.
States conformations() {
    return nlohmann::json::parse(molecule_data("energies.json"))["ala2.prmtop"]["states"].get<States>();
}
const std::vector<index> kHeavy{1, 4, 5, 6, 8, 10, 14, 15, 16, 18};

struct GroupVariable {
    MoleculeCv cv;
    std::vector<GroupAtom> atoms;

    GroupVariable(MoleculeCvKind kind, const std::vector<index>& members) {
        cv.kind = kind;
        for (const index atom : members)
            atoms.push_back({static_cast<int32>(3 * atom), 1.0f / static_cast<float>(members.size()), {}});
        cv.group.count = static_cast<int32>(members.size());
    }
    void set_reference(const std::vector<double>& x) {
        double centre[3] = {};
        for (const GroupAtom& atom : atoms)
            for (int d = 0; d < 3; ++d)
                centre[d] += x[static_cast<std::size_t>(atom.row + d)] / static_cast<double>(atoms.size());
        for (GroupAtom& atom : atoms)
            for (int d = 0; d < 3; ++d)
                atom.reference[d] = static_cast<float>(x[static_cast<std::size_t>(atom.row + d)] - centre[d]);
    }
    double value(std::vector<double> x) {
        cv.group.atom = atoms.data();
        double own[kGroupCvRows] = {};
        return group_value<Portable, double>(cv, PackedRows<double>{x.data()}, PackedRows<double>{own});
    }
    std::vector<double> gradient(std::vector<double> x) {
        cv.group.atom = atoms.data();
        double own[kGroupCvRows] = {};
        std::vector<double> force(x.size(), 0.0);
        const PackedRows<double> rows{x.data()}, keeps{own};
        group_value<Portable, double>(cv, rows, keeps);
        pull_group<Portable>(cv, rows, keeps, PackedRows<double>{force.data()}, 1.0);
        return force;
    }
};

// Differences over 1e-5 nm: their error is of the order of 1e-10 over the square of a length, 1e-11/1e-5 of
// rounding.
void check_gradient(GroupVariable& variable, const std::vector<double>& x, double tolerance) {
    const std::vector<double> found = variable.gradient(x);
    for (std::size_t k = 0; k < x.size(); ++k) {
        std::vector<double> up = x, down = x;
        up[k] += 1e-5;
        down[k] -= 1e-5;
        CHECK(std::abs(found[k] - (variable.value(up) - variable.value(down)) / 2e-5) < tolerance);
    }
}

}  // namespace

TEST_CASE("a radius of gyration, its gradient") {
    const States x = conformations();
    std::vector<index> all;
    for (index n = 0; n < 22; ++n) all.push_back(n);
    GroupVariable radius(MoleculeCvKind::gyration, all);
    CHECK(std::abs(radius.value(x[0]) - 0.30178627262305974) < 1e-7);  // NumPy; mdtraj 0.30178627
    for (const auto& state : x) check_gradient(radius, state, 1e-6);
}

TEST_CASE("a deviation from a reference is that after the best rotation, with its gradient") {
    const States x = conformations();
    GroupVariable deviation(MoleculeCvKind::rmsd, kHeavy);
    deviation.set_reference(x[1]);
    CHECK(std::abs(deviation.value(x[0]) - 0.029292298400256815) < 1e-7);  // NumPy; mdtraj 0.0292924
    check_gradient(deviation, x[0], 1e-6);
    check_gradient(deviation, x[2], 1e-6);
    // Turned by any angle about any axis, and moved, it is the same; a mirror image is not.
    for (int trial = 0; trial < 40; ++trial) {
        const double angle = 0.1 + 0.15 * trial, ux = std::sin(trial), uy = std::cos(trial) * 0.6,
                     uz = std::cos(trial) * 0.8;
        const double c = std::cos(angle), s = std::sin(angle);
        std::vector<double> turned = x[0];
        for (std::size_t n = 0; n < turned.size(); n += 3) {
            const double px = x[0][n], py = x[0][n + 1], pz = x[0][n + 2];
            const double along = (1 - c) * (ux * px + uy * py + uz * pz);
            turned[n] = c * px + s * (uy * pz - uz * py) + along * ux + 1;
            turned[n + 1] = c * py + s * (uz * px - ux * pz) + along * uy - 2;
            turned[n + 2] = c * pz + s * (ux * py - uy * px) + along * uz + 3;
        }
        CHECK(std::abs(deviation.value(turned) - 0.029292298400256815) < 1e-7);
    }
    std::vector<double> mirrored = x[1];
    for (std::size_t n = 0; n < mirrored.size(); n += 3) mirrored[n] = -mirrored[n];
    CHECK(deviation.value(x[1]) < 1e-7);
    CHECK(deviation.value(mirrored) > 0.01);
    for (const double g : deviation.gradient(x[1])) CHECK(std::isfinite(g));
}

TEST_CASE("the formula of a deviation has the kernel's value and gradient") {
    const States x = conformations();
    for (const std::vector<index>& atoms : {kHeavy, std::vector<index>{4, 8}, std::vector<index>{1, 6, 14}}) {
        GroupVariable deviation(MoleculeCvKind::rmsd, atoms);
        deviation.set_reference(x[1]);
        Symbols symbols;
        for (std::size_t n = 0; n < x[0].size(); ++n)
            symbols.variables.push_back("xyz"[n % 3] + std::to_string(n / 3));
        std::string text;
        for (const index atom : atoms) {
            for (const std::size_t d : {0u, 1u, 2u})
                text += (text.empty() ? "" : ", ") + symbols.variables[3 * static_cast<std::size_t>(atom) + d];
            text += ", 12.5";  // equal weights, whatever they are
            for (const std::size_t d : {0u, 1u, 2u})
                text += ", " + std::to_string(x[1][3 * static_cast<std::size_t>(atom) + d]);  // six digits
        }
        Expressions graph;
        const NodeId value = parse_formula(graph, "rmsd(" + text + ")", symbols);
        const std::vector<NodeId> slopes = graph.gradient(value, static_cast<int>(x[0].size()));
        for (const std::size_t s : {0u, 2u}) {
            CHECK(std::abs(graph.evaluate(value, x[s]) - deviation.value(x[s])) < 3e-6);
            const std::vector<double> kernel = deviation.gradient(x[s]);
            for (std::size_t n = 0; n < slopes.size(); ++n)
                CHECK(std::abs(graph.evaluate(slopes[n], x[s]) - kernel[n]) < 1e-3);
        }
        for (const NodeId slope : slopes) CHECK(std::isfinite(graph.evaluate(slope, x[1])));
        if (atoms == kHeavy) CHECK(std::abs(graph.evaluate(value, x[0]) - 0.029292298400256815) < 1e-6);
    }
    Expressions graph;
    CHECK_THROWS_WITH_AS(parse_formula(graph, "rmsd(a, a, a)", {{"a"}, {}}), doctest::Contains("seven arguments"),
                         FormulaError);
}

TEST_CASE("a formula of a molecule knows geometry of plain coordinates, and coordinates themselves") {
    std::vector<std::string> names;
    for (int n = 0; n < 12; ++n) names.push_back("xyz"[n % 3] + std::to_string(n / 3));
    CvVariable cv;
    cv.kind = "formula";
    cv.text = "cos(phi)*distance( x0,y0, z0, x3, y3, z3) + (x1 - x2)^2 + angle(x0, y0, z0, x1, y1, z1, y2, x2, z2)";
    CvVariable phi;
    phi.kind = "dihedral";
    phi.name = "phi";
    phi.atoms = {0, 1, 2, 3};
    CvVariable unused = phi;
    unused.name = "psi";
    cv.of = {phi, unused};
    const MoleculeVariable made = molecule_variable(cv, names, nullptr);
    REQUIRE(made.kind == MoleculeCvKind::formula);
    CHECK(made.of[0].kind == MoleculeCvKind::dihedral);
    CHECK(made.of[1].kind == MoleculeCvKind::distance);
    CHECK(made.of[1].atoms == std::vector<index>{0, 3});
    // Of an angle with y before x the nine coordinates, two of which stand alone besides; psi is not read.
    CHECK(std::ranges::count_if(made.of, [](const MoleculeVariable& v) {
              return v.kind == MoleculeCvKind::coordinate;
          }) == 9);
    CHECK(made.of.size() == 11);
}

TEST_CASE("a coordination counts contacts of two groups, or within one, with its gradient") {
    const States x = conformations();
    GroupVariable contacts(MoleculeCvKind::coordination, kHeavy);
    contacts.cv.group.inverse_range = 1 / 0.35f;
    contacts.cv.group.count = contacts.cv.group.others = 5;
    CHECK(std::abs(contacts.value(x[0]) - 9.753118787403402) < 1e-5);  // NumPy; 0.35 is rounded
    for (const auto& state : x) check_gradient(contacts, state, 1e-5);
    contacts.cv.group.numerator = 5;
    contacts.cv.group.denominator = 9;
    CHECK(std::abs(contacts.value(x[0]) - 11.153478419388732) < 1e-5);
    for (const auto& state : x) check_gradient(contacts, state, 1e-5);
    // Within a group each pair counts once.
    GroupVariable both(MoleculeCvKind::coordination, kHeavy), first(both), second(both);
    for (GroupVariable* each : {&both, &first, &second}) each->cv.group.inverse_range = 1 / 0.35f;
    first.cv.group.count = 5;
    second.atoms.erase(second.atoms.begin(), second.atoms.begin() + 5);
    second.cv.group.count = 5;
    contacts.cv.group.numerator = 6;
    contacts.cv.group.denominator = 12;
    CHECK(std::abs(both.value(x[0]) - first.value(x[0]) - second.value(x[0]) - contacts.value(x[0])) < 1e-12);
    check_gradient(both, x[0], 1e-5);
}

TEST_CASE("the switching function has no hole at its range and none far away") {
    for (const int n : {1, 6, 8})
        for (const int m : {9, 12, 24}) {
            for (const double at : {0.2, 0.999, 1.001, 1.7, 30.0}) {
                const double exact = (1 - std::pow(at, n)) / (1 - std::pow(at, m));
                CHECK(std::abs(switching(at, n, m).value / exact - 1) < 1e-12);
                CHECK(std::abs(static_cast<double>(switching(static_cast<float>(at), n, m).value) / exact - 1) <
                      1e-5);
            }
            CHECK(std::abs(switching(1.0, n, m).value - static_cast<double>(n) / m) < 1e-14);
            CHECK(std::abs(switching(1.0, n, m).slope - 0.5 * n * (n - m) / m) < 1e-12);
            CHECK(std::isfinite(switching(1e9f, n, m).slope));
        }
}

// Two atoms on a spring: P(r) ∝ r² e^{−(½k(r − r₀)² + ½κ(ξ(r) − c)²)/kT}.
TEST_CASE("what a bias on a group's variable holds has the exact mean") {
    constexpr double kT = kGasConstant * 300, rest = 0.3, k = 600;
    Molecule m;
    for (index i = 0; i < 2; ++i) {
        Atom atom;
        atom.mass = 12;
        m.atoms.push_back(atom);
    }
    m.exceptions.push_back({{0, 1}, 0, 0.1, 0});
    m.bonds.push_back({{0, 1}, rest, k});
    struct Case {
        MoleculeVariable variable;
        double center, stiffness;
        double (*xi)(double);
    };
    MoleculeVariable deviation{MoleculeCvKind::rmsd, {0, 1}};
    deviation.reference = {0, 0, 0, 0.1, 0, 0};
    MoleculeVariable contacts{MoleculeCvKind::coordination, {0}};
    contacts.others = {1};
    MoleculeVariable formula{MoleculeCvKind::formula, {}};
    formula.formula = "half*r + r^2*sin(2*half)";
    formula.names = {"r", "half"};
    formula.of = {{MoleculeCvKind::distance, {0, 1}}, {MoleculeCvKind::gyration, {0, 1}}};
    MoleculeVariable places{MoleculeCvKind::formula, {}};
    places.formula = "sqrt((a - b)^2 + (c - d)^2 + (e - f)^2)";
    places.names = {"a", "b", "c", "d", "e", "f"};
    for (int k = 0; k < 6; ++k) {
        places.of.push_back({MoleculeCvKind::coordinate, {k % 2}});
        places.of.back().axis = k / 2;
    }
    const Case cases[] = {
        {places, 0.25, 3000, [](double r) { return r; }},
        {formula, 0.06, 6000, [](double r) { return 0.5 * r * r + r * r * std::sin(r); }},
        {{MoleculeCvKind::gyration, {0, 1}}, 0.12, 4000, [](double r) { return r / 2; }},
        {deviation, 0.15, 4000, [](double r) { return std::abs(r - 0.1) / 2; }},
        {contacts, 0.8, 60, [](double r) { return 1 / (1 + std::pow(r / 0.3, 6)); }}};
    for (const Device& device : quick_devices())
        for (const Case& each : cases) {
            CAPTURE(static_cast<int>(each.variable.kind));
            const index replicas = 4096, rounds = 12;
            MoleculeSetup setup;
            setup.dt = 0.004;
            setup.friction = 5;
            setup.cvs = {each.variable};
            Stream stream(device);
            Ensemble ensemble(stream, make_molecule_path_kernel(std::make_shared<Molecule>(m), setup), replicas,
                              5, kStreamTest);
            const auto n = static_cast<std::size_t>(replicas);
            std::vector<float> x(6 * n, 0.0f);
            std::fill(x.begin() + static_cast<std::ptrdiff_t>(3 * n), x.begin() + static_cast<std::ptrdiff_t>(4 * n),
                      0.29f);
            copy_to_device(stream, ensemble.x(), x.data());
            copy_to_device(stream, ensemble.center(), std::vector<float>(n, static_cast<float>(each.center)).data());
            copy_to_device(stream, ensemble.stiffness(),
                           std::vector<float>(n, static_cast<float>(each.stiffness)).data());
            SampleSet samples(device, 6, 1, replicas * rounds);
            ensemble.advance(500);
            ensemble.sample(250, rounds, samples);
            double z = 0, exact = 0, square = 0, mean = 0;
            for (double r = 0.0005; r < 1.2; r += 0.0005) {
                const double off = each.xi(r) - each.center;
                const double w = r * r *
                                 std::exp(-(0.5 * k * (r - rest) * (r - rest) + 0.5 * each.stiffness * off * off) / kT);
                z += w;
                exact += w * each.xi(r);
                square += w * each.xi(r) * each.xi(r);
            }
            exact /= z;
            const double variance = square / z - exact * exact;
            for (const float xi : to_host(stream, std::as_const(samples.xi).span()))
                mean += static_cast<double>(xi) / static_cast<double>(replicas * rounds);
            // A picosecond apart, friction 5/ps: taken as independent, half as much again for what is left;
            // the step's own error of a variance, (ω dt)²/4, shifts the mean by far less.
            CHECK(std::abs(mean - exact) < 5 * 1.5 * std::sqrt(variance / static_cast<double>(replicas * rounds)));
        }
}

TEST_CASE("groups that make no sense are refused") {
    Molecule m;
    m.atoms.resize(3);
    for (Atom& atom : m.atoms) atom.mass = 12;
    const auto refused = [&](const MoleculeVariable& variable, const char* what) {
        MoleculeSetup setup;
        setup.cvs = {variable};
        CHECK_THROWS_WITH_AS(make_molecule_path_kernel(std::make_shared<Molecule>(m), setup), doctest::Contains(what),
                             InputError);
    };
    refused({MoleculeCvKind::gyration, {}}, "give its atoms");
    refused({MoleculeCvKind::gyration, {0, 3}}, "no atom 3");
    refused({MoleculeCvKind::rmsd, {0, 1}}, "reference");
    MoleculeVariable contacts{MoleculeCvKind::coordination, {0, 1}};
    contacts.denominator = 6;
    refused(contacts, "0 < n < m");
    refused({MoleculeCvKind::distance, {0, 1, 2}}, "2 atoms");
    MoleculeVariable formula{MoleculeCvKind::formula, {}};
    refused(formula, "each with its name");
    formula.names = {"r"};
    formula.of = {{MoleculeCvKind::distance, {0, 1}}};
    formula.formula = "r + q";
    MoleculeSetup setup;
    setup.cvs = {formula};
    CHECK_THROWS_WITH_AS(make_molecule_path_kernel(std::make_shared<Molecule>(m), setup), doctest::Contains("q"),
                         FormulaError);
}

}  // namespace microlift
