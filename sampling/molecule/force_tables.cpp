#include "sampling/molecule/force_tables.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <utility>

#include "engine/error.h"
#include "sampling/molecule/correction_map.h"
#include "sampling/molecule/neck_table.h"

namespace microlift {
namespace {

// Phases of torsions nearer than this to 0 or π are taken for these. Files round π to six digits, which
// is less than what single precision sees of a force.
template <class T>
constexpr double kPhaseRounding = sizeof(T) == 4 ? 1e-5 : 1e-12;

// Their pairs take 1 GB.
constexpr index kMostPairAtoms = 8192;

using Quadruple = std::array<index, 4>;

int32 row_of(index atom) { return static_cast<int32>(3 * atom); }

template <class T>
class Flattener {
public:
    explicit Flattener(const Molecule& molecule) : m_(molecule) {}

    ForceArrays<T> flatten() {
        if (m_.size() > kMostPairAtoms)
            throw InputError("a molecule of " + std::to_string(m_.size()) +
                             " atoms: all its pairs are computed; give one of at most " +
                             std::to_string(kMostPairAtoms));
        add_bonds();
        add_angles();
        add_torsions();
        add_cmaps();
        add_restraints();
        sort_torsions();
        fill_twos();
        add_pulls();
        if (m_.solvent.kind == SolventKind::none)
            add_tiles();
        else
            add_solvent();
        count();
        return std::move(out_);
    }

private:
    // An edge and +1 where it points from b to a.
    struct Directed {
        int32 edge;
        double sign;
    };

    Directed edge(index a, index b) {
        if (const auto known = edge_of_.find({a, b}); known != edge_of_.end())
            return {known->second, 1.0};
        if (const auto known = edge_of_.find({b, a}); known != edge_of_.end())
            return {known->second, -1.0};
        return {new_edge(a, b, 0, 0), 1.0};
    }
    int32 new_edge(index a, index b, double length, double stiffness) {
        const auto number = static_cast<int32>(out_.edges.size());
        out_.edges.push_back({row_of(a), row_of(b), static_cast<T>(length), static_cast<T>(stiffness)});
        edge_of_.insert({{a, b}, number});
        return number;
    }
    int32 corner(int32 first, int32 second) {
        const std::pair key{std::min(first, second), std::max(first, second)};
        if (const auto known = corner_of_.find(key); known != corner_of_.end()) return known->second;
        return new_corner(first, second, 0, 0);
    }
    int32 new_corner(int32 first, int32 second, double angle, double stiffness) {
        const auto number = static_cast<int32>(out_.corners.size());
        out_.corners.push_back({4 * first, 4 * second, static_cast<T>(angle), static_cast<T>(stiffness)});
        corner_of_.insert({{std::min(first, second), std::max(first, second)}, number});
        return number;
    }

    void add_bonds() {
        for (const Bond& bond : m_.bonds)
            new_edge(bond.atoms[0], bond.atoms[1], bond.length, bond.stiffness);
    }

    void add_angles() {
        for (const Angle& angle : m_.angles) {
            const auto [i, j, k] = angle.atoms;
            const Directed a = edge(i, j), b = edge(k, j);
            // Of edges that point oppositely the angle is π less that of the atoms.
            const double rest = a.sign * b.sign > 0 ? angle.angle : std::numbers::pi - angle.angle;
            new_corner(a.edge, b.edge, rest, angle.stiffness);
        }
    }

    // --- torsions --------------------------------------------------------------------------------------

    // Powers of cos φ.
    using Powers = std::array<double, kTorsionDegree + 1>;

    DihedralEntry<T> dihedral(const Quadruple& q) {
        const Directed f = edge(q[0], q[1]), g = edge(q[1], q[2]), h = edge(q[3], q[2]);
        return {f.edge, g.edge, h.edge, static_cast<T>(f.sign * h.sign),
                static_cast<T>(-f.sign * g.sign * h.sign)};
    }
    static Quadruple canonical(const Quadruple& q) {
        const Quadruple reversed{q[3], q[2], q[1], q[0]};
        return std::min(q, reversed);
    }
    // Adds k (1 ± cos nφ).
    static void add_cosine(Powers& powers, double k, int n, double sign) {
        Powers before{1}, now{0, 1};  // T₀, T₁
        if (n == 0) now = before;
        for (int m = 2; m <= n; ++m) {
            Powers next{};
            for (std::size_t p = 0; p < next.size(); ++p)
                next[p] = (p ? 2 * now[p - 1] : 0.0) - before[p];
            before = now;
            now = next;
        }
        powers[0] += k;
        for (std::size_t p = 0; p < powers.size(); ++p) powers[p] += sign * k * now[p];
    }

