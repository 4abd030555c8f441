// What is wrong with a state of a molecule, in words: for messages about runs that blew up.
#pragma once

#include <span>
#include <string>

#include "engine/device/stream.h"
#include "sampling/molecule/molecule.h"

namespace microlift {

// "ALA 2 CA (atom 8)", atoms counted from 0.
std::string atom_words(const Molecule& molecule, index atom);

// Of a state (3 · atoms), nm: the first atom that is not finite; else the atom with the largest force (kJ/mol/nm)
// and the term that pulls most on it.
std::string worst_force(Stream& stream, const Molecule& molecule, std::span<const float> x);

// Of states of one replica, (state, 3 · atoms), the first of them good, on the way to one that is not finite: the
// same of the earliest whose largest force is ten times the first's, or of the first itself where none is.
std::string worst_force_on_the_way(Stream& stream, const Molecule& molecule, std::span<const float> states);

}  // namespace microlift
