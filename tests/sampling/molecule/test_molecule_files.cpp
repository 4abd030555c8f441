// Molecules as AMBER and OpenMM write them, each reader against the other program's file.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <numeric>
#include <set>

#include "engine/at.h"
#include "engine/error.h"
#include "engine/files/files.h"
#include "sampling/molecule/elements.h"
#include "sampling/molecule/files/amber_topology.h"
#include "sampling/molecule/files/coordinates.h"
#include "sampling/molecule/files/openmm_system.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/molecule/hydrogens.h"
#include "sampling/molecule/neck_table.h"
#include "tests/sampling/molecule/molecule_data.h"

namespace microlift {

namespace {

Molecule prmtop(const std::string& text, SolventKind kind = SolventKind::none) {
    SolventOptions options;
    options.kind = kind;
    return read_amber_topology(TextFile("test.prmtop", text), options);
}

std::map<std::array<index, 2>, PairException> by_pair(const Molecule& molecule) {
    std::map<std::array<index, 2>, PairException> found;
    for (const PairException& e : molecule.exceptions) {
        CHECK(e.atoms[0] < e.atoms[1]);
        CHECK(found.emplace(e.atoms, e).second);
    }
    return found;
}

// The prmtop's text has eight digits.
constexpr double kEightDigits = 1e-7;

doctest::Approx near(double value) { return doctest::Approx(value).epsilon(kEightDigits); }

}  // namespace

TEST_CASE("alanine dipeptide: what tleap wrote") {
    const Molecule m = prmtop(molecule_data("ala2.prmtop"));
    REQUIRE(m.size() == 22);
    CHECK(m.bonds.size() == 21);
    CHECK(m.angles.size() == 36);
    CHECK(m.exceptions.size() == 98);
    CHECK(m.maps.empty());
    CHECK(m.solvent.kind == SolventKind::none);
    CHECK(m.atoms[8].name == "CA");
    CHECK(m.atoms[8].residue == "ALA");
    CHECK(m.atoms[8].residue_number == 2);
    CHECK(m.atoms[8].element == 6);
    CHECK(m.atoms[21].residue == "NME");
    CHECK(atom_label(m, 8) == "ALA2:CA");
    double charge = 0;
    for (const Atom& a : m.atoms) charge += a.charge;
    CHECK(charge == doctest::Approx(0).epsilon(1e-6));
    // ff14SB: C=O 570 kcal/mol/Å², 1.229 Å; E = k(r − r₀)² there, half of it here.
    const auto carbonyl = std::find_if(m.bonds.begin(), m.bonds.end(), [](const Bond& b) {
        return b.atoms == std::array<index, 2>{4, 5};
    });
    REQUIRE(carbonyl != m.bonds.end());
    CHECK(carbonyl->length == near(0.1229));
    CHECK(carbonyl->stiffness == near(2 * 570 * 418.4));
    // Its carbon has r_min/2 = 1.908 Å, ε = 0.086 kcal/mol.
    CHECK(m.atoms[4].sigma == near(2 * 0.1908 / std::pow(2.0, 1.0 / 6)));
    CHECK(m.atoms[4].epsilon == near(0.086 * 4.184));
    const auto pairs = by_pair(m);
    // C–N–CA–C of φ: 1–4, Coulomb by 1.2, Lennard-Jones by 2.
    const PairException phi = pairs.at({4, 14});
    CHECK(phi.charge_product == near(m.atoms[4].charge * m.atoms[14].charge / 1.2));
    CHECK(phi.epsilon == near(0.086 * 4.184 / 2));
    CHECK(phi.sigma == near(m.atoms[4].sigma));
    CHECK(pairs.at({4, 8}).charge_product == 0);  // 1–3
    CHECK(pairs.at({4, 8}).epsilon == 0);
    CHECK(pairs.count({0, 21}) == 0);
}

TEST_CASE("OpenMM's System of the same molecule says the same, solvent and all") {
    SolventOptions options;
    options.kind = SolventKind::gbn2;
    options.salt = 0.1;
    Molecule a = read_amber_topology(TextFile("a.prmtop", molecule_data("ala2.prmtop")), options);
    make_hydrogen_bonds_rigid(a);
    std::vector<std::string> notes;
    const Molecule b = read_openmm_system(TextFile("b.xml", molecule_data("ala2_gbn2.xml")), notes);
    CHECK(notes.size() == 1);  // of CMMotionRemover
    REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.atoms.size(); ++i) {
        CHECK(a.atoms[i].charge == near(b.atoms[i].charge));
        CHECK(a.atoms[i].mass == near(b.atoms[i].mass));
        CHECK(a.atoms[i].element == b.atoms[i].element);
        CHECK(a.atoms[i].epsilon == near(b.atoms[i].epsilon));
        if (b.atoms[i].epsilon > 0) CHECK(a.atoms[i].sigma == near(b.atoms[i].sigma));
        const auto &s = a.solvent.atoms[i], &t = b.solvent.atoms[i];
        CHECK(s.radius == near(t.radius));
        CHECK(s.scale == near(t.scale));
        CHECK(s.alpha == near(t.alpha));
        CHECK(s.beta == near(t.beta));
        CHECK(s.gamma == near(t.gamma));
    }
    CHECK(a.solvent.kind == b.solvent.kind);
    CHECK(a.solvent.offset == b.solvent.offset);
    CHECK(a.solvent.neck_scale == b.solvent.neck_scale);
    CHECK(a.solvent.neck_cut == b.solvent.neck_cut);
    CHECK(a.solvent.surface_energy == b.solvent.surface_energy);
    CHECK(a.solvent.kappa == doctest::Approx(b.solvent.kappa).epsilon(1e-12));
    REQUIRE(a.bonds.size() == b.bonds.size());
    for (std::size_t i = 0; i < a.bonds.size(); ++i) {
        CHECK(a.bonds[i].atoms == b.bonds[i].atoms);
        CHECK(a.bonds[i].length == near(b.bonds[i].length));
        CHECK(a.bonds[i].stiffness == near(b.bonds[i].stiffness));
    }
    REQUIRE(a.rigid_bonds.size() == 12);
    REQUIRE(b.rigid_bonds.size() == 12);
    for (std::size_t i = 0; i < 12; ++i) {
        CHECK(a.rigid_bonds[i].atoms == b.rigid_bonds[i].atoms);
        CHECK(a.rigid_bonds[i].length == near(b.rigid_bonds[i].length));
    }
    REQUIRE(a.angles.size() == b.angles.size());
    for (std::size_t i = 0; i < a.angles.size(); ++i) {
        CHECK(a.angles[i].atoms == b.angles[i].atoms);
        CHECK(a.angles[i].stiffness == near(b.angles[i].stiffness));
        CHECK(a.angles[i].angle == near(b.angles[i].angle));
    }
    std::size_t t = 0;
    for (const Torsion& torsion : b.torsions) {
        if (torsion.stiffness == 0) continue;  // the prmtop's are left out
        REQUIRE(t < a.torsions.size());
        CHECK(a.torsions[t].atoms == torsion.atoms);
        CHECK(a.torsions[t].periodicity == torsion.periodicity);
        CHECK(a.torsions[t].phase == near(torsion.phase));
        CHECK(a.torsions[t].stiffness == near(torsion.stiffness));
        ++t;
    }
    CHECK(t == a.torsions.size());
    const auto ours = by_pair(a), theirs = by_pair(b);
    REQUIRE(ours.size() == theirs.size());
    for (const auto& [pair, e] : theirs) {
        REQUIRE(ours.count(pair) == 1);
        CHECK(ours.at(pair).charge_product == near(e.charge_product));
        CHECK(ours.at(pair).epsilon == near(e.epsilon));
        if (e.epsilon > 0) CHECK(ours.at(pair).sigma == near(e.sigma));
    }
    std::set<std::array<index, 2>> bonds, others;
    for (auto pair : a.bonded) bonds.insert({std::min(pair[0], pair[1]), std::max(pair[0], pair[1])});
    for (auto pair : b.bonded) others.insert(pair);
    CHECK(bonds == others);
}

