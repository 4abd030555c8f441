// Lennard-Jones parameters, exclusions and 1–4 pairs of an AMBER prmtop.
#pragma once

#include "sampling/molecule/files/prmtop_sections.h"
#include "sampling/molecule/molecule.h"

namespace microlift {

// From kcal/mol and Å.
inline constexpr double kKilojoule = 4.184, kNanometre = 0.1;

// One 1–4 pair, with the kind of its torsion.
struct AmberEndPair {
    std::array<index, 2> atoms;
    index torsion_kind;
    index field;  // of `flag`, for messages
    std::string flag;
};

struct AmberPairCounts {
    index types = 0, torsion_kinds = 0, excluded = 0, hydrogen_bonds = 0;
};

// Fills sigma, epsilon and the exceptions of a molecule whose charges are there.
void read_amber_pairs(const PrmtopSections& sections, const AmberPairCounts& counts,
                      const std::vector<AmberEndPair>& ends, Molecule& molecule);

}  // namespace microlift
