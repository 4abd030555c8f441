// Collective variables of a molecule: distance, angle and dihedral angle of its atoms, those of groups, and
// formulas of all of these.
#pragma once

#include "kernels/dynamics/cv.h"
#include "kernels/molecule/force_view.h"
#include "kernels/molecule/formula_cv.h"
#include "kernels/molecule/group_cv.h"
#include "kernels/lane/roots.h"

namespace microlift {

// A coordinate is a quantity of formulas alone.
enum class MoleculeCvKind : int32 {
    distance, angle, dihedral, coordinate, coordination, gyration, rmsd, formula
};

// Whether a variable is evaluated first, into rows of its own, and pulls afterwards.
LANE_FN constexpr bool has_rows(MoleculeCvKind kind) { return kind >= MoleculeCvKind::coordination; }

struct MoleculeCv;

// Rows: of the instructions, the variables first; then kGroupCvRows of each variable.
struct FormulaCv {
    const Instruction* code = nullptr;
    const FormulaOutput* output = nullptr;  // the value, its derivatives by the variables
    const MoleculeCv* of = nullptr;         // no formulas
    int32 instructions = 0, slots = 0, variables = 0;
};

struct MoleculeCv {
    MoleculeCvKind kind = MoleculeCvKind::distance;
    int32 atom[4] = {};  // rows
    float period = 0;    // 0: none
    float middle = 0;    // of the period that values are told in
    int32 first_row = 0;  // of its own, among those of all variables
    GroupCv group;
    FormulaCv formula;

    LANE_FN int32 rows() const {
        return kind == MoleculeCvKind::formula ? formula.slots + kGroupCvRows * formula.variables
               : has_rows(kind)                ? kGroupCvRows
                                               : 0;
    }
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

// --- formulas ---------------------------------------------------------------------------------------------

template <class M, class L, class Rows>
LANE_CALL L formula_value(const FormulaCv& f, const Rows& rows, const Rows& own) {
    for (int32 k = 0; k < f.variables; ++k) {
        if (f.of[k].kind == MoleculeCvKind::coordinate) {
            own[k] = rows[f.of[k].atom[0]];
            continue;
        }
        own[k] = has_rows(f.of[k].kind)
                     ? group_value<M, L>(f.of[k], rows, own.from(f.slots + kGroupCvRows * k))
                     : evaluate_cv<M, L>(f.of[k], rows).value;
    }
    run_code<M, L>(f.code, f.instructions, own);
    return output_of<L>(f.output[0], own);
}

template <class M, class L, class Rows>
LANE_FN void pull_atoms(const MoleculeCv& cv, const CvGradient<L>& at, const Rows& force, L pull) {
LANE_UNROLL
    for (int n = 0; n < 4; ++n)
        if (n < cv_atoms(cv.kind)) add_vector(force, cv.atom[n], pull, at.at[n]);
}

template <class M, class L, class Rows>
LANE_CALL void pull_formula(const FormulaCv& f, const Rows& rows, const Rows& own, const Rows& force, L pull) {
    for (int32 k = 0; k < f.variables; ++k) {
        const L part = pull * output_of<L>(f.output[k + 1], own);
        if (f.of[k].kind == MoleculeCvKind::coordinate)
            force[f.of[k].atom[0]] = force[f.of[k].atom[0]] + part;
        else if (has_rows(f.of[k].kind))
            pull_group<M>(f.of[k], rows, own.from(f.slots + kGroupCvRows * k), force, part);
        else
            pull_atoms<M>(f.of[k], evaluate_cv<M, L>(f.of[k], rows), force, part);
    }
}

// Of variables with rows of their own.
template <class M, class L, class Rows>
LANE_FN L value_in_rows(const MoleculeCv& cv, const Rows& rows, const Rows& own) {
    return cv.kind == MoleculeCvKind::formula ? formula_value<M, L>(cv.formula, rows, own)
                                              : group_value<M, L>(cv, rows, own);
}
template <class M, class L, class Rows>
LANE_FN void pull_in_rows(const MoleculeCv& cv, const Rows& rows, const Rows& own, const Rows& force, L pull) {
    if (cv.kind == MoleculeCvKind::formula)
        pull_formula<M>(cv.formula, rows, own, force, pull);
    else
        pull_group<M>(cv, rows, own, force, pull);
}

}  // namespace microlift
