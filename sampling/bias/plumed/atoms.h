// Lists of atoms in a PLUMED input, and the PDB files that they name.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "sampling/bias/plumed/settings.h"

namespace microlift {

struct PlumedAtom {
    index number = 0;  // as in the file, from 1
    std::string name, residue, chain;
    index residue_number = 0;
    double place[3] = {};            // nm
    double align = 1, displace = 1;  // occupancy and B-factor: PLUMED's weights
};

// ATOM and HETATM records of the first model. InputError with file and line.
std::vector<PlumedAtom> read_plumed_pdb(const std::filesystem::path& file);

// Of a key that names a file; InputError where there is none.
std::filesystem::path plumed_file(const PlumedSettings& settings, std::string_view key,
                                  const std::filesystem::path& folder);

// What lists may name besides numbers.
struct PlumedNames {
    std::vector<PlumedAtom> residues;  // of MOLINFO; empty: there is none
    std::vector<std::pair<std::string, std::vector<index>>> groups;
};

// "5,7,9-15", "1-9:2", "@phi-2", groups: counted from 0. InputError for what lies beyond `atoms` of them.
std::vector<index> plumed_atoms(const PlumedSettings& settings, std::string_view key, const PlumedNames& names,
                                index atoms);

}  // namespace microlift