TEST_CASE("solvents have their parameters by model") {
    const std::string text = molecule_data("ala2.prmtop");
    const struct {
        SolventKind kind;
        double offset, neck, alpha, beta, gamma, scale;  // of the first carbon
    } models[]{{SolventKind::hct, 0.009, 0, 0, 0, 0, 0.72},
               {SolventKind::obc1, 0.009, 0, 0.8, 0, 2.909125, 0.72},
               {SolventKind::obc2, 0.009, 0, 1, 0.8, 4.85, 0.72},
               {SolventKind::gbn, 0.009, 0.361825, 1.09511284, 1.907992938, 2.50798245, 0.4843538233},
               {SolventKind::gbn2, 0.0195141, 0.826836, 0.733756, 0.506378, 0.205844, 1.058554}};
    for (const auto& model : models) {
        const Molecule m = prmtop(text, model.kind);
        CAPTURE(solvent_name(model.kind));
        CHECK(m.solvent.kind == model.kind);
        CHECK(m.solvent.offset == model.offset);
        CHECK(m.solvent.neck_scale == model.neck);
        CHECK(m.solvent.kappa == 0);
        CHECK(m.solvent.surface_energy == kSurfaceEnergy);
        CHECK(m.solvent.atoms[1].alpha == model.alpha);
        CHECK(m.solvent.atoms[1].beta == model.beta);
        CHECK(m.solvent.atoms[1].gamma == model.gamma);
        CHECK(m.solvent.atoms[1].scale == near(model.scale));
        CHECK(m.solvent.atoms[1].radius == near(0.17));
        SolventKind again = SolventKind::none;
        CHECK(solvent_kind(solvent_name(model.kind), again));
        CHECK(again == model.kind);
    }
    SolventKind none = SolventKind::hct;
    CHECK_FALSE(solvent_kind("pcm", none));
    // 0.1 mol/l in water at 298 K screens within 0.96 nm; by 0.73, 1.32 nm.
    CHECK(1 / debye_kappa(0.1, 78.5, 298.15) == doctest::Approx(1.32).epsilon(0.01));
}