    void add_torsions() {
        std::map<Quadruple, Powers> sums;
        for (const Torsion& torsion : m_.torsions) {
            if (torsion.stiffness == 0) continue;
            const double s = std::sin(torsion.phase), c = std::cos(torsion.phase);
            if (std::abs(s) < kPhaseRounding<T> && torsion.periodicity <= kTorsionDegree) {
                Powers& powers = sums.try_emplace(canonical(torsion.atoms), Powers{}).first->second;
                add_cosine(powers, torsion.stiffness, torsion.periodicity, c > 0 ? 1.0 : -1.0);
            } else {
                out_.periodics.push_back({dihedral(torsion.atoms), torsion.periodicity,
                                          static_cast<T>(torsion.stiffness * c),
                                          static_cast<T>(torsion.stiffness * s),
                                          static_cast<T>(torsion.stiffness)});
            }
        }
        for (const HarmonicTorsion& torsion : m_.harmonic_torsions)
            if (torsion.stiffness != 0)
                out_.periodics.push_back({dihedral(torsion.atoms), 0, static_cast<T>(std::cos(torsion.angle)),
                                          static_cast<T>(std::sin(torsion.angle)),
                                          static_cast<T>(torsion.stiffness)});
        for (const RyckaertTorsion& torsion : m_.ryckaert_torsions) {
            Powers& powers = sums.try_emplace(canonical(torsion.atoms), Powers{}).first->second;
            for (std::size_t n = 0; n < torsion.coefficients.size(); ++n)
                powers[n] += (n % 2 ? -1 : 1) * torsion.coefficients[n];  // cos(φ − π) = −cos φ
        }
        for (const auto& [atoms, powers] : sums) add_polynomial(atoms, powers);
    }

    void add_polynomial(const Quadruple& atoms, const Powers& powers) {
        const DihedralEntry<T> at = dihedral(atoms);
        TorsionEntry<T> entry{4 * at.first, 4 * at.last, 3 * corner(at.first, at.middle),
                              3 * corner(at.last, at.middle), {}, 1, static_cast<T>(powers[0])};
        double fold = 1;
        for (int n = 1; n <= kTorsionDegree; ++n) {
            fold *= static_cast<double>(at.fold);
            const double power = fold * powers[static_cast<std::size_t>(n)];
            entry.slope[n - 1] = static_cast<T>(n * power);
            if (power != 0) entry.degree = n;
        }
        out_.torsions.push_back(entry);
    }

    void add_cmaps() {
        std::vector<int32> first;
        for (const CorrectionMap& map : m_.maps) {
            first.push_back(static_cast<int32>(out_.maps.size()));
            for (const double c : bicubic_coefficients(map)) out_.maps.push_back(static_cast<T>(c));
        }
        for (const CorrectionTerm& term : m_.correction_terms) {
            const auto map = static_cast<std::size_t>(term.map);
            out_.cmaps.push_back(
                {dihedral(term.first), dihedral(term.second), first[map], m_.maps[map].size});
        }
    }

    void add_restraints() {
        for (const PositionRestraint& r : m_.restraints) {
            const auto& p = r.position;
            out_.restraints.push_back({row_of(r.atom), static_cast<T>(r.stiffness),
                                       {static_cast<T>(p[0]), static_cast<T>(p[1]),
                                        static_cast<T>(p[2])}});
        }
    }

    // Loops of one length after each other.
    void sort_torsions() {
        std::stable_sort(out_.torsions.begin(), out_.torsions.end(),
                         [](const auto& a, const auto& b) { return a.degree < b.degree; });
    }
    void fill_twos() {
        if (out_.edges.size() % 2 != 0) {
            out_.edges.push_back(out_.edges.back());
            out_.edges.back().stiffness = 0;
        }
        if (out_.corners.size() % 2 != 0) {
            out_.corners.push_back(out_.corners.back());
            out_.corners.back().stiffness = 0;
        }
    }
    // What pulls on each edge: corners and torsions turn its unit vector towards another's.
    void add_pulls() {
        const auto bonds = static_cast<int32>(m_.bonds.size());
        const auto corners = 4 * static_cast<int32>(out_.edges.size()) + bonds;
        const auto torsions = corners + 3 * static_cast<int32>(out_.corners.size());
        std::vector<std::vector<EdgePull>> of(out_.edges.size());
        const auto pull = [&](int32 slope, int32 first, int32 second) {  // edges as rows
            of[static_cast<std::size_t>(first / 4)].push_back({slope, second});
            of[static_cast<std::size_t>(second / 4)].push_back({slope, first});
        };
        for (std::size_t n = 0; n < out_.corners.size(); ++n)
            pull(corners + 3 * static_cast<int32>(n) + 2, out_.corners[n].first, out_.corners[n].second);
        for (std::size_t n = 0; n < out_.torsions.size(); ++n)
            pull(torsions + static_cast<int32>(n), out_.torsions[n].first, out_.torsions[n].last);
        for (std::size_t n = 0; n < of.size(); ++n) out_.pulls.push_back({static_cast<int32>(n), 0});
        const auto count = [&](const EdgePulls& own) { return of[static_cast<std::size_t>(own.edge)].size(); };
        std::stable_sort(out_.pulls.begin(), out_.pulls.end(),
                         [&](const EdgePulls& a, const EdgePulls& b) { return count(a) < count(b); });
        for (EdgePulls& own : out_.pulls) {
            const auto& pulls = of[static_cast<std::size_t>(own.edge)];
            out_.pull.insert(out_.pull.end(), pulls.begin(), pulls.end());
            own.end = static_cast<int32>(out_.pull.size());
        }
    }

