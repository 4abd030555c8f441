// Names of elements and of atoms.
#pragma once

#include <string>
#include <string_view>

#include "sampling/molecule/molecule.h"

namespace microlift {

// Atomic number of "C", "CL", "Cl"; 0: no such element.
int element_of_symbol(std::string_view symbol);
// "C", "Cl"; "X" of an unknown one.
std::string symbol_of_element(int element);

// From a mass that is an element's own (hydrogens may be heavier than nature made them), u.
int element_of_mass(double mass);
// From an atom's name in a protein, nucleic acid or ligand ("CA" is a carbon, "CL1" with 35.45 u chlorine).
int element_of_name(std::string_view name, double mass);

// Whether an atom is hydrogen; InputError where neither element nor mass say so.
bool is_hydrogen(const Molecule& molecule, index atom);

// "ALA2:CB", or "atom 7" without names.
std::string atom_label(const Molecule& molecule, index atom);

}  // namespace microlift
