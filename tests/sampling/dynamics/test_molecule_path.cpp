// Molecules in motion: rigid bonds, thermostat, collective variables, against exact laws.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/random/streams.h"
#include "sampling/dynamics/ensemble.h"
#include "sampling/dynamics/molecule_path.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/molecule/forces.h"
#include "tests/sampling/molecule/molecule_data.h"
#include "tests/sampling/molecule/random_molecule.h"
#include "tests/sampling/molecule/reference_energy.h"
#include "tests/sampling/molecule/star_molecule.h"
#include "tests/support/molecule_machines.h"

namespace microlift {
namespace {

constexpr double kT300 = kGasConstant * 300;

Molecule chain_of(index atoms, double mass) {
    Molecule m;
    for (index i = 0; i < atoms; ++i) {
        Atom atom;
        atom.mass = mass;
        m.atoms.push_back(atom);
        for (index j = 0; j < i; ++j) m.exceptions.push_back({{j, i}, 0, 0.1, 0});
    }
    return m;
}

// Two rigid bonds and nothing else.
Molecule rigid_trimer() {
    Molecule m = chain_of(3, 12);
    m.rigid_bonds = {{{0, 1}, 0.15}, {{1, 2}, 0.15}};
    return m;
}

// United atoms: harmonic bonds and angles, and a torsion with trans at π where asked for.
Molecule butane(bool torsion) {
    Molecule m = chain_of(4, 15);
    for (index i = 0; i < 3; ++i) m.bonds.push_back({{i, i + 1}, 0.153, 1e5});
    for (index i = 0; i < 2; ++i) m.angles.push_back({{i, i + 1, i + 2}, 1.95, 500});
    const double c[] = {355.03 * kGasConstant, -68.19 * kGasConstant, 791.32 * kGasConstant};
    if (torsion)
        m.torsions = {{{0, 1, 2, 3}, 1, 0, c[0]},
                      {{0, 1, 2, 3}, 2, std::numbers::pi, c[1]},
                      {{0, 1, 2, 3}, 3, 0, c[2]}};
    return m;
}
double butane_energy(double phi) {
    return kGasConstant * (355.03 * (1 + std::cos(phi)) - 68.19 * (1 - std::cos(2 * phi)) +
                           791.32 * (1 + std::cos(3 * phi)));
}

// The chain of butane with this dihedral angle, and of the trimer.
std::vector<double> butane_at(double phi) {
    const double r = 0.153, theta = 1.95, s = r * std::sin(theta), c = -r * std::cos(theta);
    return {-c, s, 0, 0, 0, 0, r, 0, 0, r + c, s * std::cos(phi), s * std::sin(phi)};
}
const std::vector<double> kTrimer{0.15, 0, 0, 0, 0, 0, 0, 0.15, 0};

struct Run {
    Stream stream;
    Ensemble ensemble;
    SampleSet samples;

