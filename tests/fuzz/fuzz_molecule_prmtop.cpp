// Fuzzes the reader of AMBER topologies: whatever the bytes, a sound molecule or an InputError of one line.
#include <cstdio>
#include <string>

#include "engine/error.h"
#include "sampling/molecule/files/amber_topology.h"
#include "sampling/molecule/hydrogens.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/molecule_check.h"

namespace {

std::string integers(const std::string& flag, const std::vector<int>& values) {
    std::string text = "%FLAG " + flag + "\n%FORMAT(10I8)\n";
    char field[16];
    for (std::size_t i = 0; i < values.size(); ++i) {
        std::snprintf(field, sizeof field, "%8d", values[i]);
        text += std::string(field) + (i % 10 == 9 || i + 1 == values.size() ? "\n" : "");
    }
    return text + (values.empty() ? "\n" : "");
}

std::string numbers(const std::string& flag, const std::vector<double>& values) {
    std::string text = "%FLAG " + flag + "\n%FORMAT(5E16.8)\n";
    char field[32];
    for (std::size_t i = 0; i < values.size(); ++i) {
        std::snprintf(field, sizeof field, "%16.8E", values[i]);
        text += std::string(field) + (i % 5 == 4 || i + 1 == values.size() ? "\n" : "");
    }
    return text + (values.empty() ? "\n" : "");
}

// Five atoms in a chain, with a correction map.
std::string chain() {
    return "%VERSION  VERSION_STAMP = V0001.000  DATE = 01/01/26\n%FLAG TITLE\n%FORMAT(20a4)\nchain\n" +
           integers("POINTERS", {5, 2, 2, 2, 2, 1, 1, 1, 0, 0, 10, 2, 2, 1, 1, 1, 1, 1, 2, 0,
                                 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0}) +
           "%FLAG ATOM_NAME\n%FORMAT(20a4)\nH1  C1  C2  C3  H2  \n" +
           numbers("CHARGE", {1.8, -1.8, 0, -1.8, 1.8}) + integers("ATOMIC_NUMBER", {1, 6, 6, 6, 1}) +
           numbers("MASS", {1.008, 12.01, 12.01, 12.01, 1.008}) +
           integers("ATOM_TYPE_INDEX", {1, 2, 2, 2, 1}) + integers("NUMBER_EXCLUDED_ATOMS", {3, 3, 2, 1, 1}) +
           integers("NONBONDED_PARM_INDEX", {1, 2, 2, 3}) +
           "%FLAG RESIDUE_LABEL\n%FORMAT(20a4)\nAAA BBB \n" + integers("RESIDUE_POINTER", {1, 3}) +
           numbers("BOND_FORCE_CONSTANT", {300}) + numbers("BOND_EQUIL_VALUE", {1.5}) +
           numbers("ANGLE_FORCE_CONSTANT", {50}) + numbers("ANGLE_EQUIL_VALUE", {1.9}) +
           numbers("DIHEDRAL_FORCE_CONSTANT", {2}) + numbers("DIHEDRAL_PERIODICITY", {3}) +
           numbers("DIHEDRAL_PHASE", {0}) + numbers("SCEE_SCALE_FACTOR", {1.2}) +
           numbers("SCNB_SCALE_FACTOR", {2}) +
           numbers("LENNARD_JONES_ACOEF", {7516.07703, 97170.8117, 1043080.23}) +
           numbers("LENNARD_JONES_BCOEF", {21.7257828, 126.919150, 675.612247}) +
           integers("BONDS_INC_HYDROGEN", {0, 3, 1, 9, 12, 1}) +
           integers("BONDS_WITHOUT_HYDROGEN", {3, 6, 1, 6, 9, 1}) +
           integers("ANGLES_INC_HYDROGEN", {0, 3, 6, 1, 6, 9, 12, 1}) +
           integers("ANGLES_WITHOUT_HYDROGEN", {3, 6, 9, 1}) +
           integers("DIHEDRALS_INC_HYDROGEN", {0, 3, 6, 9, 1}) +
           integers("DIHEDRALS_WITHOUT_HYDROGEN", {3, 6, -9, 12, 1}) +
           integers("EXCLUDED_ATOMS_LIST", {2, 3, 4, 3, 4, 5, 4, 5, 5, 0}) + numbers("HBOND_ACOEF", {}) +
           numbers("HBOND_BCOEF", {}) + numbers("RADII", {1.2, 1.7, 1.7, 1.7, 1.2}) +
           numbers("SCREEN", {0.85, 0.72, 0.72, 0.72, 0.85}) + integers("CMAP_COUNT", {1, 1}) +
           integers("CMAP_RESOLUTION", {4}) +
           numbers("CMAP_PARAMETER_01", {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}) +
           integers("CMAP_INDEX", {1, 2, 3, 4, 5, 1});
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
    std::string unmixed = chain();
    unmixed.replace(unmixed.find("9.71708117E+04"), 14, "9.00000000E+04");
    return {chain(), unmixed};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace microlift;
    const TextFile file("fuzz", std::string(reinterpret_cast<const char*>(data), size));
    for (const SolventKind kind : {SolventKind::none, SolventKind::obc2, SolventKind::gbn2}) {
        try {
            SolventOptions options;
            options.kind = kind;
            Molecule molecule = read_amber_topology(file, options);
            check_molecule(molecule);
            make_hydrogen_bonds_rigid(molecule);
            repartition_hydrogen_mass(molecule, 3);
            check_molecule(molecule);
        } catch (const InputError& error) {
            const std::string message = error.what();
            abort_unless(!message.empty() && message.find('\n') == std::string::npos);
        }
    }
    return 0;
}
