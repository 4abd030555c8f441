// Positions and velocities of a molecule's atoms from a file of their own.
#pragma once

#include <string>
#include <vector>

#include "sampling/molecule/files/text_file.h"
#include "sampling/molecule/molecule.h"

namespace microlift {

struct Coordinates {
    std::vector<double> position;    // nm, (atom, 3)
    std::vector<double> velocity;    // nm/ps, (atom, 3); empty: the file has none
    std::vector<Atom> atoms;         // names, residues, chains, elements; empty: the file has none
    std::vector<std::string> notes;  // what was left out, for people
};

// AMBER inpcrd, restrt, rst7 as text.
Coordinates read_amber_coordinates(const TextFile& file);

// The same as NetCDF (classic: CDF-1 or CDF-2).
Coordinates read_amber_netcdf(const TextFile& file);

// By what the file holds: AMBER's text or NetCDF, PDB (its first model), OpenMM's State as XML. InputError where it
// has not that many atoms.
Coordinates read_coordinates(const TextFile& file, index atoms);

}  // namespace microlift