TEST_CASE("necks of unequal radii") {
    // The first entries of the tables; between them, bilinear; beyond them, the last.
    CHECK(neck_between(0.1, 0.1).distance == doctest::Approx(0.226685));
    CHECK(neck_between(0.105, 0.1).distance == doctest::Approx(0.232548));
    CHECK(neck_between(0.1, 0.105).distance == doctest::Approx(0.231191));
    CHECK(neck_between(0.1025, 0.1).distance == doctest::Approx((0.226685 + 0.232548) / 2));
    CHECK(neck_between(0.1, 0.1).height == doctest::Approx(0.381511));
    CHECK(neck_between(0.2, 0.2).height == doctest::Approx(0.111863));
    CHECK(neck_between(0.3, 0.2).height == doctest::Approx(0.111863));
}

TEST_CASE("coefficients beside the mixing rule become exceptions of their pairs") {
    std::string text = molecule_data("ala2.prmtop");
    const Molecule plain = prmtop(text);
    // The fourth A and B are those of the types 1 and 3: HC and C, which are 1-4 in HB-CB-CA-C.
    set_section_field(text, "LENNARD_JONES_ACOEF", 3, 16, "  2.00000000E+05");
    set_section_field(text, "LENNARD_JONES_BCOEF", 3, 16, "  2.00000000E+02");
    const Molecule fixed = prmtop(text);
    CHECK(fixed.exceptions.size() > plain.exceptions.size());
    const auto before = by_pair(plain), after = by_pair(fixed);
    index changed = 0;
    for (const auto& [pair, e] : after) {
        if (before.count(pair)) continue;
        ++changed;
        CHECK(e.sigma == near(std::pow(1000.0, 1.0 / 6) / 10));
        CHECK(e.epsilon == near(200.0 * 200 / (4 * 2e5) * 4.184));
        CHECK(e.charge_product ==
              near(plain.atoms[at(pair[0])].charge * plain.atoms[at(pair[1])].charge));
    }
    CHECK(changed > 0);
    // A torsion's 1–4 pair of these types takes them, too.
    bool scaled = false;
    for (const auto& [pair, e] : before)
        if (e.epsilon > 0 && after.at(pair).epsilon != e.epsilon) {
            scaled = true;
            CHECK(after.at(pair).epsilon == near(200.0 * 200 / (4 * 2e5) * 4.184 / 2));
        }
    CHECK(scaled);
}

TEST_CASE("correction maps begin at zero here, at -180 degrees in the prmtop") {
    const Molecule m = prmtop(molecule_data("ala_gly.prmtop"));
    REQUIRE(m.maps.size() == 2);
    REQUIRE(m.correction_terms.size() == 2);
    REQUIRE(m.maps[0].size == 24);
    const std::string text = molecule_data("ala_gly.prmtop");
    const auto entry = [&](index i) {
        return std::stod(section_field(text, "CMAP_PARAMETER_01", i, 9)) * 4.184;
    };
    // (−180°, −180°), then the second angle by 15°, then the first.
    CHECK(m.maps[0].energy[at(12 + 24 * 12)] == near(entry(0)));
    CHECK(m.maps[0].energy[at(12 + 24 * 13)] == near(entry(1)));
    CHECK(m.maps[0].energy[at(13 + 24 * 12)] == near(entry(24)));
    CHECK(m.maps[0].energy[0] == near(entry(24 * 12 + 12)));
    const CorrectionTerm& term = m.correction_terms[0];
    CHECK(std::equal(term.first.begin() + 1, term.first.end(), term.second.begin()));
    CHECK(m.atoms[at(term.first[2])].name == "CA");
}

