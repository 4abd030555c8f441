#include "sampling/molecule/files/read_molecule.h"

#include <algorithm>
#include <utility>

#include "engine/error.h"
#include "engine/files/hash.h"
#include "sampling/molecule/elements.h"
#include "sampling/molecule/files/amber_topology.h"
#include "sampling/molecule/files/coordinates.h"
#include "sampling/molecule/files/openmm_system.h"
#include "sampling/molecule/hydrogens.h"

namespace microlift {

namespace {

bool is_xml(const TextFile& file) {
    const std::size_t first = file.content().find_first_not_of(" \t\r\n\xef\xbb\xbf");
    return first != std::string::npos && file.content()[first] == '<';
}

// Names that the topology has not.
void take_names(const std::vector<Atom>& from, Molecule& molecule) {
    if (from.empty()) return;
    for (std::size_t i = 0; i < molecule.atoms.size(); ++i) {
        Atom& atom = molecule.atoms[i];
        if (atom.name.empty()) {
            atom.name = from[i].name;
            atom.residue = from[i].residue;
            atom.residue_number = from[i].residue_number;
            atom.element = from[i].element > 0 ? from[i].element : atom.element;
        }
        if (atom.chain.empty()) atom.chain = from[i].chain;
    }
}

}  // namespace

void check_order(const std::filesystem::path& file, const std::vector<Atom>& atoms,
                 const Molecule& molecule) {
    for (std::size_t i = 0; i < std::min(atoms.size(), molecule.atoms.size()); ++i) {
        const Atom& atom = molecule.atoms[i];
        if (atom.element == 0 || atoms[i].element == 0 || atom.element == atoms[i].element) continue;
        throw InputError(file.string() + ": atom " + std::to_string(i + 1) + " (" + atoms[i].residue + " " +
                         atoms[i].name + ") is " + symbol_of_element(atoms[i].element) +
                         ", in the topology " + symbol_of_element(atom.element) +
                         "; give the atoms in the topology's order");
    }
}

LoadedMolecule read_molecule(const MoleculeFiles& files) {
    LoadedMolecule loaded;
    const TextFile topology(files.topology);
    loaded.topology_checksum = checksum_of(topology.content());
    if (is_xml(topology)) {
        if (files.solvent.kind != SolventKind::none)
            topology.refuse("an OpenMM System carries its own solvent; leave implicit_solvent out");
        loaded.molecule = read_openmm_system(topology, loaded.notes);
    } else {
        loaded.molecule = read_amber_topology(topology, files.solvent);
    }
    Molecule& molecule = loaded.molecule;
    if (!files.coordinates.empty()) {
        const TextFile file(files.coordinates);
        loaded.coordinates_checksum = checksum_of(file.content());
        Coordinates read = read_coordinates(file, molecule.size());
        check_order(files.coordinates, read.atoms, molecule);
        take_names(read.atoms, molecule);
        loaded.position = std::move(read.position);
        loaded.velocity = std::move(read.velocity);
        loaded.notes.insert(loaded.notes.end(), read.notes.begin(), read.notes.end());
    }
    if (files.rigid_hydrogen_bonds) make_hydrogen_bonds_rigid(molecule);
    if (files.hydrogen_mass != 0) repartition_hydrogen_mass(molecule, files.hydrogen_mass);
    return loaded;
}

}  // namespace microlift
