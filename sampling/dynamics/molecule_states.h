// Many states of a molecule at once, outside its time loop: forces and energies, dihedral angles set, rigid
// bonds restored, velocities drawn. Arrays are on the stream's device, (3 · atoms, row).
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "sampling/dynamics/molecule_path.h"
#include "sampling/molecule/forces.h"

namespace microlift {

class MoleculeStates {
public:
    MoleculeStates(Stream& stream, std::shared_ptr<const Molecule> molecule, const MoleculeSetup& setup);

    // Forces of `n` states, kJ/(mol nm), and their energies, kJ/mol.
    void evaluate(Stream& stream, Span<const float> x, index row, index n, Span<float> force,
                  Span<float> energy);
    // Whether every collective variable is a dihedral angle about a bond that is in no ring: then it is set.
    bool sets_cvs() const { return sets_; }
    // ξ = target (K, target_row), one variable after the other.
    void set_cvs(Stream& stream, Span<const float> target, index target_row, index n, Span<float> x,
                 index row);
    void restore_bonds(Stream& stream, index n, Span<float> x, index row);
    // Of trajectories first, first + 1, …, at the setup's temperature.
    void draw_velocities(Stream& stream, uint64 seed, uint32 rng_stream, index first, index n,
                         Span<float> v);

private:
    struct Turn {
        MoleculeCv cv;
        Buffer<int32> moved;
    };
    std::shared_ptr<const Molecule> molecule_;
    std::vector<Turn> turns_;
    bool sets_ = true;
    Buffer<StarEntry> groups_;
    Buffer<float> deviation_;
    MoleculeForces<float> forces_;
    Buffer<float> terms_;
};

}  // namespace microlift