TEST_CASE("hydrogens: rigid bonds, and mass lent to them") {
    Molecule m = prmtop(molecule_data("ala2.prmtop"));
    double total = 0;
    for (const Atom& a : m.atoms) total += a.mass;
    make_hydrogen_bonds_rigid(m);
    CHECK(m.rigid_bonds.size() == 12);
    CHECK(m.bonds.size() == 9);
    CHECK(m.bonded.size() == 21);
    make_hydrogen_bonds_rigid(m);
    CHECK(m.rigid_bonds.size() == 12);
    repartition_hydrogen_mass(m, 3.024);
    double after = 0;
    for (const Atom& a : m.atoms) {
        after += a.mass;
        if (a.element == 1) CHECK(a.mass == 3.024);
        CHECK(a.mass > 0);
    }
    CHECK(after == doctest::Approx(total).epsilon(1e-12));
    CHECK(m.atoms[1].mass == near(12.01 - 3 * (3.024 - 1.008)));
    CHECK_THROWS_WITH_AS(repartition_hydrogen_mass(m, 6), doctest::Contains("leaves no mass to "),
                         InputError);
    // Water with a bond between its hydrogens, as AMBER writes it: three rigid bonds would be a triangle.
    Molecule water;
    water.atoms = {{"O", "WAT", "", 1, 8, 16}, {"H1", "WAT", "", 1, 1, 1}, {"H2", "WAT", "", 1, 1, 1}};
    water.bonds = {{{0, 1}, 0.1, 1}, {{0, 2}, 0.1, 1}, {{1, 2}, 0.15, 1}};
    for (const Bond& bond : water.bonds) water.bonded.push_back(bond.atoms);
    CHECK_THROWS_WITH_AS(make_hydrogen_bonds_rigid(water), doctest::Contains("WAT1:H1"), InputError);
}

TEST_CASE("an atom is a hydrogen by its element or mass, or a question is asked") {
    Molecule m;
    m.atoms = {{"", "", "", 1, 0, 15.035}, {"", "", "", 1, 0, 3.024}};
    CHECK_FALSE(is_hydrogen(m, 0));
    CHECK_THROWS_AS(is_hydrogen(m, 1), InputError);
    CHECK(element_of_mass(14.027) == 0);  // a united CH2 is no nitrogen
    CHECK(element_of_mass(14.01) == 7);
    CHECK(element_of_mass(1.008) == 1);
    CHECK(element_of_name("CA", 12.01) == 6);
    CHECK(element_of_name("CA", 40.08) == 20);
    CHECK(element_of_name("CL1", 35.45) == 17);
    CHECK(element_of_name("1HB", 1.008) == 1);
    CHECK(symbol_of_element(17) == "Cl");
    CHECK(element_of_symbol("CL") == 17);
    CHECK(element_of_symbol("Q") == 0);
}

TEST_CASE("a whole molecule from its files, whatever their kinds") {
    MoleculeFiles files;
    files.topology = molecule_data_path("ala2.prmtop");
    files.coordinates = molecule_data_path("ala2.inpcrd");
    files.rigid_hydrogen_bonds = true;
    files.hydrogen_mass = 3;
    const LoadedMolecule amber = read_molecule(files);
    REQUIRE(amber.position.size() == 66);
    CHECK(amber.velocity.empty());
    CHECK(amber.molecule.rigid_bonds.size() == 12);
    CHECK(amber.molecule.atoms[0].mass == 3);
    files.coordinates = molecule_data_path("ala2_state.xml");
    const LoadedMolecule state = read_molecule(files);
    REQUIRE(state.velocity.size() == 66);
    files.topology = molecule_data_path("ala2_gbn2.xml");
    files.coordinates = molecule_data_path("ala2.pdb");
    const LoadedMolecule pdb = read_molecule(files);
    for (std::size_t i = 0; i < 66; ++i) {
        CHECK(std::fabs(state.position[i] - amber.position[i]) < 1e-7);
        CHECK(std::fabs(pdb.position[i] - amber.position[i]) < 0.51e-4);  // of three decimals in Å
    }
    CHECK(pdb.molecule.atoms[8].name == "CA");
    CHECK(atom_label(pdb.molecule, 8) == "ALA2:CA");
    // The same atoms in another order.
    std::string exchanged = molecule_data("ala2.pdb");
    const std::size_t second = exchanged.find('\n') + 1, third = exchanged.find('\n', second) + 1;
    exchanged = exchanged.substr(second, third - second) + exchanged.substr(0, second) + exchanged.substr(third);
    const auto path = std::filesystem::temp_directory_path() /
                      ("microlift_" + std::to_string(::getpid()) + "_exchanged.pdb");
    write_file(path, exchanged);
    files.coordinates = path;
    CHECK_THROWS_WITH_AS(read_molecule(files), doctest::Contains("atom 1 (ACE CH3) is C, in the topology H"),
                         InputError);
    std::filesystem::remove(path);
    files.coordinates = molecule_data_path("ala2.pdb");
    files.solvent.kind = SolventKind::obc2;
    CHECK_THROWS_WITH_AS(read_molecule(files), doctest::Contains("carries its own solvent"), InputError);
    files.topology = molecule_data_path("ala_gly.prmtop");
    CHECK_THROWS_WITH_AS(read_molecule(files), doctest::Contains("it has 22 atoms, the topology 29"),
                         InputError);
}

}  // namespace microlift
