// A molecule as its files describe it: atoms, the terms of its energy, rigid bonds. Units: nm, ps, u,
// kJ/mol, rad, e. Indices of atoms count from 0.
//
// E = Σ_bonds ½k(r − r₀)² + Σ_angles ½k(θ − θ₀)² + Σ_torsions k(1 + cos(nφ − φ₀))
//   + Σ_ryckaert Σ_n c_n cosⁿ(φ − π) + Σ_harmonic ½k(φ − φ₀)² + Σ_cmaps map(φ₁, φ₂)
//   + Σ_pairs lennard_jones + coulomb + solvent + surface + Σ_restraints ½k|r − r₀|², pairs without cutoff.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "kernels/lane/lane.h"

namespace microlift {

// kJ nm / (mol e²), and kJ / (mol K).
inline constexpr double kCoulomb = 138.935456;
inline constexpr double kGasConstant = 8.31446261815324e-3;
// What OpenMM's custom forces write for the former, and with them all solvents but its built-in OBC2.
inline constexpr double kCoulombOfCustomForces = 138.935485;

// An atom, with the parameters of its pairs.
struct Atom {
    std::string name, residue, chain;  // "CA", "ALA", "A"
    int residue_number = 1;            // as in the file; from 1 where it has none
    int element = 0;                   // atomic number; 0: unknown
    double mass = 0;                   // u
    double charge = 0;                 // e
    double sigma = 0, epsilon = 0;     // nm, kJ/mol; mixed as (σᵢ + σⱼ)/2, √(εᵢεⱼ)
};

// ½ stiffness (r − length)².
struct Bond {
    std::array<index, 2> atoms;
    double length, stiffness;  // nm, kJ/mol/nm²
};

// ½ stiffness (θ − angle)², the second atom in the middle.
struct Angle {
    std::array<index, 3> atoms;
    double angle, stiffness;  // rad, kJ/mol/rad²
};

// stiffness (1 + cos(periodicity φ − phase)).
struct Torsion {  // proper or improper
    std::array<index, 4> atoms;
    int periodicity;
    double phase, stiffness;  // rad, kJ/mol
};

// Σ_n coefficients[n] cosⁿ(φ − π).
struct RyckaertTorsion {
    std::array<index, 4> atoms;
    std::array<double, 6> coefficients;  // kJ/mol
};

// ½ stiffness (φ − angle)².
struct HarmonicTorsion {  // of the turn that is nearest: CHARMM's impropers
    std::array<index, 4> atoms;
    double angle, stiffness;  // rad, kJ/mol/rad²
};

// Energies on a periodic grid of size × size points, [first angle + size · second], of angles
// 2π i/size from 0 (OpenMM's order), bicubic between them.
struct CorrectionMap {
    int size = 0;
    std::vector<double> energy;  // kJ/mol
};

// A correction map on two dihedral angles; `map` is its number in Molecule::maps.
struct CorrectionTerm {
    int map;
    std::array<index, 4> first, second;  // the atoms of the two dihedral angles
};

// Replaces the mixed parameters of a pair; all zero: the pair is excluded.
struct PairException {
    std::array<index, 2> atoms;
    double charge_product, sigma, epsilon;  // e², nm, kJ/mol
};

// ½ stiffness |r − position|², position in nm.
struct PositionRestraint {
    index atom;
    double stiffness;  // kJ/mol/nm²
    std::array<double, 3> position;
};

// A bond whose length, in nm, does not change.
struct RigidBond {
    std::array<index, 2> atoms;
    double length;
};

// Generalised Born models.
enum class SolventKind { none, hct, obc1, obc2, gbn, gbn2 };

// Generalised Born. Effective radii as in Onufriev, Bashford, Case, Proteins 55 (2004) 383 and, for
// GBn and GBn2, Mongan et al., J. Chem. Theory Comput. 3 (2007) 156 and Nguyen, Roe, Simmerling, 9 (2013)
// 2020; the surface term is ACE's (Schaefer, Bartels, Karplus, J. Mol. Biol. 284 (1998) 835).
struct Solvent {
    // Of one atom.
    struct AtomParameters {
        double radius = 0;                      // intrinsic, nm, without the offset
        double scale = 0;                       // of descreening
        double alpha = 0, beta = 0, gamma = 0;  // of tanh(αψ − βψ² + γψ³); of HCT not used
    };
    SolventKind kind = SolventKind::none;
    std::vector<AtomParameters> atoms;
    double coulomb = kCoulombOfCustomForces;
    double offset = 0.009;                  // nm, taken from each radius
    double neck_scale = 0, neck_cut = 0.68;  // GBn, GBn2
    double solute_dielectric = 1, solvent_dielectric = 78.5;
    double kappa = 0;             // 1/nm: inverse Debye length
    double surface_energy = 0;    // kJ/mol/nm², the 4πγ of 4πγ (r + probe)² (r/B)⁶; 0: no surface term
    double probe_radius = 0.14;   // nm
};

// All of it; terms name atoms by their place in `atoms`.
struct Molecule {
    std::vector<Atom> atoms;
    std::vector<Bond> bonds;  // those that are not rigid
    std::vector<Angle> angles;
    std::vector<Torsion> torsions;
    std::vector<RyckaertTorsion> ryckaert_torsions;
    std::vector<HarmonicTorsion> harmonic_torsions;
    std::vector<CorrectionMap> maps;
    std::vector<CorrectionTerm> correction_terms;
    std::vector<PairException> exceptions;
    std::vector<PositionRestraint> restraints;
    std::vector<RigidBond> rigid_bonds;
    Solvent solvent;
    std::vector<std::array<index, 2>> bonded;  // every chemical bond, rigid ones too: for pictures, files

    index size() const { return static_cast<index>(atoms.size()); }  // atoms
};

}  // namespace microlift
