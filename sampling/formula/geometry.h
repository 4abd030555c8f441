// Distances and angles between atoms as formulas: what a molecule's potential and its collective
// variables are made of. Positions are x, y, z of each atom in turn.
#pragma once

#include <span>

#include "sampling/formula/formula.h"

namespace microlift {

// atan2(y, x) in (-π, π]; not defined at the origin.
NodeId build_atan2(Expressions& graph, std::span<const NodeId> y_x);
// |r1 − r0|, of six coordinates.
NodeId build_distance(Expressions& graph, std::span<const NodeId> atoms);
// Between r0 − r1 and r2 − r1, in [0, π], of nine coordinates.
NodeId build_angle(Expressions& graph, std::span<const NodeId> atoms);
// Of the bonds r0–r1, r1–r2, r2–r3, in (-π, π], 0 where r0 and r3 are on the same side (cis), of twelve
// coordinates; the sign is IUPAC's (Pure Appl. Chem. 68 (1996) 2193).
NodeId build_dihedral(Expressions& graph, std::span<const NodeId> atoms);

// √(Σ w |r − c − R y|²/Σ w) of atoms r, w, y with seven arguments each: c their centre, y about its own, R the
// rotation that makes it least (Horn, J. Opt. Soc. Am. A 4 (1987) 629), by Jacobi's rotations. R and c are
// fixed, so that the first derivatives are right, whose part along them is none, and no further ones.
inline constexpr std::size_t kDeviationArguments = 7;
NodeId build_rmsd(Expressions& graph, std::span<const NodeId> atoms);

}  // namespace microlift
