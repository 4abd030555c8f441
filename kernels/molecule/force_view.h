// The force field of a molecule as tables that a kernel runs through (sampling/molecule/force_tables.h
// makes them), T float or double. Units: nm, ps, u, kJ/mol, rad.
//
// Bonded energies are functions of unit vectors along edges. An edge is a pair of atoms, its vector points
// from b to a; bonds, sides of angles and of torsions share edges, so that each distance is computed once
// and each force distributed once. A corner is a pair of edges and its variable u₁·u₂; an angle term
// stands on a corner, a torsion on two corners and the product of its outer edges. Orders and signs of
// edges are folded into the parameters.
#pragma once

#include "kernels/lane/rows.h"

namespace microlift {

// The parts of an energy, in the order of files.
enum ForceTerm : int32 {
    kTermBond,
    kTermAngle,
    kTermTorsion,
    kTermCmap,
    kTermLennardJones,
    kTermCoulomb,
    kTermSolvent,
    kTermSurface,
    kTermRestraint,
    kForceTerms,
};

// Numbers of atoms are given as rows, 3 · atom. Entries are aligned so that a GPU loads four words at once.

// Edges and corners stand in twos, with one division for both; where their number is odd, the last is one
// that nothing stands on.
template <class T>
struct alignas(16) EdgeEntry {
    int32 a, b;
    T length, stiffness;  // of the bonds, which come first
};
// An edge and the end of its pulls, which begin where those of the last one end; many of one number together.
struct alignas(8) EdgePulls {
    int32 edge, end;
};
// ∂E/∂u of an edge: a slope, which stands in a row, times the unit vector of another edge.
struct alignas(8) EdgePull {
    int32 slope, other;  // counted from the first row of edges
};

template <class T>
struct alignas(16) CornerEntry {
    int32 first, second;  // edges, as rows from the first one's
    T angle, stiffness;   // of the angle terms, which come first: ½k (acos(u₁·u₂) − angle)²
};

inline constexpr int kTorsionDegree = 6;
inline constexpr int kMostStored = 192;  // atoms: 3.5 MB of a pack of 16

// E = constant + Σ_m slope[m] C^{m+1}/(m + 1), a polynomial of the cosine.
template <class T>
struct alignas(16) TorsionEntry {
    int32 first, last;            // the outer edges, as rows from the first one's
    int32 corner_in, corner_out;  // with the middle one, as rows from the first one's
    T slope[kTorsionDegree];      // 0 from the degree on
    int32 degree;
    T constant;
};

// The edges of a dihedral angle with the signs of its own directions: cos φ = fold · A·B/|A||B| and
// sin φ = turn · u₁·B/|A||B|, A = u₁ × u₂, B = u₃ × u₂.
template <class T>
struct DihedralEntry {
    int32 first, middle, last;
    T fold, turn;
};

// Any periodic torsion: k (1 + cos(nφ − φ₀)); of periodicity 0: ½k (φ − φ₀)², of the nearest turn, with cos φ₀ and
// sin φ₀.
template <class T>
struct PeriodicEntry {
    DihedralEntry<T> dihedral;
    int32 periodicity;
    T cosine, sine, constant;  // k cos φ₀, k sin φ₀, k
};

template <class T>
struct CmapEntry {
    DihedralEntry<T> first, second;
    int32 map;  // where its coefficients begin
    int32 size;
};

template <class T>
struct PairParameters {
    T charge, repulsion, attraction;  // k qᵢqⱼ; 12 C₁₂ and 6 C₆ of C₁₂/r¹² − C₆/r⁶
};

// Atom j with both atoms of a row.
template <class T>
struct alignas(16) TileEntry {
    int32 j;
    PairParameters<T> pair[2];
};
struct RowTile {
    int32 first, second;  // rows of the two atoms
    int32 end;            // of its entries; they begin where those of the last tile end
};
// Pairs that fill no tile, an even number of them.
template <class T>
struct alignas(16) PairEntry {
    int32 i, j;
    PairParameters<T> pair;
};

template <class T>
struct RestraintEntry {
    int32 atom;
    T stiffness, position[3];
};

template <class T>
struct alignas(16) BornAtom {
    T offset_radius, scaled_radius;
    T reach;                  // ¼ of the scaled radius's square
    T inverse_offset_radius;
    T alpha, beta, gamma;     // of tanh(αψ − βψ² + γψ³)
    T inverse_radius;         // 0 where there is no tanh (HCT)
    T square;                 // k q²; without salt times what the dielectrics leave of it
    T surface;                // energy where the effective radius is the intrinsic one
    T radius;
};

// A pair of atoms in solvent, in the order of passes: of two atoms, their own, then both with each later one.
template <class T>
struct alignas(16) BornPair {
    PairParameters<T> pair;
    T charge;  // k qᵢqⱼ, as the squares
};
// The neck between two atoms as each sees it.
template <class T>
struct NeckPair {
    T cut;
    T height[2], distance[2];  // twice and scaled; of i ← j, j ← i
};

template <class T>
struct ForceView {
    int32 atoms = 0, edges = 0, bonds = 0, corners = 0, angles = 0, torsions = 0, periodics = 0;
    int32 cmaps = 0, tiles = 0, singles = 0, restraints = 0;
    const EdgeEntry<T>* edge = nullptr;
    const EdgePulls* pulls = nullptr;
    const EdgePull* pull = nullptr;
    const CornerEntry<T>* corner = nullptr;
    const TorsionEntry<T>* torsion = nullptr;
    const PeriodicEntry<T>* periodic = nullptr;
    const CmapEntry<T>* cmap = nullptr;
    const T* map = nullptr;  // (cell, 16): coefficients of sᵃ tᵇ, s of the first angle
    const RowTile* tile = nullptr;
    const TileEntry<T>* tile_entry = nullptr;
    const PairEntry<T>* single = nullptr;
    const RestraintEntry<T>* restraint = nullptr;
    // With solvent all pairs stand here instead of in tiles.
    bool solvent = false, neck = false;
    bool plain = false;  // neither necks nor salt nor negative scales
    bool in_team = false;  // the rows are a team's, in shared memory (team.h)
    const BornAtom<T>* born = nullptr;
    const BornPair<T>* born_pair = nullptr;
    const NeckPair<T>* neck_pair = nullptr;
    T solute = 1, solvent_part = 0;  // 1/ε inside and outside
    T kappa = 0;                     // 1/nm

