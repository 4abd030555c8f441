// Generalised Born models with the parameters that AMBER and OpenMM give them.
#pragma once

#include <string_view>
#include <vector>

#include "sampling/molecule/molecule.h"

namespace microlift {

struct SolventOptions {
    SolventKind kind = SolventKind::none;
    double salt = 0;             // mol/l, of monovalent ions
    double temperature = 298.15;  // K; of the salt's screening alone
    double solute_dielectric = 1, solvent_dielectric = 78.5;
    bool surface = true;  // ACE's term
};

// OpenMM's 4π · 2.25936 kJ/mol/nm², as its formulas write it.
inline constexpr double kSurfaceEnergy = 28.3919551;

// "none", "hct", …; false: no such model.
bool solvent_kind(std::string_view name, SolventKind& kind);
const char* solvent_name(SolventKind kind);

// 1/nm, with AMBER's factor of 0.73 for the size of ions.
double debye_kappa(double salt, double solvent_dielectric, double temperature);

// Everything of a model but the atoms' radii and scales: offset, neck, and of each atom α, β, γ.
Solvent solvent_model(const Molecule& molecule, const SolventOptions& options);

// The scales that GBn and GBn2 have by element, whatever the topology says.
void set_neck_model_scales(const Molecule& molecule, Solvent& solvent);

// InputError naming the atom whose radius the model cannot work with.
void check_solvent_radii(const Molecule& molecule, const Solvent& solvent);

}  // namespace microlift
