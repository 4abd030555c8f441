// Molecules that exist nowhere, with every term of energy, for comparisons.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <random>

#include "sampling/molecule/molecule.h"

namespace microlift {

struct RandomMolecule {
    Molecule molecule;
    std::vector<double> x;

    // A chain of atoms about a bond's length apart that turns at random by angles from 75° to 160°, at
    // least 0.17 nm from itself.
    RandomMolecule(index atoms, unsigned seed, SolventKind solvent = SolventKind::none,
                   double kappa = 0)
        : random_(seed) {
        place(atoms);
        for (index i = 0; i < atoms; ++i) {
            Atom atom;
            atom.mass = uniform(1, 16);
            atom.charge = uniform(-0.7, 0.7);
            atom.sigma = uniform(0.1, 0.34);
            atom.epsilon = i % 5 == 3 ? 0.0 : uniform(0.05, 0.6);
            molecule.atoms.push_back(atom);
        }
        for (index i = 0; i + 1 < atoms; ++i) add_terms(i, atoms);
        molecule.restraints.push_back({2, 500, {0.1, -0.2, 0.05}});
        add_map();
        if (atoms > 7) molecule.correction_terms.push_back({0, {0, 1, 2, 3}, {4, 3, 2, 1}});
        if (solvent != SolventKind::none) add_solvent(solvent, kappa);
    }

private:
    double uniform(double from, double to) {
        return std::uniform_real_distribution<double>(from, to)(random_);
    }

    void place(index atoms) {
        const auto clear = [&](const double (&p)[3]) {
            for (std::size_t k = 0; k + 3 < x.size(); k += 3)
                if (std::hypot(p[0] - x[k], p[1] - x[k + 1], p[2] - x[k + 2]) < 0.17) return false;
            return true;
        };
        x = {0, 0, 0};
        while (x.size() < static_cast<std::size_t>(3 * atoms)) {
            const std::size_t last = x.size() - 3;
            const double z = uniform(-1, 1), phi = uniform(0, 2 * std::numbers::pi),
                         r = uniform(0.10, 0.15), s = r * std::sqrt(1 - z * z);
            const double p[3] = {x[last] + s * std::cos(phi), x[last + 1] + s * std::sin(phi),
                                 x[last + 2] + r * z};
            double back = -0.5;  // cosine of the angle at the last atom
            if (last > 0) {
                double dot = 0, square = 0;
                for (std::size_t d = 0; d < 3; ++d) {
                    const double b = x[last - 3 + d] - x[last + d];
                    dot += b * (p[d] - x[last + d]);
                    square += b * b;
                }
                back = dot / (r * std::sqrt(square));
            }
            if (back > -0.94 && back < 0.26 && clear(p)) x.insert(x.end(), p, p + 3);
        }
    }

    void add_terms(index i, index atoms) {
        // Both directions of every kind of entry occur.
        const auto turn = [&](auto a) {
            if (uniform(0, 1) < 0.5) std::reverse(a.begin(), a.end());
            return a;
        };
        if (i % 4 == 1)
            molecule.rigid_bonds.push_back({{i, i + 1}, 0.12});
        else
            molecule.bonds.push_back({turn(std::array{i, i + 1}), uniform(0.1, 0.15), uniform(1e5, 4e5)});
        molecule.exceptions.push_back({turn(std::array{i, i + 1}), 0, 0.1, 0});
        if (i + 2 >= atoms) return;
        molecule.angles.push_back({turn(std::array{i, i + 1, i + 2}), uniform(1.2, 3.1), uniform(200, 700)});
        molecule.exceptions.push_back({turn(std::array{i, i + 2}), 0, 0.1, 0});
        if (i + 3 >= atoms) return;
        molecule.exceptions.push_back({{i, i + 3}, uniform(-0.2, 0.2), uniform(0.1, 0.3), uniform(0, 0.3)});
        const std::array chain{i, i + 1, i + 2, i + 3};
        for (int n = 1; n <= 4; ++n)
            molecule.torsions.push_back(
                {turn(chain), n, n % 2 ? 0.0 : std::numbers::pi, uniform(-3, 20)});
        molecule.torsions.push_back({turn(chain), 2 + static_cast<int>(i % 6), uniform(-3, 3), 4});
        molecule.torsions.push_back({turn(std::array{i, i + 2, i + 1, i + 3}), 2, std::numbers::pi, 5});
        if (i % 3 == 0)
            molecule.ryckaert_torsions.push_back({turn(chain), {9.3, 12.2, -13.1, -3.1, 26.2, -31.5}});
        if (i % 4 == 0)
            molecule.harmonic_torsions.push_back({{i, i + 2, i + 1, i + 3}, i % 8 == 0 ? 3.0 : -0.4, 150});
    }

    void add_map() {
        CorrectionMap map;
        map.size = 12;
        for (int k = 0; k < 144; ++k) map.energy.push_back(uniform(-4, 4));
        molecule.maps.push_back(map);
    }

    void add_solvent(SolventKind kind, double kappa) {
        Solvent& s = molecule.solvent;
        s.kind = kind;
        s.kappa = kappa;
        s.surface_energy = 28.3919551;
        if (kind == SolventKind::gbn2) s.offset = 0.0195141;
        s.neck_scale = kind == SolventKind::gbn2 ? 0.826836 : 0.361825;
        for (index i = 0; i < molecule.size(); ++i) {
            const bool negative = kind == SolventKind::gbn2 && i % 6 == 5;  // as sulphur's
            s.atoms.push_back({uniform(0.12, 0.19), negative ? -0.7 : uniform(0.5, 0.95), 1.0, 0.8, 4.85});
        }
    }

    std::mt19937 random_;
};

}  // namespace microlift
