#include "sampling/molecule/coordinates/z_matrix.h"

#include <algorithm>
#include <set>

#include "engine/at.h"
#include "engine/error.h"

namespace microlift {
namespace {


struct TreeWalk {
    const Molecule& molecule;
    const std::vector<std::array<index, 4>>& dihedrals;
    std::vector<std::vector<index>> neighbours;
    std::vector<index> parent;
    std::vector<bool> placed;
    ZMatrix matrix;

    TreeWalk(const Molecule& m, const std::vector<std::array<index, 4>>& wanted)
        : molecule(m), dihedrals(wanted), neighbours(at(m.size())), parent(at(m.size()), -1),
          placed(at(m.size()), false) {
        std::set<std::array<index, 2>> seen;
        const auto bind = [&](index a, index b) {
            if (!seen.insert({std::min(a, b), std::max(a, b)}).second) return;
            neighbours[at(a)].push_back(b);
            neighbours[at(b)].push_back(a);
        };
        for (const auto& b : m.bonded) bind(b[0], b[1]);
        for (const Bond& b : m.bonds) bind(b.atoms[0], b.atoms[1]);
        for (const RigidBond& b : m.rigid_bonds) bind(b.atoms[0], b.atoms[1]);
        for (auto& list : neighbours) std::sort(list.begin(), list.end());
    }

    // Heavy atoms come before hydrogens, in the order of the file.
    bool is_light(index atom) const {
        const Atom& a = molecule.atoms[at(atom)];
        return a.element == 1 || (a.element == 0 && a.mass > 0 && a.mass < 3.5);
    }
    std::vector<index> in_order(const std::vector<index>& atoms) const {
        std::vector<index> order = atoms;
        std::stable_sort(order.begin(), order.end(),
                         [&](index a, index b) { return is_light(a) < is_light(b); });
        return order;
    }
    bool wanted(const std::array<index, 4>& d) const {
        const std::array<index, 4> back{d[3], d[2], d[1], d[0]};
        return std::any_of(dihedrals.begin(), dihedrals.end(),
                           [&](const auto& own) { return own == d || own == back; });
    }

    // The end of a chain of heavy atoms, so that what follows hangs on it.
    index root() const {
        index best = -1, fewest = 0;
        for (index a = 0; a < molecule.size(); ++a) {
            if (neighbours[at(a)].empty()) continue;
            const auto& own = neighbours[at(a)];
            const index heavy = std::count_if(own.begin(), own.end(),
                                              [&](index b) { return !is_light(b); });
            const index rank = heavy + (is_light(a) ? 1000 : 0);
            if (best < 0 || rank < fewest) best = a, fewest = rank;
        }
        return best;
    }

    double rigid_length(index a, index b) const {
        for (const RigidBond& r : molecule.rigid_bonds)
            if ((r.atoms[0] == a && r.atoms[1] == b) || (r.atoms[0] == b && r.atoms[1] == a))
                return r.length;
        return 0;
    }

    void place(index atom, index bond, index angle, index torsion, bool along_bond) {
        matrix.entries.push_back({atom, bond, angle, torsion,
                                  bond >= 0 ? rigid_length(atom, bond) : 0.0, along_bond});
        placed[at(atom)] = true;
        if (bond >= 0) parent[at(atom)] = bond;
    }

    // The first child of `bond` that has a torsion along the bond to `angle`, and its fourth atom.
    std::array<index, 2> main_child(index bond, index angle, const std::vector<index>& children) const {
        std::vector<index> ends;
        for (const index end : in_order(neighbours[at(angle)]))
            if (end != bond && placed[at(end)]) ends.push_back(end);
        if (ends.empty()) return {-1, -1};
        for (const index child : children)
            for (const index end : ends)
                if (wanted({end, angle, bond, child})) return {child, end};
        // The parent's own parent first: turns then go along the chain.
        const index grand = parent[at(angle)];
        const bool chain = grand >= 0 && grand != bond;
        return {children.front(), chain ? grand : ends.front()};
    }

    void place_children(index bond) {
        std::vector<index> children;
        for (const index child : in_order(neighbours[at(bond)]))
            if (!placed[at(child)]) children.push_back(child);
        if (children.empty()) return;
        index angle = parent[at(bond)];
        if (angle < 0)  // of the root: its first child
            for (const ZMatrixEntry& e : matrix.entries)
                if (e.bond == bond && angle < 0) angle = e.atom;
        const auto [first, end] = main_child(bond, angle, children);
        index beside = -1;
        if (first >= 0) {
            place(first, bond, angle, end, true);
            beside = first;
        } else {  // nothing is bound to the other end: beside another child of `bond`
            for (const ZMatrixEntry& e : matrix.entries)
                if (e.bond == bond && e.atom != angle && e.angle == angle) beside = e.atom;
        }
        for (const index child : children) {
            if (child == first) continue;
            place(child, bond, angle, beside, false);
            if (beside < 0) beside = child;
        }
    }

    ZMatrix walk() {
        if (molecule.size() < 3)
            throw InputError("internal coordinates need a molecule of three atoms at least");
        const index first = root();
        if (first < 0) throw InputError("internal coordinates need bonds; the molecule has none");
        place(first, -1, -1, -1, false);
        const index second = in_order(neighbours[at(first)]).front();
        place(second, first, -1, -1, false);
        // The third and those beside it hang on the second, or, where that is an end, on the first.
        std::vector<index> order{second, first};
        const auto has_free = [&](index a) {
            const auto& own = neighbours[at(a)];
            return std::any_of(own.begin(), own.end(), [&](index b) { return !placed[at(b)]; });
        };
        if (!has_free(second)) order = {first};
        for (std::size_t next = 0; next < order.size(); ++next) {
            const std::size_t before = matrix.entries.size();
            place_children_of(order[next], first, second);
            for (std::size_t k = before; k < matrix.entries.size(); ++k)
                order.push_back(matrix.entries[k].atom);
        }
        if (matrix.atoms() < molecule.size())
            for (index a = 0; a < molecule.size(); ++a)
                if (!placed[at(a)]) {
                    const Atom& lost = molecule.atoms[at(a)];
                    throw InputError("internal coordinates need a molecule in one part; no bonds lead "
                                     "from its first atoms to atom " + std::to_string(a) + " (" +
                                     lost.residue + ":" + lost.name + ")");
                }
        return std::move(matrix);
    }

    void place_children_of(index bond, index first, index second) {
        // Until a third atom stands there is no plane to turn from.
        if (matrix.atoms() == 2) {
            const index angle = bond == second ? first : second;
            for (const index child : in_order(neighbours[at(bond)]))
                if (!placed[at(child)]) {
                    place(child, bond, angle, -1, false);
                    break;
                }
            index beside = matrix.entries.back().atom;
            for (const index child : in_order(neighbours[at(bond)]))
                if (!placed[at(child)]) place(child, bond, angle, beside, false);
            return;
        }
        place_children(bond);
    }
};

}  // namespace

index ZMatrix::entry_of(const std::array<index, 4>& d) const {
    for (index k = 3; k < atoms(); ++k) {
        const ZMatrixEntry& e = entries[at(k)];
        const std::array<index, 4> own{e.torsion, e.angle, e.bond, e.atom};
        if (own == d || own == std::array<index, 4>{d[3], d[2], d[1], d[0]}) return k;
    }
    return -1;
}

ZMatrix make_z_matrix(const Molecule& molecule, const std::vector<std::array<index, 4>>& dihedrals) {
    return TreeWalk(molecule, dihedrals).walk();
}

}  // namespace microlift