    // --- pairs -----------------------------------------------------------------------------------------

    void read_exceptions() {
        for (const PairException& e : m_.exceptions)
            exceptions_[{std::min(e.atoms[0], e.atoms[1]), std::max(e.atoms[0], e.atoms[1])}] = e;
    }
    PairParameters<T> parameters(index i, index j) const {
        double charge, sigma, epsilon;
        if (const auto found = exceptions_.find({i, j}); found != exceptions_.end()) {
            charge = found->second.charge_product;
            sigma = found->second.sigma;
            epsilon = found->second.epsilon;
        } else {
            const Atom &a = m_.atoms[static_cast<std::size_t>(i)],
                       &b = m_.atoms[static_cast<std::size_t>(j)];
            charge = a.charge * b.charge;
            sigma = (a.sigma + b.sigma) / 2;
            epsilon = std::sqrt(a.epsilon * b.epsilon);
        }
        const double sixth = std::pow(sigma, 6);
        return {static_cast<T>(kCoulomb * charge), static_cast<T>(48 * epsilon * sixth * sixth),
                static_cast<T>(24 * epsilon * sixth)};
    }
    static bool acts(const PairParameters<T>& p) {
        return p.charge != 0 || p.repulsion != 0 || p.attraction != 0;
    }

    void add_tiles() {
        read_exceptions();
        const auto single = [&](index i, index j) {
            if (const PairParameters<T> p = parameters(i, j); acts(p))
                out_.singles.push_back({row_of(i), row_of(j), p});
        };
        const index n = m_.size();
        for (index i = 0; i < n; i += 2) {
            if (i + 1 < n) single(i, i + 1);
            const std::size_t before = out_.tile_entries.size();
            for (index j = i + 2; j < n; ++j) {
                const PairParameters<T> p = parameters(i, j), q = parameters(i + 1, j);
                if (acts(p) && acts(q)) {
                    out_.tile_entries.push_back({row_of(j), {p, q}});
                } else {
                    single(i, j);
                    single(i + 1, j);
                }
            }
            if (out_.tile_entries.size() > before)
                out_.tiles.push_back(
                    {row_of(i), row_of(i + 1), static_cast<int32>(out_.tile_entries.size())});
        }
        if (!out_.tiles.empty()) out_.tile_entries.push_back({});  // loaded, and nothing else
        if (out_.singles.size() % 2 != 0) {  // one that does nothing
            PairEntry<T> idle = out_.singles.back();
            idle.pair = {0, 0, 0};
            out_.singles.push_back(idle);
        }
    }