    // What solvent knows of pairs is kept where it fits into a cache; then forces of pairs are added as one.
    LANE_FN bool joins_pairs() const { return solvent && atoms <= kMostStored; }
    LANE_FN bool stores_pairs() const { return joins_pairs() && !in_team; }

    // Where things stand in the rows of a replica.
    LANE_FN int32 force_row() const { return 3 * atoms; }
    LANE_FN int32 edge_row() const { return 6 * atoms; }  // u, 1/r; then of bonds ∂E/∂r
    LANE_FN int32 bond_row() const { return edge_row() + 4 * edges; }
    LANE_FN int32 corner_row() const { return bond_row() + bonds; }  // cosine, 1/sine, ∂E/∂cosine
    LANE_FN int32 torsion_row() const { return corner_row() + 3 * corners; }  // ∂E/∂(u₁·u₃)
    // ∂E/∂u that are no slopes along other edges, where there are any.
    LANE_FN bool turns() const { return periodics + cmaps > 0; }
    LANE_FN int32 turn_row() const { return torsion_row() + torsions; }
    LANE_FN int32 bonded_end() const { return turn_row() + (turns() ? 3 * edges : 0); }
    // A team's atoms in solvent stand where edges stood before.
    LANE_FN int32 born_row() const { return in_team ? edge_row() : bonded_end(); }
    LANE_FN int32 pair_row() const { return born_row() + (solvent ? 4 * atoms : 0); }
    LANE_FN int32 rows() const {
        if (in_team) return pair_row() > bonded_end() ? pair_row() : bonded_end();
        return pair_row() + (stores_pairs() ? 3 * (atoms * (atoms - 1) / 2) : 0);
    }
};

// An entry that all of is needed: a GPU takes it into registers, four words at once.
#if defined(__CUDA_ARCH__)
template <class Entry>
LANE_FN Entry entry_of(const Entry& entry) {
    return entry;
}
#else
template <class Entry>
LANE_FN const Entry& entry_of(const Entry& entry) {
    return entry;
}
#endif

template <class L>
struct Vector {
    L x, y, z;
};
template <class L, class Rows>
LANE_FN Vector<L> vector_at(const Rows& rows, int32 row) {
    const Rows at = rows.at(row);
    return {value_of(at[0]), value_of(at[1]), value_of(at[2])};
}
template <class L, class Rows>
LANE_FN void put_vector(const Rows& rows, int32 row, const Vector<L>& v) {
    const Rows at = rows.at(row);
    at[0] = v.x;
    at[1] = v.y;
    at[2] = v.z;
}
// rows += s v
template <class L, class Rows>
LANE_FN void add_vector(const Rows& rows, int32 row, L s, const Vector<L>& v) {
    const Rows at = rows.at(row);
    at[0] = fma(s, v.x, at[0]);
    at[1] = fma(s, v.y, at[1]);
    at[2] = fma(s, v.z, at[2]);
}
// rows −= s v
template <class L, class Rows>
LANE_FN void take_vector(const Rows& rows, int32 row, L s, const Vector<L>& v) {
    const Rows at = rows.at(row);
    at[0] = fnma(s, v.x, at[0]);
    at[1] = fnma(s, v.y, at[1]);
    at[2] = fnma(s, v.z, at[2]);
}
template <class L>
LANE_FN Vector<L> operator+(const Vector<L>& a, const Vector<L>& b) {
    return {a.x + b.x, a.y + b.y, a.z + b.z};
}
template <class L>
LANE_FN Vector<L> operator-(const Vector<L>& a, const Vector<L>& b) {
    return {a.x - b.x, a.y - b.y, a.z - b.z};
}
template <class L>
LANE_FN L dot(const Vector<L>& a, const Vector<L>& b) {
    return fma(a.z, b.z, fma(a.y, b.y, a.x * b.x));
}
template <class L>
LANE_FN Vector<L> cross(const Vector<L>& a, const Vector<L>& b) {
    return {fma(a.y, b.z, -(a.z * b.y)), fma(a.z, b.x, -(a.x * b.z)), fma(a.x, b.y, -(a.y * b.x))};
}
// a += s b
template <class L>
LANE_FN void add_scaled(Vector<L>& a, L s, const Vector<L>& b) {
    a.x = fma(s, b.x, a.x);
    a.y = fma(s, b.y, a.y);
    a.z = fma(s, b.z, a.z);
}
// a −= s b
template <class L>
LANE_FN void take_scaled(Vector<L>& a, L s, const Vector<L>& b) {
    a.x = fnma(s, b.x, a.x);
    a.y = fnma(s, b.y, a.y);
    a.z = fnma(s, b.z, a.z);
}
template <class L>
LANE_FN Vector<L> scaled(L s, const Vector<L>& a) {
    return {s * a.x, s * a.y, s * a.z};
}

// Energies term by term, or none: what a body leaves out costs nothing.
template <class L>
struct NoEnergies {
    static constexpr bool wanted = false;
};
template <class L>
struct TermEnergies {
    static constexpr bool wanted = true;
    L term[kForceTerms];
};

template <class L>
LANE_FN L number(Scalar<L> x) {
    return broadcast<L>(x);
}

}  // namespace microlift
