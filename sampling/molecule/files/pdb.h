// PDB files: ATOM and HETATM records, their models; what any viewer opens.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sampling/molecule/files/text_file.h"
#include "sampling/molecule/molecule.h"

namespace microlift {

struct Pdb {
    std::vector<Atom> atoms;       // names, residues, chains, elements; neither masses nor charges
    std::vector<double> position;  // nm, (model, atom, 3)
    index models = 0;
    std::vector<std::string> notes;
};

// Of alternate places the first of each atom. Models must have the same atoms.
Pdb read_pdb(const TextFile& file);

// One model of a molecule as text; `position`: nm, (atom, 3). InputError where a coordinate does not fit
// into the columns.
std::string format_pdb(const Molecule& molecule, const double* position, const std::string& remark);

}  // namespace microlift
