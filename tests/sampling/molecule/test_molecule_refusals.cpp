// Damaged and unsupported files of molecules: each is refused in one line that names file and place.
#include <doctest/doctest.h>

#include <functional>

#include "engine/error.h"
#include "sampling/molecule/files/amber_topology.h"
#include "sampling/molecule/files/coordinates.h"
#include "sampling/molecule/files/openmm_system.h"
#include "sampling/molecule/files/pdb.h"
#include "tests/sampling/molecule/molecule_data.h"

namespace microlift {

namespace {

using Edit = std::function<void(std::string&)>;

struct Refusal {
    const char* name;
    Edit edit;
    const char* message;  // a part of it
    bool has_line = true;
};

Edit set_field(const char* flag, index field, const char* value, std::size_t width = 8) {
    return [=](std::string& text) { set_section_field(text, flag, field, width, value); };
}

Edit replace(const char* from, const char* to) {
    return [=](std::string& text) { replace_text(text, from, to); };
}

Edit rename_flag(const char* flag) {
    return [=](std::string& text) { replace_text(text, std::string("%FLAG ") + flag + " ", "%FLAG OTHER "); };
}

Edit append(const char* more) {
    return [=](std::string& text) { text += more; };
}

// Everything behind a place.
Edit cut(const char* from, std::size_t keep = 0) {
    return [=](std::string& text) { text.resize(text.find(from) + keep); };
}

void check_refused(const Refusal& refusal, const std::string& file, std::string text,
                   const std::function<void(const TextFile&)>& read) {
    CAPTURE(refusal.name);
    refusal.edit(text);
    try {
        read(TextFile(file, text));
        FAIL("it was not refused");
    } catch (const InputError& error) {
        const std::string message = error.what();
        CAPTURE(message);
        CHECK(message.find('\n') == std::string::npos);
        CHECK(message.find(refusal.message) != std::string::npos);
        CHECK(message.compare(0, file.size() + 1, file + ":") == 0);
        const char next = message[file.size() + 1];
        CHECK((next >= '1' && next <= '9') == refusal.has_line);
        CHECK(message.size() < 300);
    }
}

}  // namespace

TEST_CASE("damaged and unsupported prmtop files") {
    const std::string text = molecule_data("ala2.prmtop");
    const Refusal refusals[]{
        {"empty", [](std::string& t) { t.clear(); }, "no %FLAG", false},
        {"another file", [](std::string& t) { t = "hello\n"; }, "this is no AMBER prmtop file"},
        {"a flag twice", append("%FLAG CHARGE\n%FORMAT(5E16.8)\n"), "CHARGE stands in line"},
        {"data without a format", append("%FLAG X\n  1\n"), "data without a %FORMAT"},
        {"a format of no sense", append("%FLAG X\n%FORMAT(10Q8)\n"), "cannot be read"},
        {"a format of no width", append("%FLAG X\n%FORMAT(10I)\n"), "cannot be read"},
        {"a huge width", append("%FLAG X\n%FORMAT(10I99999999999999999999)\n"), "cannot be read"},
        {"a compressed file", replace("%VERSION", "\x1f\x8b%VERSION"), "it is compressed", false},
        {"characters of 16 bits", replace("%VERSION", "\xff\xfe%VERSION"), "16 bits", false},
        {"itself twice", [](std::string& t) { t += t; }, "stands in line"},
        {"charges as integers",
         [](std::string& t) { t.replace(t.find("%FORMAT", t.find("%FLAG CHARGE ")), 15, "%FORMAT(10I8)  "); },
         "CHARGE: "},
        {"narrow charges",
         [](std::string& t) { t.replace(t.find("%FORMAT", t.find("%FLAG CHARGE ")), 15, "%FORMAT(5E15.8)"); },
         "keep to its %FORMAT"},
        {"types as numbers",
         [](std::string& t) { t.replace(t.find("%FORMAT", t.find("%FLAG ATOM_TYPE")), 15, "%FORMAT(5E16.8)"); },
         "is not an integer"},
        {"a bond of negative length", set_field("BOND_EQUIL_VALUE", 0, "-1.09", 16), "may not be negative"},
        {"a bond that pushes", set_field("BOND_FORCE_CONSTANT", 0, "-340.0", 16), "may not be negative"},
        {"cut off", cut("%FLAG BONDS_WITHOUT"), "BONDS_WITHOUT_HYDROGEN is missing", false},
        {"cut within charges", cut("%FLAG MASS", 0), "MASS is missing", false},
        {"no charges", rename_flag("CHARGE"), "%FLAG CHARGE is missing", false},
        {"no pointers", rename_flag("POINTERS"), "%FLAG POINTERS is missing", false},
        {"a hundred million atoms", set_field("POINTERS", 0, "99999999"), "NATOM is 99999999"},
        {"more atoms than there are", set_field("POINTERS", 0, "99999"), "99999 fields"},
        {"no atom", set_field("POINTERS", 0, "0"), "NATOM is 0"},
        {"a negative size", set_field("POINTERS", 2, "-12"), "POINTERS: number 3 is -12"},
        {"more bonds than there are", set_field("POINTERS", 2, "13"), "NBONH of POINTERS"},
        {"more types than atoms", set_field("POINTERS", 1, "23"), "NTYPES is 23"},
        {"a charge that is no number", set_field("CHARGE", 3, "****************", 16), "is not a number"},
        {"a charge that is not finite", set_field("CHARGE", 3, "nan", 16), "'nan' is not a number"},
        {"an atom without mass", set_field("MASS", 7, "0.0", 16), "atom 8 (H) has no mass"},
        {"a bond to no atom", set_field("BONDS_INC_HYDROGEN", 1, "66"), "66 names no atom"},
        {"a bond to a third of an atom", set_field("BONDS_INC_HYDROGEN", 1, "7"), "7 names no atom"},
        {"a bond of an atom to itself", set_field("BONDS_INC_HYDROGEN", 1, "3"), "stands twice"},
        {"a bond of no kind", set_field("BONDS_INC_HYDROGEN", 2, "99"), "99 is no kind of term"},
        {"an angle of kind zero", set_field("ANGLES_INC_HYDROGEN", 3, "0"), "0 is no kind of term"},
        {"a torsion with a negative first atom", set_field("DIHEDRALS_INC_HYDROGEN", 0, "-15"),
         "-15 names no atom"},
        {"a torsion of half a period", set_field("DIHEDRAL_PERIODICITY", 0, "1.5", 16), "give 1, 2, 3"},
        {"an excluded atom that is none", set_field("EXCLUDED_ATOMS_LIST", 0, "23"), "23 is no other atom"},
        {"too many excluded atoms", set_field("NUMBER_EXCLUDED_ATOMS", 2, "500"), "atom 3 excludes 500"},
        {"a type that is none", set_field("ATOM_TYPE_INDEX", 2, "12"), "12 is no type"},
        {"a pair of types without coefficients", set_field("NONBONDED_PARM_INDEX", 2, "999"),
         "999 is beyond"},
        {"repulsion without attraction", set_field("LENNARD_JONES_BCOEF", 0, "0.0", 16), "no minimum"},
        {"a residue that begins nowhere", set_field("RESIDUE_POINTER", 1, "70"), "residue 1 begins"},
        {"a scale of zero", set_field("SCEE_SCALE_FACTOR", 0, "0.0", 16), "SCEE_SCALE_FACTOR: torsion kind"},
        {"a periodic box", set_field("POINTERS", 27, "1"), "periodic boxes are not supported"},
        {"a water cap", set_field("POINTERS", 29, "1"), "water caps are not supported"},
        {"perturbation", set_field("POINTERS", 20, "1"), "perturbed topologies are not supported"},
        {"extra points", set_field("POINTERS", 30, "4"), "extra points are not supported"},
        {"copies", set_field("POINTERS", 9, "1"), "LES"},
        {"CHARMM", append("%FLAG CTITLE\n%FORMAT(a80)\n\n"), "CHAMBER"},
        {"polarisable", [](std::string& t) {
             if (t.find("%FLAG IPOL") == std::string::npos) t += "%FLAG IPOL\n%FORMAT(1I8)\n       0\n";
             set_section_field(t, "IPOL", 0, 8, "1");
         }, "polarisable force field is not supported"},
        {"12-6-4", append("%FLAG LENNARD_JONES_CCOEF\n%FORMAT(5E16.8)\n"), "12-6-4"},
        {"AMOEBA", append("%FLAG AMOEBA_FORCEFIELD\n%FORMAT(i5)\n    1\n"), "AMOEBA"},
        {"10-12", [](std::string& t) {
             set_section_field(t, "POINTERS", 19, 8, "1");
             for (const char* flag : {"HBOND_ACOEF", "HBOND_BCOEF"}) {
                 const std::size_t at = t.find("%FORMAT", t.find(std::string("%FLAG ") + flag));
                 t.insert(t.find('\n', at) + 1, "  7.50000000E+03\n");
             }
         }, "10-12"},
    };
    for (const Refusal& refusal : refusals)
        check_refused(refusal, "test.prmtop", text,
                      [](const TextFile& file) { read_amber_topology(file, {}); });
}

TEST_CASE("a prmtop and the solvent that is asked for") {
    const std::string text = molecule_data("ala2.prmtop");
    SolventOptions options;
    options.kind = SolventKind::gbn2;
    for (const Refusal& refusal :
         {Refusal{"no radii", rename_flag("RADII"), "needs the section %FLAG RADII", false},
          Refusal{"a radius beyond the necks'", set_field("RADII", 4, "2.2", 16), "ACE1:C has the radius"},
          Refusal{"no radius", set_field("RADII", 4, "0.0", 16), "ACE1:C has the radius"}})
        check_refused(refusal, "test.prmtop", text,
                      [&](const TextFile& file) { read_amber_topology(file, options); });
}

TEST_CASE("damaged and unsupported maps") {
    const std::string text = molecule_data("ala_gly.prmtop");
    for (const Refusal& refusal :
         {Refusal{"an odd resolution", set_field("CMAP_RESOLUTION", 0, "23", 4), "give an even number"},
          Refusal{"another resolution", set_field("CMAP_RESOLUTION", 0, "12", 4), "more than 144 fields"},
          Refusal{"a map that is none", set_field("CMAP_INDEX", 5, "7"), "7 is no map"},
          Refusal{"an atom that is none", set_field("CMAP_INDEX", 0, "0"), "0 names no atom"}})
        check_refused(refusal, "test.prmtop", text,
                      [](const TextFile& file) { read_amber_topology(file, {}); });
}

TEST_CASE("damaged and unsupported Systems of OpenMM") {
    const std::string text = molecule_data("ala2_gbn2.xml");
    const auto forces = [](std::string force) -> Edit {
        return [force](std::string& t) { replace_text(t, "<Forces>", "<Forces>\n" + force); };
    };
    const Refusal refusals[]{
        {"cut off", cut("</Forces>"), "this XML cannot be read"},
        {"another document", [](std::string& t) { t = "<html></html>"; }, "<html> is not OpenMM's <System>"},
        {"an integrator", [](std::string& t) { t = "<Integrator version=\"1\"/>"; }, "XmlSerializer"},
        {"no particles", [](std::string& t) { t = "<System version=\"1\"><Forces/></System>"; },
         "has no <Particles>"},
        {"a fixed particle", replace("mass=\"12.01\"", "mass=\"0\""), "particle 1 has no mass"},
        {"a mass that is none", replace("mass=\"12.01\"", "mass=\"heavy\""), "'heavy' is not a finite"},
        {"a virtual site",
         replace("<Particle mass=\"12.01\"/>",
                 "<Particle mass=\"0\"><TwoParticleAverageSite p1=\"0\" p2=\"2\" w1=\".5\" w2=\".5\"/></Particle>"),
         "virtual sites (TwoParticleAverageSite) are not supported"},
        {"PME", replace("ljnz=\"0\" method=\"0\"", "ljnz=\"0\" method=\"4\""), "NonbondedForce with PME"},
        {"a cutoff", replace("ljnz=\"0\" method=\"0\"", "ljnz=\"0\" method=\"1\""), "CutoffNonPeriodic"},
        {"a barostat", forces("<Force type=\"MonteCarloBarostat\" version=\"1\"/>"),
         "force MonteCarloBarostat is not supported"},
        {"AMOEBA", forces("<Force type=\"AmoebaMultipoleForce\" version=\"3\"/>"), "AmoebaMultipoleForce"},
        {"Drude", forces("<Force type=\"DrudeForce\" version=\"1\"/>"), "DrudeForce"},
        {"another torsion of one's own", forces("<Force type=\"CustomTorsionForce\" energy=\"k*dtheta^2\"/>"),
         "CustomTorsionForce with the energy 'k*dtheta^2'"},
        {"an improper that jumps",
         forces("<Force type=\"CustomTorsionForce\" energy=\"k*(theta-theta0)^2\"><PerTorsionParameters>"
                "<Parameter name=\"k\"/><Parameter name=\"theta0\"/></PerTorsionParameters><GlobalParameters/>"
                "<Torsions><Torsion p1=\"0\" p2=\"1\" p3=\"2\" p4=\"3\" param1=\"10\" param2=\"1\"/>"
                "</Torsions></Force>"),
         "jumps where theta goes round"},
        {"an improper with another pi",
         forces("<Force type=\"CustomTorsionForce\" energy=\"k*min(dtheta, 2*pi-dtheta)^2; dtheta = "
                "abs(theta-theta0); pi = 3\"><PerTorsionParameters/></Force>"),
         "CustomTorsionForce with the energy"},
        {"a force without type", forces("<Force/>"), "the force without a type"},
        {"a pair law by formula", forces("<Force type=\"CustomNonbondedForce\" energy=\"1/r\"/>"),
         "force CustomNonbondedForce is not supported"},
        {"bonds by formula", forces("<Force type=\"CustomBondForce\" energy=\"(r-1)^4\"/>"), "CustomBondForce"},
        {"two lists of forces", replace("</System>", "<Forces/></System>"), "a second <Forces> in <System>"},
        {"two lists of particles", replace("</System>", "<Particles/></System>"), "a second <Particles>"},
        {"two lists of constraints", replace("</System>", "<Constraints/><Constraints/></System>"),
         "a second <Constraints>"},
        {"a bond of negative length", replace("<Bond d=\"", "<Bond d=\"-"), "may not be negative"},
        {"a compressed file", [](std::string& t) { t = "\x1f\x8b" + t; }, "it is compressed", false},
        {"bonds across a box", forces("<Force type=\"HarmonicBondForce\" usesPeriodic=\"1\"><Bonds/></Force>"),
         "periodic boundaries"},
        {"an external field",
         forces("<Force type=\"CustomExternalForce\" energy=\"k*x\"><PerParticleParameters/>"
                "<GlobalParameters/><Particles/></Force>"),
         "CustomExternalForce with the energy 'k*x'"},
        {"a bond to no particle", replace("p1=\"1\" p2=\"4\"", "p1=\"1\" p2=\"22\""), "p2 = 22 names no"},
        {"a bond of a particle to itself", replace("p1=\"1\" p2=\"4\"", "p1=\"1\" p2=\"1\""), "stands twice"},
        {"an infinite stiffness", replace("<Bond d=", "<Bond k=\"inf\" d="), "'inf' is not a finite number"},
        {"a particle too many", replace("<Particles>", "<Particles><Particle mass=\"1\"/>"),
         "particles, the System 23"},
        {"another effective radius", replace("tanh(alpha*psi-", "tanh(alpha*psi+"), "another effective radius"},
        {"another integral", replace("0.25*(r-sr2^2/r)", "0.5*(r-sr2^2/r)"), "another integral"},
        {"another energy of the surface", replace("28.3919551*", "3*"), "is not supported; OpenMM's HCT"},
        {"another neck", replace("<Value v=\".28", "<Value v=\".38"), "another neck"},
        {"another charge in the solvent", replace("param1=\"-.3662\"", "param1=\"-.4662\""), "another charge"},
        {"two offsets", replace("kappa=0.7595007148403728; offset=0.0195141", "kappa=0.7; offset=0.009"),
         "two values of"},
    };
    for (const Refusal& refusal : refusals)
        check_refused(refusal, "test.xml", text, [](const TextFile& file) {
            std::vector<std::string> notes;
            read_openmm_system(file, notes);
        });
    // An XML as deep as it is long.
    std::string deep;
    for (int i = 0; i < 200000; ++i) deep += "<a>";
    CHECK_THROWS_AS(
        {
            std::vector<std::string> notes;
            read_openmm_system(TextFile("deep.xml", deep), notes);
        },
        InputError);
}

TEST_CASE("damaged coordinates") {
    const auto read = [](const TextFile& file) { read_coordinates(file, 22); };
    const std::string amber = molecule_data("ala2.inpcrd");
    for (const Refusal& refusal :
         {Refusal{"empty", [](std::string& t) { t.clear(); }, "it is empty", false},
          Refusal{"compressed", [](std::string& t) { t = "\x1f\x8b" + t; }, "it is compressed", false},
          Refusal{"of 16 bits", [](std::string& t) { t = "\xff\xfe" + t; }, "16 bits", false},
          Refusal{"NetCDF on HDF5", [](std::string& t) { t = "\x89HDF"; }, "NetCDF restart file", false},
          Refusal{"no number of atoms", [](std::string& t) { t = "title\nmany\n"; }, "begins with the number"},
          Refusal{"a thousand million atoms", [](std::string& t) { t = "title\n1000000000\n"; },
                  "begins with the number"},
          Refusal{"cut off", [](std::string& t) { t.resize(600); }, "of 66 coordinates"},
          Refusal{"stars", [](std::string& t) { t.replace(t.find("   2.0"), 12, "************"); },
                  "'************' is not a number"},
          Refusal{"bytes that are no character",
                  [](std::string& t) { t.replace(t.find("   2.0"), 12, "   2.0\xff\xfe\x80 \xe9 "); },
                  "'2.0     ' is not a number"},
          Refusal{"too many", append("   1.0000000   2.0000000\n"), "2 numbers follow"},
          Refusal{"another molecule", [](std::string& t) { t = "x\n1\n   1.0000000   2.0000000   3.0000000\n"; },
                  "it has 1 atoms, the topology 22", false}})
        check_refused(refusal, "test.inpcrd", amber, read);
    const std::string pdb = molecule_data("ala2.pdb");
    for (const Refusal& refusal :
         {Refusal{"a coordinate of no sense", replace("   2.000   2.090", "   2.000   2.o90"), "'2.o90' in columns"},
          Refusal{"a model of other atoms",
                  [](std::string& t) {
                      const std::string one = t.substr(0, t.find("TER"));
                      t = "MODEL 1\n" + one + "ENDMDL\nMODEL 2\n" + one.substr(0, one.find('\n') + 1) + "ENDMDL\n";
                  },
                  "the model has 1 atoms, the first 22"}})
        check_refused(refusal, "test.pdb", pdb, read);
    for (const Refusal& refusal :
         {Refusal{"no positions", replace("Positions>", "Places>"), "this XML cannot be read"},
          Refusal{"a System", [](std::string& t) { t = "<System/>"; }, "is not OpenMM's <State>"},
          Refusal{"a position of no sense", replace(" y=\".1\"", " y=\"nan\""), "y = 'nan'"},
          Refusal{"a velocity too few",
                  [](std::string& t) {
                      const std::size_t at = t.rfind("<Velocity ");
                      t.erase(at, t.find('>', at) + 1 - at);
                  },
                  "other numbers of velocities"}})
        check_refused(refusal, "test.xml", molecule_data("ala2_state.xml"), read);
}

}  // namespace microlift