    Run(const Device& device, const Molecule& m, const MoleculeSetup& setup, index replicas,
        const std::vector<std::vector<double>>& starts, index stored)
        : stream(device),
          ensemble(stream, make_molecule_path_kernel(std::make_shared<Molecule>(m), setup), replicas,
                   11, kStreamTest),
          samples(device, static_cast<int>(3 * m.size()), std::max(1, static_cast<int>(setup.cvs.size())),
                  stored) {
        std::vector<float> x(static_cast<std::size_t>(3 * m.size() * replicas));
        for (std::size_t k = 0; k < x.size(); ++k) {
            const std::size_t d = k / static_cast<std::size_t>(replicas);
            const std::size_t t = k % static_cast<std::size_t>(replicas);
            x[k] = static_cast<float>(starts[t % starts.size()][d]);
        }
        copy_to_device(stream, ensemble.x(), x.data());
    }
    void bias(double center, double stiffness) {
        const auto n = static_cast<std::size_t>(ensemble.center().size);
        copy_to_device(stream, ensemble.center(), std::vector<float>(n, static_cast<float>(center)).data());
        copy_to_device(stream, ensemble.stiffness(),
                       std::vector<float>(n, static_cast<float>(stiffness)).data());
    }
    std::vector<float> x() { return to_host(stream, Span<const float>(ensemble.x())); }
    std::vector<float> v() { return to_host(stream, Span<const float>(ensemble.v())); }
    std::vector<float> cv() { return to_host(stream, std::as_const(samples.xi).span()); }
};

// In portable mathematics all machines find the same bits; in the fast one all of CUDA.
class SameBits {
public:
    explicit SameBits(bool portable) : portable_(portable) {}
    void check(const Machine& machine, const std::vector<float>& found) {
        CAPTURE(machine.lanes);
        std::vector<float>& known = portable_ || machine.device.is_cpu() ? first_ : on_cuda_;
        if (known.empty()) known = found;
        CHECK(found == known);
        REQUIRE(found.size() == first_.size());
        for (std::size_t k = 0; k < found.size(); ++k)
            apart_ = std::max(apart_, std::fabs(found[k] - first_[k]));
    }
    float apart() const { return apart_; }  // from the first machine at most

private:
    bool portable_;
    float apart_ = 0;
    std::vector<float> first_, on_cuda_;
};

std::vector<double> state(const std::vector<float>& rows, index replicas, index replica) {
    std::vector<double> x;
    for (auto k = static_cast<std::size_t>(replica); k < rows.size(); k += static_cast<std::size_t>(replicas))
        x.push_back(static_cast<double>(rows[k]));
    return x;
}
double bond(const std::vector<double>& x, std::size_t i, std::size_t j) {
    return std::hypot(x[3 * i] - x[3 * j], x[3 * i + 1] - x[3 * j + 1], x[3 * i + 2] - x[3 * j + 2]);
}

}  // namespace

TEST_CASE("two rigid bonds sample the measure of rigid bonds, at the right temperature") {
    // P(cos θ) ∝ √(4 − cos²θ). Replicas are independent: the error of a mean is that of their own means.
    for (const Device& device : quick_devices())
        for (const MoleculeScheme scheme : {MoleculeScheme::lf_middle, MoleculeScheme::baoab}) {
            CAPTURE(static_cast<int>(scheme));
            const index replicas = 4096, rounds = 60;
            MoleculeSetup setup{scheme, 0.002, 2, 300, {{MoleculeCvKind::angle, {0, 1, 2}}}, false};
            Run run(device, rigid_trimer(), setup, replicas, {kTrimer}, replicas * rounds);
            run.ensemble.advance(2000);
            double kinetic = 0, longest = 0;
            for (index round = 0; round < rounds; ++round) {
                run.ensemble.sample(300, 1, run.samples);
                const std::vector<float> v = run.v(), x = run.x();
                for (const float a : v) kinetic += 0.5 * 12 * static_cast<double>(a) * static_cast<double>(a);
                if (round % 10 != 0) continue;
                for (index t = 0; t < replicas; ++t) {
                    const std::vector<double> at = state(x, replicas, t);
                    for (const std::size_t leaf : {0u, 2u})
                        longest = std::max(longest, std::abs(bond(at, 1, leaf) / 0.15 - 1));
                }
            }
            CHECK(longest < 1e-5);
            // Seven degrees of freedom: the kinetic energy's relative standard error is √(2/7n) = 0.0011, or a
            // half more with what is left of the correlation, e^−1.2, of velocities a round apart.
            const double n = static_cast<double>(replicas * rounds);
            CHECK(std::abs(kinetic / n / (3.5 * kT300) - 1) < 0.003);
            std::vector<double> means(static_cast<std::size_t>(replicas), 0.0);
            const std::vector<float> theta = run.cv();
            for (std::size_t k = 0; k < theta.size(); ++k)
                means[k % means.size()] +=
                    std::pow(std::cos(static_cast<double>(theta[k])), 2) / static_cast<double>(rounds);
            double mean = 0, squares = 0;
            for (const double m : means) {
                mean += m / static_cast<double>(replicas);
                squares += m * m / static_cast<double>(replicas);
            }
            const double error = std::sqrt((squares - mean * mean) / static_cast<double>(replicas));
            CHECK(std::abs(mean - 0.321021) < 4 * error);
            CHECK(4 * error < (1.0 / 3 - 0.321021) / 2);  // flexible bonds would give 1/3
        }
}

TEST_CASE("the free energy of butane's dihedral angle is its torsion's energy") {
    for (const Device& device : quick_devices()) {
        const index replicas = 1024, rounds = 60;
        MoleculeSetup setup{MoleculeScheme::lf_middle, 0.002, 5, 300,
                            {{MoleculeCvKind::dihedral, {0, 1, 2, 3}}}, false};
        // A third of the replicas in each well: too many in gauche.
        Run run(device, butane(true), setup, replicas,
                {butane_at(std::numbers::pi), butane_at(1.1), butane_at(-1.1)}, replicas * rounds);
        run.ensemble.advance(60000);
        run.ensemble.sample(2000, rounds, run.samples);
        // Shares of bins of the circle, with errors from the spread over groups of replicas, which are
        // independent.
        constexpr int bins = 18, groups = 16;
        std::vector<std::vector<double>> share(groups, std::vector<double>(bins, 0.0));
        std::vector<double> trans(groups, 0.0);
        const std::vector<float> phi = run.cv();
        const double each = static_cast<double>(phi.size()) / groups;
        for (std::size_t k = 0; k < phi.size(); ++k) {
            const std::size_t group = k % static_cast<std::size_t>(replicas) % groups;
            const double at = static_cast<double>(phi[k]);
            const auto bin = static_cast<std::size_t>((at / (2 * std::numbers::pi) + 0.5) * bins);
            share[group][std::min<std::size_t>(bin, bins - 1)] += 1 / each;
            trans[group] += (std::abs(at) > 118.404 * std::numbers::pi / 180) / each;
        }
        double z = 0;
        std::vector<double> exact(bins, 0.0);
        for (int k = 0; k < 1000 * bins; ++k) {
            const double at = (2 * (k + 0.5) / (1000 * bins) - 1) * std::numbers::pi;
            const double w = std::exp(-butane_energy(at) / kT300);
            z += w;
            exact[static_cast<std::size_t>(k / 1000)] += w;
        }
        const auto check = [&](const auto& of_group, double expected) {
            double mean = 0, squares = 0;
            for (int g = 0; g < groups; ++g) {
                const double s = of_group(static_cast<std::size_t>(g));
                mean += s / groups;
                squares += s * s / groups;
            }
            const double error = std::sqrt(std::max(squares - mean * mean, 0.0) / (groups - 1));
            // Student's t with 15 degrees of freedom exceeds 5 once in 6000.
            CHECK(std::abs(mean - expected) < 5 * error + 0.02 * expected * (expected < 0.01));
            return error;
        };
        CHECK(check([&](std::size_t g) { return trans[g]; }, 0.66301) < 0.01);
        for (std::size_t b = 0; b < bins; ++b) {
            CAPTURE(b);
            if (exact[b] / z > 2e-3) check([&](std::size_t g) { return share[g][b]; }, exact[b] / z);
        }
    }
}

TEST_CASE("a bias on a dihedral angle goes round its period") {
    // Without a torsion the angle is uniform, and normal under a bias: mean, and variance kT/κ.
    for (const Device& device : quick_devices())
        for (const double center : {0.4, 3.1, -2.9}) {
            CAPTURE(center);
            const index replicas = 2048, rounds = 20;
            MoleculeSetup setup{MoleculeScheme::baoab, 0.002, 10, 300,
                                {{MoleculeCvKind::dihedral, {0, 1, 2, 3}}}, false};
            Run run(device, butane(false), setup, replicas, {butane_at(center)}, replicas * rounds);
            run.bias(center, 40);
            run.ensemble.advance(1000);
            run.ensemble.sample(250, rounds, run.samples);
            double mean = 0, square = 0;
            const auto n = static_cast<double>(replicas * rounds);
            for (const float phi : run.cv()) {
                const double away = std::remainder(static_cast<double>(phi) - center, 2 * std::numbers::pi);
                mean += away / n;
                square += away * away / n;
            }
            const double variance = kT300 / 40;
            // Half a picosecond apart, correlated over twice that at most; the scheme's error in a
            // variance, (ω dt)²/4 of this soft angle, is below 1e-4.
            CHECK(std::abs(mean) < 4 * std::sqrt(4 * variance / n));
            CHECK(std::abs(square / variance - 1) < 4 * std::sqrt(2 * 4 / n));
        }
}

TEST_CASE("without a thermostat the energy is kept to second order in the step") {
    for (const Device& device : test_devices()) {
        Molecule m = butane(true);
        m.exceptions.clear();
        m.solvent.kind = SolventKind::obc2;
        m.solvent.surface_energy = 28.3919551;
        for (std::size_t i = 0; i < 4; ++i) {
            m.atoms[i].charge = i % 2 ? 0.3 : -0.3;
            m.solvent.atoms.push_back({0.15 + 0.01 * static_cast<double>(i), 0.8, 1.0, 0.8, 4.85});
        }
        const auto spread = [&](double dt, uint64 steps) {
            MoleculeSetup setup{MoleculeScheme::baoab, dt, 0, 300, {}, false};
            std::vector<double> start = butane_at(1.3);
            start[0] += 0.004;  // of some kT
            start[10] -= 0.006;
            Run run(device, m, setup, 1, {start}, 1);
            MoleculeForces<double> forces(run.stream, m, 1);
            Buffer<double> at(device, 12), force(device, 12), energy(device, kForceTerms);
            double least = 1e300, most = -1e300;
            for (int k = 0; k < 40; ++k) {
                run.ensemble.advance(steps);
                double total = 0;
                for (const float v : run.v()) total += 7.5 * static_cast<double>(v) * static_cast<double>(v);
                const std::vector<double> x = state(run.x(), 1, 0);
                copy_to_device(run.stream, at.span(), x.data());
                forces.evaluate(run.stream, std::as_const(at).span(), 1, 1, force.span(), energy.span());
                for (const double e : to_host(run.stream, std::as_const(energy).span())) total += e;
                least = std::min(least, total);
                most = std::max(most, total);
            }
            return most - least;
        };
        const double coarse = spread(0.002, 5), fine = spread(0.001, 10);
        // Four times less; single precision's positions, 1e-8 nm at a force of 1e3, add 1e-4 at most.
        CHECK(coarse > 1e-3);
        CHECK(fine < coarse / 3 + 1e-4);
    }
}

TEST_CASE("a molecule's bits depend neither on threads nor on how steps are launched") {
    Molecule m = butane(true);
    m.bonds.erase(m.bonds.begin());
    m.rigid_bonds = {{{0, 1}, 0.153}};
    std::vector<float> expected;
    for (const int threads : {1, 2})
        for (const bool split : {false, true})
            for (const MoleculeScheme scheme : {MoleculeScheme::lf_middle, MoleculeScheme::baoab}) {
                MoleculeSetup setup{scheme, 0.002, 1, 300, {{MoleculeCvKind::dihedral, {0, 1, 2, 3}}}, false};
                Run run(Device::cpu(threads), m, setup, 77, {butane_at(2.0)}, 1);
                run.bias(2.0, 30);
                if (split)
                    for (const uint64 steps : {1, 999, 24, 1, 475}) run.ensemble.advance(steps);
                else
                    run.ensemble.advance(1500);
                std::vector<float> end = run.ensemble.save_state();
                if (scheme == MoleculeScheme::baoab) {
                    if (expected.empty()) expected = end;
                    CHECK(end == expected);
                } else {
                    CHECK(end != expected);
                }
            }
}

TEST_CASE("rigid bonds that form no star are refused") {
    Molecule m = chain_of(4, 12);
    for (index i = 0; i < 3; ++i) m.rigid_bonds.push_back({{i, i + 1}, 0.15});
    CHECK_THROWS_WITH_AS(molecule_stars(m, {}),
                         doctest::Contains("the rigid bond of atom 1 and atom 2 has further rigid bonds at both"),
                         InputError);
    Molecule water = chain_of(3, 12);
    for (index i = 0; i < 3; ++i) water.rigid_bonds.push_back({{i, (i + 1) % 3}, 0.1});
    CHECK_THROWS_WITH_AS(molecule_stars(water, {}),
                         doctest::Contains("the rigid bond of atom 0 and atom 1 has further rigid bonds at both"),
                         InputError);
    Molecule many = chain_of(6, 12);
    for (index i = 1; i < 6; ++i) many.rigid_bonds.push_back({{0, i}, 0.15});
    CHECK_THROWS_WITH_AS(molecule_stars(many, {}),
                         doctest::Contains("the rigid bond of atom 0 and atom 5 is one more than 4 of one atom"),
                         InputError);
}

TEST_CASE("a peptide with rigid bonds and heavy hydrogens has its temperature at 4 fs") {
    MoleculeFiles files;
    files.topology = molecule_data_path("ala2.prmtop");
    files.coordinates = molecule_data_path("ala2.inpcrd");
    files.rigid_hydrogen_bonds = true;
    files.hydrogen_mass = 3;
    const LoadedMolecule loaded = read_molecule(files);
    const Molecule& m = loaded.molecule;
    const double freedom = static_cast<double>(3 * m.size() - std::ssize(m.rigid_bonds));
    for (const Device& device : quick_devices()) {
        const index replicas = 1024, rounds = 40;
        MoleculeSetup setup;
        setup.dt = 0.004;
        setup.friction = 5;
        Run run(device, m, setup, replicas, {loaded.position}, 1);
        run.ensemble.advance(1000);
        double twice = 0;
        for (index round = 0; round < rounds; ++round) {
            run.ensemble.advance(60);
            const std::vector<float> v = run.v();
            for (std::size_t k = 0; k < v.size(); ++k) {
                const double speed = static_cast<double>(v[k]);
                twice += m.atoms[k / (3 * static_cast<std::size_t>(replicas))].mass * speed * speed;
            }
        }
        // 54 degrees of freedom: a standard error of √(2/54n) = 0.00095, and somewhat more by what e^−1.2 leaves
        // of the correlation of a round's velocities with the last's: 0.003 is three of them.
        const double n = static_cast<double>(replicas * rounds);
        CHECK(freedom == 54);
        CHECK(std::abs(twice / (freedom * n * kT300) - 1) < 0.003);
    }
}

TEST_CASE("a large molecule's solvent, whose pairs are not stored, moves the same on every device") {
    for (const auto& [kind, kappa] : {std::pair{SolventKind::gbn, 0.9}, std::pair{SolventKind::obc1, 0.0}}) {
        RandomMolecule random(kMostStored + 3, 5, kind, kappa);
        for (Atom& atom : random.molecule.atoms) atom.mass = 12;
        for (const bool portable : {true, false}) {
            MoleculeSetup setup;
            setup.dt = 1e-5;  // atoms at random places
            setup.portable_math = portable;
            SameBits same(portable);
            for (const Machine& machine : molecule_machines({32})) {
                const AskedLanes asked(machine.lanes);
                Run run(machine.device, random.molecule, setup, 2, {random.x}, 2);
                run.ensemble.sample(1, 1, run.samples);
                same.check(machine, run.x());
            }
        }
    }
}

// Every term of the energy, every solvent, rigid hydrogens, both schemes, a bias on every kind of variable.
TEST_CASE("a peptide takes the same steps on every machine in portable mathematics") {
    const SolventKind solvents[] = {SolventKind::none, SolventKind::hct, SolventKind::obc2, SolventKind::gbn,
                                    SolventKind::gbn2};
    for (std::size_t s = 0; s < 5; ++s) {
        CAPTURE(s);
        MoleculeFiles files;
        files.topology = molecule_data_path("ala_gly.prmtop");
        files.coordinates = molecule_data_path("ala_gly.inpcrd");
        files.solvent.kind = solvents[s];
        files.rigid_hydrogen_bonds = true;
        LoadedMolecule loaded = read_molecule(files);
        if (s % 2 == 1) loaded.molecule.solvent.kappa = 1.3;
        loaded.molecule.restraints.push_back({0, 100.0, {0.1, 0.2, 0.3}});
        loaded.molecule.ryckaert_torsions.push_back({{0, 1, 2, 3}, {1, 2, 3, 1, 0.5, 0.2}});
        MoleculeSetup setup;
        setup.scheme = s % 2 == 0 ? MoleculeScheme::lf_middle : MoleculeScheme::baoab;
        MoleculeVariable variables[] = {{MoleculeCvKind::dihedral, {4, 6, 8, 14}},
                                        {MoleculeCvKind::angle, {4, 6, 8}},
                                        {MoleculeCvKind::distance, {4, 14}},
                                        {MoleculeCvKind::coordination, {4, 6, 8}},
                                        {MoleculeCvKind::gyration, {1, 4, 6, 8, 14}},
                                        {MoleculeCvKind::rmsd, {1, 4, 6, 8}}};
        variables[3].others = {14, 16, 18};
        variables[4].by_mass = true;
        variables[5].reference = {0, 0, 0, 0.15, 0, 0, 0.2, 0.14, 0, 0.3, 0.1, 0.1};
        MoleculeVariable formula{MoleculeCvKind::formula, {}};
        // Of phi what has no cut: the peptide begins at a turn's half.
        formula.formula = "cos(phi)*exp(-2*size) + 0.3*tanh(d/0.4)^3 + atan(sin(phi))/(1 + d)";
        formula.names = {"phi", "size", "d"};
        formula.of = {variables[0], variables[4], variables[2]};
        MoleculeVariable functions = formula;
        functions.formula = "log(2 + d) + sqrt(d) + sin(phi) + cos(d) + sinh(d)*cosh(size) + erf(d - 0.2) + "
                            "abs(sin(phi) - d) + min(d, 0.3) + max(size, 0.2) + min(d, size) + max(d, size) + d^2.5 + "
                            "1/d - size/d + 2 - d + exp(-d*d) - tanh(size)*d + exp(d) + d*size - 3*size + 2*d";
        setup.cvs = {variables[s], s == 3 ? functions : s == 2 ? formula : s == 4 ? variables[5] : variables[(s + 3) % 6]};
        for (const bool portable : {true, false}) {
            setup.portable_math = portable;
            SameBits same(portable);
            for (const Machine& machine : molecule_machines({8})) {
                const AskedLanes asked(machine.lanes);
                Run run(machine.device, loaded.molecule, setup, 33, {loaded.position}, 66);
                run.bias(0.4, 50);
                run.ensemble.sample(3, 2, run.samples);
                std::vector<float> found = run.x();
                const std::vector<float> cv = run.cv();
                found.insert(found.end(), cv.begin(), cv.end());
                same.check(machine, found);
            }
            // The fast mathematics draws another noise, which six steps turn into less than 0.05 nm or rad.
            CHECK(same.apart() <= (portable ? 0.0f : 0.05f));
        }
    }
}

// Rigid stars of no leaf to four, far from the origin, for as long as it takes to bring their centre back.
TEST_CASE("stars of every size take the same steps on every machine in portable mathematics, about the origin") {
    const StarMolecule stars;
    const Molecule& m = stars.molecule;
    for (const bool portable : {true, false})
        for (const MoleculeScheme scheme : {MoleculeScheme::lf_middle, MoleculeScheme::baoab}) {
            CAPTURE(portable);
            CAPTURE(static_cast<int>(scheme));
            SameBits same(portable);
            for (const Machine& machine : molecule_machines({16})) {
                const AskedLanes asked(machine.lanes);
                const bool turns = scheme == MoleculeScheme::lf_middle;  // its steps cost less
                Run run(machine.device, m, {scheme, 0.001, 1, 300, {}, portable}, 3, {stars.x}, 1);
                run.ensemble.advance(turns ? 1026 : 3);
                const std::vector<float> rows = run.x();
                same.check(machine, run.ensemble.save_state());
                for (index t = 0; t < 3; ++t) {
                    const std::vector<double> x = state(rows, 3, t);
                    for (const auto& b : m.rigid_bonds)
                        CHECK(std::abs(bond(x, static_cast<std::size_t>(b.atoms[0]),
                                            static_cast<std::size_t>(b.atoms[1])) / StarMolecule::kLength - 1) < 1e-5);
                    // Two steps after it was there: five atoms of mass 14 and ten of mass 1 go 2e-4 nm a step.
                    double centre[3] = {};
                    for (std::size_t k = 0; k < x.size(); ++k) centre[k % 3] += x[k] / 15;
                    for (const double at : centre) CHECK((std::abs(at) < 0.01) == turns);
                }
            }
        }
}

// What is kept of pairs in a small molecule is computed again in a large one.
TEST_CASE("many molecules side by side take the same step on every machine in portable mathematics") {
    for (const SolventKind kind : {SolventKind::obc2, SolventKind::gbn2}) {
        CAPTURE(static_cast<int>(kind));
        MoleculeFiles files;
        files.topology = molecule_data_path("ala2.prmtop");
        files.coordinates = molecule_data_path("ala2.inpcrd");
        files.solvent.kind = kind;
        files.rigid_hydrogen_bonds = true;
        const LoadedMolecule one = read_molecule(files);
        const index n = one.molecule.size(), copies = 9;
        Molecule all = one.molecule;
        if (kind == SolventKind::gbn2) all.solvent.kappa = 1.3;
        std::vector<double> position = one.position;
        for (index c = 1; c < copies; ++c) {
            const auto moved = [&](auto terms) {
                for (auto& term : terms)
                    for (index& atom : term.atoms) atom += c * n;
                return terms;
            };
            const auto add = [&](auto& to, const auto& from) { to.insert(to.end(), from.begin(), from.end()); };
            add(all.atoms, one.molecule.atoms);
            add(all.bonds, moved(one.molecule.bonds));
            add(all.angles, moved(one.molecule.angles));
            add(all.torsions, moved(one.molecule.torsions));
            add(all.exceptions, moved(one.molecule.exceptions));
            add(all.rigid_bonds, moved(one.molecule.rigid_bonds));
            add(all.solvent.atoms, one.molecule.solvent.atoms);
            for (std::size_t k = 0; k < one.position.size(); ++k)
                position.push_back(one.position[k] + 0.9 * static_cast<double>(k % 3 == 0 ? c % 3 : k % 3 == 1 ? c / 3 : 0));
        }
        for (const bool portable : {true, false}) {
            MoleculeSetup setup;
            setup.portable_math = portable;
            setup.cvs = {{MoleculeCvKind::dihedral, {4, 6, 8, 14}}};
            SameBits same(portable);
            for (const Machine& machine : molecule_machines({32})) {
                const AskedLanes asked(machine.lanes);
                Run run(machine.device, all, setup, 2, {position}, 2);
                run.bias(0.4, 50);
                run.ensemble.sample(1, 1, run.samples);
                same.check(machine, run.x());
            }
            CHECK(same.apart() <= (portable ? 0.0f : 0.05f));
        }
    }
}

// A replica for each warp, and four of them with a team each; one is left over.
TEST_CASE("a small protein takes the same steps by teams of any size") {
    for (const SolventKind kind : {SolventKind::none, SolventKind::obc2}) {
        CAPTURE(static_cast<int>(kind));
        const std::string name = std::string(MICROLIFT_SOURCE_DIR) + "/bench/data/cln025";
        MoleculeFiles files;
        files.topology = name + ".prmtop";
        files.coordinates = name + "_folded.inpcrd";
        files.solvent.kind = kind;
        files.rigid_hydrogen_bonds = true;
        const LoadedMolecule loaded = read_molecule(files);
        for (const bool portable : {true, false}) {
            MoleculeSetup setup;
            setup.dt = 0.002;
            setup.portable_math = portable;
            setup.cvs = {{MoleculeCvKind::distance, {4, 146}}};
            SameBits same(portable);
            for (const Machine& machine : molecule_machines({32, 8})) {
                const AskedLanes asked(machine.lanes);
                Run run(machine.device, loaded.molecule, setup, 3, {loaded.position}, 3);
                run.bias(0.5, 500);
                run.ensemble.sample(2, 1, run.samples);
                same.check(machine, run.ensemble.save_state());
            }
        }
    }
}

}  // namespace microlift
