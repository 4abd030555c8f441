#include "tests/sampling/molecule/reference_energy.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

#include "sampling/molecule/neck_table.h"

namespace microlift {
namespace {

using Point = std::array<double, 3>;

Point point(const std::vector<double>& x, index atom) {
    const auto at = static_cast<std::size_t>(3 * atom);
    return {x[at], x[at + 1], x[at + 2]};
}
Point minus(const Point& a, const Point& b) { return {a[0] - b[0], a[1] - b[1], a[2] - b[2]}; }
double inner(const Point& a, const Point& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
Point outer(const Point& a, const Point& b) {
    return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}
double length(const Point& a) { return std::sqrt(inner(a, a)); }
double distance(const std::vector<double>& x, index i, index j) {
    return length(minus(point(x, i), point(x, j)));
}

// The periodic spline's second derivatives are found by solving its equations densely; the patch is then
// the tensor product of two one-dimensional interpolations.
double spline_at(const std::vector<double>& y, double at) {
    const std::size_t n = y.size();
    std::vector<std::vector<double>> a(n, std::vector<double>(n + 1, 0.0));
    for (std::size_t i = 0; i < n; ++i) {
        const std::size_t before = (i + n - 1) % n, after = (i + 1) % n;
        a[i][before] += 1;
        a[i][i] += 4;
        a[i][after] += 1;
        a[i][n] = 6 * (y[after] - 2 * y[i] + y[before]);
    }
    for (std::size_t c = 0; c < n; ++c) {
        for (std::size_t r = c + 1; r < n; ++r) {
            const double factor = a[r][c] / a[c][c];
            for (std::size_t k = c; k <= n; ++k) a[r][k] -= factor * a[c][k];
        }
    }
    std::vector<double> second(n);
    for (std::size_t c = n; c-- > 0;) {
        double sum = a[c][n];
        for (std::size_t k = c + 1; k < n; ++k) sum -= a[c][k] * second[k];
        second[c] = sum / a[c][c];
    }
    const double place = at - std::floor(at / static_cast<double>(n)) * static_cast<double>(n);
    const std::size_t i = static_cast<std::size_t>(place) % n, j = (i + 1) % n;
    const double t = place - std::floor(place), s = 1 - t;
    return s * y[i] + t * y[j] + ((s * s * s - s) * second[i] + (t * t * t - t) * second[j]) / 6;
}

double map_energy(const CorrectionMap& map, double phi, double psi) {
    const auto n = static_cast<std::size_t>(map.size);
    const double per_turn = static_cast<double>(n) / (2 * std::numbers::pi);
    std::vector<double> column(n);
    for (std::size_t j = 0; j < n; ++j) {
        const auto from = map.energy.begin() + static_cast<std::ptrdiff_t>(j * n);
        column[j] = spline_at({from, from + static_cast<std::ptrdiff_t>(n)}, phi * per_turn);
    }
    return spline_at(column, psi * per_turn);
}

double pairs(const Molecule& m, const std::vector<double>& x, bool coulomb) {
    std::map<std::pair<index, index>, PairException> exceptions;
    for (const PairException& e : m.exceptions) exceptions[std::minmax(e.atoms[0], e.atoms[1])] = e;
    double sum = 0;
    for (index i = 0; i < m.size(); ++i)
        for (index j = i + 1; j < m.size(); ++j) {
            const Atom &a = m.atoms[static_cast<std::size_t>(i)], &b = m.atoms[static_cast<std::size_t>(j)];
            double q = a.charge * b.charge, sigma = (a.sigma + b.sigma) / 2,
                   epsilon = std::sqrt(a.epsilon * b.epsilon);
            if (const auto e = exceptions.find({i, j}); e != exceptions.end()) {
                q = e->second.charge_product;
                sigma = e->second.sigma;
                epsilon = e->second.epsilon;
            }
            const double r = distance(x, i, j), sixth = std::pow(sigma / r, 6);
            sum += coulomb ? kCoulomb * q / r : 4 * epsilon * (sixth * sixth - sixth);
        }
    return sum;
}

// Definitions in the words of the papers, before any rearrangement.
std::vector<double> born_radii(const Molecule& m, const std::vector<double>& x) {
    const Solvent& s = m.solvent;
    std::vector<double> radii;
    for (index i = 0; i < m.size(); ++i) {
        const auto& atom = s.atoms[static_cast<std::size_t>(i)];
        const double rho = atom.radius - s.offset;
        double sum = 0;
        for (index j = 0; j < m.size(); ++j) {
            if (i == j) continue;
            const auto& other = s.atoms[static_cast<std::size_t>(j)];
            const double r = distance(x, i, j), sr = other.scale * (other.radius - s.offset);
            if (r + sr >= rho) {
                const double upper = r + sr, lower = std::max(rho, std::abs(r - sr));
                sum += 0.5 * (1 / lower - 1 / upper +
                              0.25 * (r - sr * sr / r) * (1 / (upper * upper) - 1 / (lower * lower)) +
                              0.5 * std::log(lower / upper) / r);
            }
            const bool neck = s.kind == SolventKind::gbn || s.kind == SolventKind::gbn2;
            if (neck && r < atom.radius + other.radius + s.neck_cut) {
                const Neck n = neck_between(atom.radius, other.radius);
                sum += s.neck_scale * n.height /
                       (1 + 100 * std::pow(r - n.distance, 2) + 3e5 * std::pow(r - n.distance, 6));
            }
        }
        const double psi = sum * rho;
        radii.push_back(s.kind == SolventKind::hct
                            ? 1 / (1 / rho - sum)
                            : 1 / (1 / rho - std::tanh(atom.alpha * psi - atom.beta * psi * psi +
                                                       atom.gamma * psi * psi * psi) /
                                                 atom.radius));
    }
    return radii;
}

void add_solvent(const Molecule& m, const std::vector<double>& x,
                 std::array<double, kForceTerms>& e) {
    const Solvent& s = m.solvent;
    const std::vector<double> b = born_radii(m, x);
    const double k = s.coulomb;
    const auto field = [&](double f) {
        return (1 / s.solute_dielectric - std::exp(-s.kappa * f) / s.solvent_dielectric) / f;
    };
    for (std::size_t i = 0; i < b.size(); ++i) {
        const double q = m.atoms[i].charge, radius = s.atoms[i].radius;
        e[kTermSolvent] -= 0.5 * k * q * q * field(b[i]);
        e[kTermSurface] +=
            s.surface_energy * std::pow(radius + s.probe_radius, 2) * std::pow(radius / b[i], 6);
        for (std::size_t j = i + 1; j < b.size(); ++j) {
            const double r = distance(x, static_cast<index>(i), static_cast<index>(j));
            const double bb = b[i] * b[j];
            const double f = std::sqrt(r * r + bb * std::exp(-r * r / (4 * bb)));
            e[kTermSolvent] -= k * q * m.atoms[j].charge * field(f);
        }
    }
}

}  // namespace

double reference_angle(const std::vector<double>& x, const std::array<index, 3>& atoms) {
    const Point a = minus(point(x, atoms[0]), point(x, atoms[1]));
    const Point b = minus(point(x, atoms[2]), point(x, atoms[1]));
    return std::atan2(length(outer(a, b)), inner(a, b));
}

double reference_dihedral(const std::vector<double>& x, const std::array<index, 4>& atoms) {
    const Point a = minus(point(x, atoms[1]), point(x, atoms[0]));
    const Point b = minus(point(x, atoms[2]), point(x, atoms[1]));
    const Point c = minus(point(x, atoms[3]), point(x, atoms[2]));
    return std::atan2(length(b) * inner(a, outer(b, c)), inner(outer(a, b), outer(b, c)));
}

std::array<double, kForceTerms> reference_energy(const Molecule& m, const std::vector<double>& x) {
    std::array<double, kForceTerms> e{};
    for (const Bond& b : m.bonds)
        e[kTermBond] += 0.5 * b.stiffness * std::pow(distance(x, b.atoms[0], b.atoms[1]) - b.length, 2);
    for (const Angle& a : m.angles)
        e[kTermAngle] += 0.5 * a.stiffness * std::pow(reference_angle(x, a.atoms) - a.angle, 2);
    for (const Torsion& t : m.torsions)
        e[kTermTorsion] +=
            t.stiffness * (1 + std::cos(t.periodicity * reference_dihedral(x, t.atoms) - t.phase));
    for (const RyckaertTorsion& t : m.ryckaert_torsions)
        for (std::size_t n = 0; n < 6; ++n)
            e[kTermTorsion] +=
                t.coefficients[n] * std::pow(std::cos(reference_dihedral(x, t.atoms) - std::numbers::pi),
                                             static_cast<int>(n));
    for (const HarmonicTorsion& t : m.harmonic_torsions)
        e[kTermTorsion] +=
            0.5 * t.stiffness *
            std::pow(std::remainder(reference_dihedral(x, t.atoms) - t.angle, 2 * std::numbers::pi), 2);
    for (const CorrectionTerm& c : m.correction_terms)
        e[kTermCmap] += map_energy(m.maps[static_cast<std::size_t>(c.map)],
                                   reference_dihedral(x, c.first), reference_dihedral(x, c.second));
    e[kTermLennardJones] = pairs(m, x, false);
    e[kTermCoulomb] = pairs(m, x, true);
    if (m.solvent.kind != SolventKind::none) add_solvent(m, x, e);
    for (const PositionRestraint& r : m.restraints) {
        const Point d = minus(point(x, r.atom), r.position);
        e[kTermRestraint] += 0.5 * r.stiffness * inner(d, d);
    }
    return e;
}

std::vector<double> reference_force(const Molecule& m, const std::vector<double>& x) {
    const auto total = [&](const std::vector<double>& at) {
        double sum = 0;
        for (const double e : reference_energy(m, at)) sum += e;
        return sum;
    };
    const double h = 1e-4;
    std::vector<double> force, at = x;
    for (std::size_t d = 0; d < x.size(); ++d) {
        const auto moved = [&](double by) {
            at[d] = x[d] + by;
            const double e = total(at);
            at[d] = x[d];
            return e;
        };
        force.push_back(-(8 * (moved(h) - moved(-h)) - (moved(2 * h) - moved(-2 * h))) / (12 * h));
    }
    return force;
}

}  // namespace microlift