    void add_solvent() {
        read_exceptions();
        const Solvent& s = m_.solvent;
        // Without salt what the dielectrics leave of charges is one factor.
        const double left = s.coulomb * (s.kappa > 0 ? 1 : 1 / s.solute_dielectric - 1 / s.solvent_dielectric);
        const auto t = [](double x) { return static_cast<T>(x); };
        const auto charge = [&](index i) { return m_.atoms[static_cast<std::size_t>(i)].charge; };
        const index n = m_.size();
        bool positive = true;
        for (index i = 0; i < n; ++i) {
            const auto& p = s.atoms[static_cast<std::size_t>(i)];
            const double radius = p.radius - s.offset, reach = p.radius + s.probe_radius, scaled = p.scale * radius;
            positive = positive && scaled >= 0;
            out_.born.push_back({t(radius), t(scaled), t(scaled * scaled / 4), t(1 / radius), t(p.alpha), t(p.beta),
                                 t(p.gamma), t(s.kind == SolventKind::hct ? 0 : 1 / p.radius),
                                 t(left * charge(i) * charge(i)), t(s.surface_energy * reach * reach), t(p.radius)});
        }
        const bool neck = s.kind == SolventKind::gbn || s.kind == SolventKind::gbn2;
        const auto pair = [&](index i, index j) {
            out_.born_pairs.push_back({parameters(i, j), t(left * charge(i) * charge(j))});
            if (neck) add_neck(i, j);
        };
        for (index i = 0; i + 1 < n; i += 2) {
            pair(i, i + 1);
            for (index j = i + 2; j < n; ++j) {
                pair(i, j);
                pair(i + 1, j);
            }
        }
        out_.counts.plain = positive && !neck && s.kappa == 0;
        out_.counts.solvent = true;
        out_.counts.neck = neck;
        out_.counts.solute = static_cast<T>(1 / s.solute_dielectric);
        out_.counts.solvent_part = static_cast<T>(1 / s.solvent_dielectric);
        out_.counts.kappa = static_cast<T>(s.kappa);
    }
    void add_neck(index i, index j) {
        const Solvent& s = m_.solvent;
        const double a = s.atoms[static_cast<std::size_t>(i)].radius,
                     b = s.atoms[static_cast<std::size_t>(j)].radius;
        const Neck first = neck_between(a, b), second = neck_between(b, a);
        out_.neck_pairs.push_back(
            {static_cast<T>(a + b + s.neck_cut),
             {static_cast<T>(2 * s.neck_scale * first.height), static_cast<T>(2 * s.neck_scale * second.height)},
             {static_cast<T>(first.distance), static_cast<T>(second.distance)}});
    }

    void count() {
        const auto size = [](const auto& v) { return static_cast<int32>(v.size()); };
        ForceView<T>& c = out_.counts;
        c.atoms = static_cast<int32>(m_.size());
        c.edges = size(out_.edges);
        c.bonds = size(m_.bonds);
        c.corners = size(out_.corners);
        c.angles = size(m_.angles);
        c.torsions = size(out_.torsions);
        c.periodics = size(out_.periodics);
        c.cmaps = size(out_.cmaps);
        c.tiles = size(out_.tiles);
        c.singles = size(out_.singles);
        c.restraints = size(out_.restraints);
    }

    const Molecule& m_;
    ForceArrays<T> out_;
    std::map<std::pair<index, index>, int32> edge_of_;
    std::map<std::pair<int32, int32>, int32> corner_of_;
    std::map<std::pair<index, index>, PairException> exceptions_;
};

}  // namespace

template <class T>
ForceArrays<T> flatten(const Molecule& molecule) {
    return Flattener<T>(molecule).flatten();
}

template <class T>
template <class Entry>
const Entry* ForceTables<T>::keep(Stream& stream, Buffer<Entry>& buffer,
                                  const std::vector<Entry>& entries) {
    if (entries.empty()) return nullptr;
    buffer = Buffer<Entry>(stream.device(), static_cast<index>(entries.size()));
    copy_to_device(stream, buffer.span(), entries.data());
    return buffer.data();
}

template <class T>
ForceTables<T>::ForceTables(Stream& stream, const Molecule& molecule) {
    const ForceArrays<T> arrays = flatten<T>(molecule);
    view_ = arrays.counts;
    view_.edge = keep(stream, edges_, arrays.edges);
    view_.pulls = keep(stream, pulls_, arrays.pulls);
    view_.pull = keep(stream, pull_, arrays.pull);
    view_.corner = keep(stream, corners_, arrays.corners);
    view_.torsion = keep(stream, torsions_, arrays.torsions);
    view_.periodic = keep(stream, periodics_, arrays.periodics);
    view_.cmap = keep(stream, cmaps_, arrays.cmaps);
    view_.map = keep(stream, maps_, arrays.maps);
    view_.tile = keep(stream, tiles_, arrays.tiles);
    view_.tile_entry = keep(stream, tile_entries_, arrays.tile_entries);
    view_.single = keep(stream, singles_, arrays.singles);
    view_.restraint = keep(stream, restraints_, arrays.restraints);
    view_.born = keep(stream, born_, arrays.born);
    view_.born_pair = keep(stream, born_pairs_, arrays.born_pairs);
    view_.neck_pair = keep(stream, neck_pairs_, arrays.neck_pairs);
}

template ForceArrays<float> flatten(const Molecule&);
template ForceArrays<double> flatten(const Molecule&);
template class ForceTables<float>;
template class ForceTables<double>;

}  // namespace microlift
