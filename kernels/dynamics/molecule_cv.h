// Collective variables of a molecule: distance, angle and dihedral angle of its atoms, and those of groups.
#pragma once

#include "kernels/dynamics/cv.h"
#include "kernels/dynamics/force_view.h"
#include "kernels/dynamics/group_cv.h"
#include "kernels/lane/roots.h"

namespace microlift {

enum class MoleculeCvKind : int32 { distance, angle, dihedral, coordination, gyration, rmsd };

LANE_FN constexpr bool is_group(MoleculeCvKind kind) { return kind >= MoleculeCvKind::coordination; }

struct MoleculeCv {
    MoleculeCvKind kind = MoleculeCvKind::distance;
    int32 atom[4] = {};  // rows
    float period = 0;    // 0: none
    float middle = 0;    // of the period that values are told in
    GroupCv group;
};
struct MoleculeCvs {
    int32 count = 0;
    MoleculeCv cv[kMaxCvs];
};

// A variable with its gradient at its atoms.
template <class L>
struct CvGradient {
    L value;
    Vector<L> at[4];
};

template <class M, class L, class Rows>
LANE_FN CvGradient<L> distance_cv(const MoleculeCv& cv, const Rows& rows) {
    const Vector<L> d = vector_at<L>(rows, cv.atom[0]) - vector_at<L>(rows, cv.atom[1]);
    const L r2 = dot(d, d), inverse = inverse_sqrt<M>(r2);
    CvGradient<L> r{r2 * inverse, {}};
    r.at[0] = scaled(inverse, d);
    r.at[1] = scaled(-inverse, d);
    return r;
}

template <class M, class L, class Rows>
LANE_FN CvGradient<L> angle_cv(const MoleculeCv& cv, const Rows& rows) {
    const Vector<L> centre = vector_at<L>(rows, cv.atom[1]);
    const Vector<L> a = vector_at<L>(rows, cv.atom[0]) - centre;
    const Vector<L> b = vector_at<L>(rows, cv.atom[2]) - centre;
    const L ia = inverse_sqrt<M>(dot(a, a)), ib = inverse_sqrt<M>(dot(b, b));
    const Vector<L> u = scaled(ia, a), w = scaled(ib, b), n = cross(u, w);
    const L square = max(dot(n, n), number<L>(1e-12f)), inverse = inverse_sqrt<M>(square);
    const L cosine = dot(u, w);
    CvGradient<L> r{angle_of(cosine, square * inverse), {}};
    // ∂θ/∂u = −(w − cos θ u)/sin θ.
    r.at[0] = scaled(cosine, u);
    add_scaled(r.at[0], number<L>(-1.0f), w);
    r.at[2] = scaled(cosine, w);
    add_scaled(r.at[2], number<L>(-1.0f), u);
    r.at[0] = scaled(inverse * ia, r.at[0]);
    r.at[2] = scaled(inverse * ib, r.at[2]);
    r.at[1] = scaled(number<L>(-1.0f), r.at[0]);
    add_scaled(r.at[1], number<L>(-1.0f), r.at[2]);
    return r;
}

// Blondel and Karplus, J. Comput. Chem. 17 (1996) 1132.
template <class M, class L, class Rows>
LANE_FN CvGradient<L> dihedral_cv(const MoleculeCv& cv, const Rows& rows) {
    Vector<L> x[4];
LANE_UNROLL
    for (int k = 0; k < 4; ++k) x[k] = vector_at<L>(rows, cv.atom[k]);
    const Vector<L> f = x[0] - x[1], g = x[1] - x[2], h = x[3] - x[2];
    const Vector<L> a = cross(f, g), b = cross(h, g);
    const L tiny = number<L>(1e-20f);
    const L g2 = dot(g, g), ig = inverse_sqrt<M>(g2), length = g2 * ig;
    const L ia = inverse_sqrt<M>(max(dot(a, a), tiny)), ib = inverse_sqrt<M>(max(dot(b, b), tiny));
    CvGradient<L> r{angle_of(dot(a, b) * (ia * ib), -(dot(f, b) * length * (ia * ib))), {}};
    r.at[0] = scaled(-(length * ia * ia), a);
    r.at[3] = scaled(length * ib * ib, b);
    // What turns the middle bond.
    Vector<L> middle = scaled(dot(f, g) * ig * (ia * ia), a);
    add_scaled(middle, -(dot(h, g) * ig * (ib * ib)), b);
    const L one = number<L>(1.0f);
    r.at[1] = middle;
    add_scaled(r.at[1], -one, r.at[0]);
    r.at[2] = scaled(-one, middle);
    add_scaled(r.at[2], -one, r.at[3]);
    return r;
}

template <class M, class L, class Rows>
LANE_FN CvGradient<L> evaluate_cv(const MoleculeCv& cv, const Rows& rows) {
    if (cv.kind == MoleculeCvKind::distance) return distance_cv<M, L>(cv, rows);
    if (cv.kind == MoleculeCvKind::angle) return angle_cv<M, L>(cv, rows);
    return dihedral_cv<M, L>(cv, rows);
}

// What a group's variable keeps stands in `own`.
template <class M, class L, class Rows>
LANE_FN L group_value(const MoleculeCv& cv, const Rows& rows, const Rows& own) {
    if (cv.kind == MoleculeCvKind::coordination) return coordination<M, L>(cv.group, rows);
    if (cv.kind == MoleculeCvKind::gyration) return gyration<M, L>(cv.group, rows, own);
    return deviation<M, L>(cv.group, rows, own);
}
template <class M, class L, class Rows>
LANE_FN void pull_group(const MoleculeCv& cv, const Rows& rows, const Rows& own, const Rows& force, L pull) {
    if (cv.kind == MoleculeCvKind::coordination) return pull_coordination<M>(cv.group, rows, force, pull);
    if (cv.kind == MoleculeCvKind::gyration) return pull_gyration(cv.group, rows, own, force, pull);
    pull_deviation(cv.group, rows, own, force, pull);
}

LANE_FN constexpr int cv_atoms(MoleculeCvKind kind) {
    return kind == MoleculeCvKind::distance ? 2 : kind == MoleculeCvKind::angle ? 3 : 4;
}

}  // namespace microlift
