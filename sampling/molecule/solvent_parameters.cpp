#include "sampling/molecule/solvent_parameters.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "engine/at.h"
#include "engine/error.h"
#include "engine/files/files.h"
#include "sampling/molecule/elements.h"
#include "sampling/molecule/neck_table.h"

namespace microlift {

namespace {

constexpr std::array<const char*, 6> kSolventNames{"none", "hct", "obc1", "obc2", "gbn", "gbn2"};

struct TanhCoefficients {
    double alpha, beta, gamma;
};

// Onufriev et al. 2004 (OBC1, OBC2), Mongan et al. 2007 (GBn).
constexpr TanhCoefficients kObc1{0.8, 0, 2.909125}, kObc2{1, 0.8, 4.85},
    kGbn{1.09511284, 1.907992938, 2.50798245};

// Nguyen et al. 2013 for proteins, Nguyen, Pérez, Bermeo, Simmerling, J. Chem. Theory Comput. 11 (2015)
// 3714 for nucleic acids; `scale` of GBn is that of Mongan et al.
struct NeckElement {
    int element;
    double gbn_scale;
    double scale;
    TanhCoefficients coefficients;
    double nucleic_scale;
    TanhCoefficients nucleic;
};
constexpr TanhCoefficients kOfOthers{1, 0.8, 4.851};
constexpr double kScaleOfOthers = 0.5;
constexpr std::array<NeckElement, 6> kNeckElements{{
    {1, 1.09085413633, 1.425952, {0.788440, 0.798699, 0.437334}, 1.696538, {0.537050, 0.362861, 0.116704}},
    {6, 0.48435382330, 1.058554, {0.733756, 0.506378, 0.205844}, 1.268902, {0.331670, 0.196842, 0.093422}},
    {7, 0.700147318409, 0.733599, {0.503364, 0.316828, 0.192915}, 1.4259728, {0.686311, 0.463189, 0.138722}},
    {8, 1.06557401132, 1.061039, {0.867814, 0.876635, 0.387882}, 0.1840098, {0.606344, 0.463006, 0.142262}},
    {15, 0.5, 0.5, kOfOthers, 1.5450597, {0.418365, 0.290054, 0.1064245}},
    {16, 0.602256336067, -0.703469, {0.867814, 0.876635, 0.387882}, 0.05, {0.606344, 0.463006, 0.142262}},
}};

bool is_nucleic(const Atom& atom) {
    static constexpr std::array<std::string_view, 32> kResidues{
        "A",  "ADE", "A3",  "A5",  "G",  "GUA", "G3",  "G5",  "C",  "CYT", "C3",  "C5",  "U",  "URA", "U3",  "U5",
        "DA", "DAD", "DA3", "DA5", "DG", "DGU", "DG3", "DG5", "DC", "DCY", "DC3", "DC5", "DT", "THY", "DT3", "DT5"};
    return std::find(kResidues.begin(), kResidues.end(), atom.residue) != kResidues.end();
}

const NeckElement* neck_element(int element) {
    for (const NeckElement& known : kNeckElements)
        if (known.element == element) return &known;
    return nullptr;
}

TanhCoefficients tanh_coefficients(SolventKind kind, const Atom& atom) {
    switch (kind) {
        case SolventKind::obc1: return kObc1;
        case SolventKind::obc2: return kObc2;
        case SolventKind::gbn: return kGbn;
        case SolventKind::gbn2: {
            const NeckElement* known = neck_element(atom.element);
            if (!known) return kOfOthers;
            return is_nucleic(atom) ? known->nucleic : known->coefficients;
        }
        default: return {0, 0, 0};
    }
}

}  // namespace

bool solvent_kind(std::string_view name, SolventKind& kind) {
    for (std::size_t i = 0; i < kSolventNames.size(); ++i)
        if (name == kSolventNames[i]) {
            kind = static_cast<SolventKind>(i);
            return true;
        }
    return false;
}

const char* solvent_name(SolventKind kind) { return kSolventNames[static_cast<std::size_t>(kind)]; }

double debye_kappa(double salt, double solvent_dielectric, double temperature) {
    // 50.33355 = (ε₀ k_B / (2000 N_A e²))^(-1/2) in 1/Å, rounded as AMBER does.
    return 7.3 * 50.33355 * std::sqrt(salt / solvent_dielectric / temperature);
}

Solvent solvent_model(const Molecule& molecule, const SolventOptions& options) {
    Solvent solvent;
    solvent.kind = options.kind;
    if (options.kind == SolventKind::none) return solvent;
    const bool gbn2 = options.kind == SolventKind::gbn2;
    solvent.offset = gbn2 ? 0.0195141 : 0.009;
    solvent.neck_scale = options.kind == SolventKind::gbn ? 0.361825 : gbn2 ? 0.826836 : 0;
    solvent.solute_dielectric = options.solute_dielectric;
    solvent.solvent_dielectric = options.solvent_dielectric;
    solvent.kappa = debye_kappa(options.salt, options.solvent_dielectric, options.temperature);
    if (options.kind == SolventKind::obc2 && solvent.kappa == 0) solvent.coulomb = kCoulomb;
    solvent.surface_energy = options.surface ? kSurfaceEnergy : 0;
    solvent.atoms.resize(molecule.atoms.size());
    for (std::size_t i = 0; i < molecule.atoms.size(); ++i) {
        const TanhCoefficients of = tanh_coefficients(options.kind, molecule.atoms[i]);
        solvent.atoms[i].alpha = of.alpha;
        solvent.atoms[i].beta = of.beta;
        solvent.atoms[i].gamma = of.gamma;
    }
    return solvent;
}

void set_neck_model_scales(const Molecule& molecule, Solvent& solvent) {
    const bool gbn2 = solvent.kind == SolventKind::gbn2;
    for (std::size_t i = 0; i < solvent.atoms.size(); ++i) {
        const Atom& atom = molecule.atoms[i];
        const NeckElement* known = neck_element(atom.element);
        solvent.atoms[i].scale = !known  ? kScaleOfOthers
                                 : !gbn2 ? known->gbn_scale
                                         : (is_nucleic(atom) ? known->nucleic_scale : known->scale);
    }
}

void check_solvent_radii(const Molecule& molecule, const Solvent& solvent) {
    const bool neck = solvent.kind == SolventKind::gbn || solvent.kind == SolventKind::gbn2;
    for (std::size_t i = 0; i < solvent.atoms.size(); ++i) {
        const double radius = solvent.atoms[i].radius;
        constexpr double kRounding = 1e-9;
        const bool outside =
            neck && (radius < kLeastNeckRadius - kRounding || radius > kMostNeckRadius + kRounding);
        if (!outside && radius > solvent.offset) continue;
        throw InputError(std::string(solvent_name(solvent.kind)) + ": " +
                         atom_label(molecule, static_cast<index>(i)) + " has the radius " +
                         format_double(radius) + " nm; " +
                         (neck ? "the model's necks know radii of 0.1 to 0.2 nm (mbondi3 has such)"
                               : "it must be larger than the offset of 0.009 nm"));
    }
}

}  // namespace microlift
