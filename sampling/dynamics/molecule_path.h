// Path kernels of molecules: the time loop of kernels/molecule/molecule_path.h with a molecule's tables.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/molecule/molecule_cv.h"
#include "kernels/molecule/molecule_motion.h"
#include "sampling/dynamics/path_kernel.h"
#include "sampling/formula/formula.h"
#include "sampling/molecule/molecule.h"

namespace microlift {

struct MoleculeVariable {
    MoleculeCvKind kind;
    std::vector<index> atoms;
    double middle = 0;  // of the turn that values are told in
    // coordination, Σ (1 − xⁿ)/(1 − xᵐ), x = r/range, of pairs of the two groups, or within one: 0 < n < m.
    std::vector<index> others{};
    double range = 0.3;  // nm
    int numerator = 6, denominator = 12;
    // gyration: √(Σ m |x − c|²/Σ m) if by mass, else every atom counts the same.
    bool by_mass = false;
    // rmsd, after the best rotation: the places of `atoms`, (atom, 3), nm.
    std::vector<double> reference{};
    // formula: of other variables by their names, none of which is a formula; `build`, where it is set, makes it
    // as an expression of these.
    std::string formula{};
    std::vector<std::string> names{};
    std::vector<MoleculeVariable> of{};
    std::function<NodeId(Expressions&, const Symbols&)> build{};
    double period = 0;  // 0: none; of a dihedral angle a turn, whatever this says
    int axis = 0;       // of a coordinate of an atom
};

// "distance", "angle", "dihedral", "coordination", "gyration", "rmsd".
std::optional<MoleculeCvKind> molecule_cv_kind(const std::string& name);

struct MoleculeSetup {
    MoleculeScheme scheme = MoleculeScheme::lf_middle;
    double dt = 0.001;         // ps
    double friction = 1;       // 1/ps
    double temperature = 300;  // K
    std::vector<MoleculeVariable> cvs;
    bool portable_math = false;  // on CUDA; the CPU is always portable
    int philox_rounds = kPhiloxRounds;  // or kPhiloxFewRounds
};

// InputError where rigid bonds do not form stars: atoms with up to four others bound to each.
std::vector<StarEntry> molecule_stars(const Molecule& molecule, const MoleculeSetup& setup);

// States are positions and velocities, (3 · atoms, trajectories): nm, nm/ps.
std::unique_ptr<PathKernel> make_molecule_path_kernel(std::shared_ptr<const Molecule> molecule,
                                                      const MoleculeSetup& setup);

}  // namespace microlift
