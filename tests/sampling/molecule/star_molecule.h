// Rigid stars of no leaf to four, apart from each other, that feel nothing.
#pragma once

#include <cmath>
#include <vector>

#include "sampling/molecule/molecule.h"

namespace microlift {

struct StarMolecule {
    static constexpr double kLength = 0.1;
    static constexpr index kStars = 5, kAtoms = 15;
    Molecule molecule;
    std::vector<double> x;  // far from the origin

    StarMolecule() {
        const double c = kLength / std::sqrt(3.0);
        const double leaf[4][3] = {{c, c, c}, {c, -c, -c}, {-c, c, -c}, {-c, -c, c}};
        molecule.atoms.resize(kAtoms);
        for (Atom& atom : molecule.atoms) atom.mass = 1;
        for (index i = 0; i < kAtoms; ++i)
            for (index j = 0; j < i; ++j) molecule.exceptions.push_back({{j, i}, 0, 0.1, 0});
        for (index star = 0, atom = 0; star < kStars; ++star) {
            const index centre = atom++;
            molecule.atoms[static_cast<std::size_t>(centre)].mass = 14;
            const double at[3] = {1 + 0.4 * static_cast<double>(star), 2, -1};
            x.insert(x.end(), at, at + 3);
            for (index k = 0; k < star; ++k) {
                molecule.rigid_bonds.push_back({{centre, atom++}, kLength});
                for (int d = 0; d < 3; ++d) x.push_back(at[d] + leaf[k][d]);
            }
        }
    }
};

}  // namespace microlift
