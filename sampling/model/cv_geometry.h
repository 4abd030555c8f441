// What collective variables of atoms are as formulas.
#pragma once

#include "sampling/model/model_config.h"

namespace microlift {

// How many atoms a kind of variable has: 2, 3 or 4; 0: it is none of so many.
std::size_t atoms_of(const std::string& kind);
// Kinds of groups of a molecule's atoms: coordination, gyration, rmsd.
bool of_group(const std::string& kind);

// Formula, name and unit of a variable of such a kind; KeyError for atoms that are not there.
void name_geometry(const SystemConfig& system, CvVariable& variable);
void name_group(const ModelConfig& model, CvVariable& variable);

// KeyError where a formula of a molecule's coordinates changes as the molecule moves or turns as a whole: places
// are no shape.
void check_invariant(const ModelConfig& model, const CvVariable& variable);

}  // namespace microlift
