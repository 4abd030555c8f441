// What a chemist asks of generated states of a molecule: laws of its bonds, angles and torsions beside those of
// physics, and whether atoms overlap.
#pragma once

#include <string>
#include <vector>

#include "sampling/molecule/molecule.h"

namespace microlift {

// Wasserstein distance of order 1 between two samples on the line, and on a circle of this period (Rabin,
// Delon, Gousseau, J. Math. Imaging Vis. 41 (2011) 147). Of any sizes; NaN where one is empty.
double wasserstein_on_line(std::vector<double> a, std::vector<double> b);
double wasserstein_on_circle(std::vector<double> a, std::vector<double> b, double period);

enum class LawKind { bond, angle, torsion };

struct MoleculeLaw {
    LawKind kind;
    std::vector<index> atoms;
    double distance = 0;   // nm or rad
    double deviation = 0;  // of physics: on the circle √(2 (1 − |⟨e^{iφ}⟩|)) for a torsion
    double floor = 0;      // distance between the halves of physics, over √2: what samples of this size tell
};

struct MoleculeLaws {
    std::vector<MoleculeLaw> laws;
    // The closest approach of a state: the least of r/σ over its pairs that interact (σ of the pair's
    // Lennard-Jones term). A clash is a generated state that is closer than any of physics.
    double closest_of_physics = 0, clashes = 0;  // the latter a share of the states
    // Of a kind, the mean and the greatest of distance/deviation; 0 where there is none.
    double mean(LawKind kind) const;
    double worst(LawKind kind) const;
};

// States (3 · atoms, n), on the host. Laws of all bonds that are not rigid, of all angle terms, and of every
// four atoms in a chain of bonds that have a torsion term.
MoleculeLaws compare_laws(const Molecule& molecule, const std::vector<float>& generated, index generated_n,
                          const std::vector<float>& physics, index physics_n);

// The closest approach of each state; infinite where no pair interacts.
std::vector<double> closest_approaches(const Molecule& molecule, const std::vector<float>& states, index n);

}  // namespace microlift
