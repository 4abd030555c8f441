#include "sampling/lift/molecule_laws.h"
#include "engine/at.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <numbers>
#include <set>

namespace microlift {
namespace {

constexpr double kNoNumber = std::numeric_limits<double>::quiet_NaN();


// F_a − F_b of two sorted samples where it is constant, between neighbours of all values.
struct Pieces {
    std::vector<double> width, difference;
};
Pieces pieces_of(std::vector<double>& a, std::vector<double>& b) {
    std::sort(a.begin(), a.end());
    std::sort(b.begin(), b.end());
    Pieces pieces;
    std::size_t i = 0, j = 0;
    double last = std::min(a.front(), b.front());
    const double share_a = 1 / static_cast<double>(a.size()), share_b = 1 / static_cast<double>(b.size());
    while (i < a.size() || j < b.size()) {
        const bool first = j == b.size() || (i < a.size() && a[i] <= b[j]);
        const double next = first ? a[i] : b[j];
        pieces.width.push_back(next - last);
        pieces.difference.push_back(static_cast<double>(i) * share_a - static_cast<double>(j) * share_b);
        last = next;
        ++(first ? i : j);
    }
    return pieces;
}

using Vector3 = std::array<double, 3>;
struct StateView {
    const std::vector<float>& x;
    index n, column;
    Vector3 atom(index a) const {
        Vector3 v;
        for (index d = 0; d < 3; ++d) v[at(d)] = static_cast<double>(x[at((3 * a + d) * n + column)]);
        return v;
    }
    Vector3 between(index from, index to) const {
        const Vector3 a = atom(from), b = atom(to);
        return {b[0] - a[0], b[1] - a[1], b[2] - a[2]};
    }
};
double product(const Vector3& a, const Vector3& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
Vector3 normal_of(const Vector3& a, const Vector3& b) {
    return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}
double norm(const Vector3& a) { return std::sqrt(product(a, a)); }

double value_of(const MoleculeLaw& law, const StateView& state) {
    const auto& a = law.atoms;
    if (law.kind == LawKind::bond) return norm(state.between(a[0], a[1]));
    if (law.kind == LawKind::angle) {
        const Vector3 u = state.between(a[1], a[0]), w = state.between(a[1], a[2]);
        return std::atan2(norm(normal_of(u, w)), product(u, w));
    }
    const Vector3 f = state.between(a[0], a[1]), g = state.between(a[1], a[2]), h = state.between(a[2], a[3]);
    const Vector3 u = normal_of(f, g), w = normal_of(g, h);
    return std::atan2(product(normal_of(u, w), g) / norm(g), product(u, w));
}

std::vector<double> values_of(const MoleculeLaw& law, const std::vector<float>& x, index n) {
    std::vector<double> values;
    for (index j = 0; j < n; ++j) values.push_back(value_of(law, {x, n, j}));
    return values;
}

double distance_of(LawKind kind, const std::vector<double>& a, const std::vector<double>& b) {
    return kind == LawKind::torsion ? wasserstein_on_circle(a, b, 2 * std::numbers::pi)
                                    : wasserstein_on_line(a, b);
}

double deviation_of(LawKind kind, const std::vector<double>& values) {
    double sum = 0, squares = 0, cosine = 0, sine = 0;
    const double n = static_cast<double>(values.size());
    for (const double v : values) {
        sum += v - values[0];
        squares += (v - values[0]) * (v - values[0]);
        cosine += std::cos(v) / n;
        sine += std::sin(v) / n;
    }
    if (kind == LawKind::torsion) return std::sqrt(2 * std::max(0.0, 1 - std::hypot(cosine, sine)));
    return std::sqrt(std::max(0.0, squares / n - sum * sum / (n * n)));
}

std::vector<MoleculeLaw> laws_of(const Molecule& m) {
    std::set<std::array<index, 2>> bound;
    std::vector<MoleculeLaw> laws;
    const auto bind = [&](const std::array<index, 2>& b) {
        bound.insert({b[0], b[1]});
        bound.insert({b[1], b[0]});
    };
    for (const Bond& b : m.bonds) {
        bind(b.atoms);
        laws.push_back({LawKind::bond, {b.atoms.begin(), b.atoms.end()}});
    }
    for (const RigidBond& b : m.rigid_bonds) bind(b.atoms);
    for (const auto& b : m.bonded) bind(b);
    for (const Angle& a : m.angles) laws.push_back({LawKind::angle, {a.atoms.begin(), a.atoms.end()}});
    std::set<std::array<index, 4>> seen;
    const auto turn = [&](const std::array<index, 4>& t) {
        for (std::size_t k = 0; k < 3; ++k)
            if (!bound.contains({t[k], t[k + 1]})) return;  // improper
        if (seen.contains(t) || seen.contains({t[3], t[2], t[1], t[0]})) return;
        seen.insert(t);
        laws.push_back({LawKind::torsion, {t.begin(), t.end()}});
    };
    for (const Torsion& t : m.torsions) turn(t.atoms);
    for (const RyckaertTorsion& t : m.ryckaert_torsions) turn(t.atoms);
    return laws;
}

}  // namespace

double wasserstein_on_line(std::vector<double> a, std::vector<double> b) {
    if (a.empty() || b.empty()) return kNoNumber;
    const Pieces pieces = pieces_of(a, b);
    double sum = 0;
    for (std::size_t k = 0; k < pieces.width.size(); ++k)
        sum += pieces.width[k] * std::abs(pieces.difference[k]);
    return sum;
}

// The least of ∫ |F_a − F_b − c| over c, which is where the circle is cut: c is the median.
double wasserstein_on_circle(std::vector<double> a, std::vector<double> b, double period) {
    if (a.empty() || b.empty()) return kNoNumber;
    for (auto* sample : {&a, &b})
        for (double& v : *sample) v -= period * std::floor(v / period);
    Pieces pieces = pieces_of(a, b);
    pieces.width.push_back(period - (std::max(a.back(), b.back()) - std::min(a.front(), b.front())));
    pieces.difference.push_back(0);
    std::vector<std::size_t> order(pieces.width.size());
    for (std::size_t k = 0; k < order.size(); ++k) order[k] = k;
    std::sort(order.begin(), order.end(),
              [&](std::size_t i, std::size_t j) { return pieces.difference[i] < pieces.difference[j]; });
    double covered = 0, median = 0;
    for (const std::size_t k : order) {
        median = pieces.difference[k];
        covered += pieces.width[k];
        if (covered >= 0.5 * period) break;
    }
    double sum = 0;
    for (std::size_t k = 0; k < pieces.width.size(); ++k)
        sum += pieces.width[k] * std::abs(pieces.difference[k] - median);
    return sum;
}

double MoleculeLaws::mean(LawKind kind) const {
    double sum = 0, count = 0;
    for (const MoleculeLaw& law : laws)
        if (law.kind == kind && law.deviation > 0) sum += law.distance / law.deviation, ++count;
    return count > 0 ? sum / count : 0;
}

double MoleculeLaws::worst(LawKind kind) const {
    double most = 0;
    for (const MoleculeLaw& law : laws)
        if (law.kind == kind && law.deviation > 0) most = std::max(most, law.distance / law.deviation);
    return most;
}

std::vector<double> closest_approaches(const Molecule& m, const std::vector<float>& states, index n) {
    std::map<std::array<index, 2>, const PairException*> exceptions;
    for (const PairException& e : m.exceptions)
        exceptions[{std::min(e.atoms[0], e.atoms[1]), std::max(e.atoms[0], e.atoms[1])}] = &e;
    std::vector<double> closest(at(n), std::numeric_limits<double>::infinity());
    for (index i = 0; i < m.size(); ++i)
        for (index j = i + 1; j < m.size(); ++j) {
            const Atom &a = m.atoms[at(i)], &b = m.atoms[at(j)];
            double sigma = 0.5 * (a.sigma + b.sigma), epsilon = a.epsilon * b.epsilon;
            if (const auto own = exceptions.find({i, j}); own != exceptions.end())
                sigma = own->second->sigma, epsilon = own->second->epsilon;
            if (!(epsilon > 0) || !(sigma > 0)) continue;
            for (index k = 0; k < n; ++k)
                closest[at(k)] = std::min(closest[at(k)], norm(StateView{states, n, k}.between(i, j)) / sigma);
        }
    return closest;
}

MoleculeLaws compare_laws(const Molecule& molecule, const std::vector<float>& generated, index generated_n,
                          const std::vector<float>& physics, index physics_n) {
    MoleculeLaws result;
    for (MoleculeLaw law : laws_of(molecule)) {
        const std::vector<double> own = values_of(law, generated, generated_n);
        const std::vector<double> exact = values_of(law, physics, physics_n);
        law.distance = distance_of(law.kind, own, exact);
        if (!exact.empty()) law.deviation = deviation_of(law.kind, exact);
        // Every other sample, so that the halves are alike where samples come in an order.
        std::vector<double> half[2];
        for (std::size_t k = 0; k < exact.size(); ++k) half[k % 2].push_back(exact[k]);
        law.floor = distance_of(law.kind, half[0], half[1]) / std::numbers::sqrt2;
        result.laws.push_back(std::move(law));
    }
    const std::vector<double> own = closest_approaches(molecule, generated, generated_n);
    const std::vector<double> exact = closest_approaches(molecule, physics, physics_n);
    result.closest_of_physics = exact.empty() ? 0 : *std::min_element(exact.begin(), exact.end());
    const auto close = std::count_if(own.begin(), own.end(),
                                     [&](double r) { return !(r >= result.closest_of_physics); });
    if (!own.empty()) result.clashes = static_cast<double>(close) / static_cast<double>(own.size());
    return result;
}

}  // namespace microlift
