// A molecule from its files: topology and coordinates of whatever kind, hydrogens as asked for.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sampling/molecule/molecule.h"
#include "sampling/molecule/solvent_parameters.h"

namespace microlift {

// Where a molecule's files are, and what shall be done about hydrogens.
struct MoleculeFiles {
    std::filesystem::path topology;     // AMBER prmtop, or OpenMM System as XML
    std::filesystem::path coordinates;  // AMBER inpcrd, PDB, or OpenMM State as XML; empty: none
    SolventOptions solvent;             // of a prmtop; an XML carries its own
    bool rigid_hydrogen_bonds = false;
    double hydrogen_mass = 0;  // u; 0: as in the file
};

// What was read.
struct LoadedMolecule {
    Molecule molecule;
    std::vector<double> position;    // nm, (atom, 3); empty without a file
    std::vector<double> velocity;    // nm/ps, (atom, 3); empty where the file has none
    std::vector<std::string> notes;  // what was left out, for people
    std::string topology_checksum, coordinates_checksum;  // of the files that were read
};

// InputError, with file and line, for what is wrong with a file or is not supported.
LoadedMolecule read_molecule(const MoleculeFiles& files);

// InputError where atoms of a file have other elements than the molecule's: these come in another order.
void check_order(const std::filesystem::path& file, const std::vector<Atom>& atoms,
                 const Molecule& molecule);

}  // namespace microlift
