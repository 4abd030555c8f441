// Collective variables of groups of atoms: coordination, radius of gyration, root mean square deviation from a
// reference. Each is evaluated first, which leaves in its rows what its gradient needs; then a pull along it is
// added to the forces.
#pragma once

#include "kernels/molecule/force_view.h"
#include "kernels/lane/roots.h"

namespace microlift {

struct GroupAtom {
    int32 row;
    float weight;        // of a group they add up to 1
    float reference[3];  // about its centre, nm
};

struct GroupCv {
    const GroupAtom* atom = nullptr;
    int32 count = 0, others = 0;  // of a second group, which follows the first
    int32 numerator = 6, denominator = 12;
    float inverse_range = 0;      // 1/r₀
};

// Rows that a variable keeps.
inline constexpr int32 kGroupCvRows = 13;

// --- coordination -----------------------------------------------------------------------------------------

// s = (1 − xⁿ)/(1 − xᵐ) and ds/dx, as sums of powers, which have no hole at 1; beyond it in 1/x.
template <class L>
struct Switch {
    L value, slope;
};

template <class L>
LANE_FN Switch<L> switching(L x, int32 n, int32 m) {
    const L one = number<L>(1), u = min(x, one / x);
    // Σ_{i<n} uⁱ and Σ_{i<m} uⁱ with their slopes.
    L p = one, dp = number<L>(0), q = one, dq = dp;
    for (int32 i = 1; i < n; ++i) {
        dp = fma(dp, u, p);
        p = fma(p, u, one);
    }
    for (int32 i = 1; i < m; ++i) {
        dq = fma(dq, u, q);
        q = fma(q, u, one);
    }
    const L inverse = one / q, s = p * inverse, ds = fnma(s, dq, dp) * inverse;
    // Beyond 1: u^{m − n} s(u), and du/dx = −u².
    L power = one;
    for (int32 i = 1; i < m - n; ++i) power = power * u;  // u^{m − n − 1}
    const L far = power * u * s;
    const L steep = -(u * u * power * fma(ds, u, number<L>(static_cast<Scalar<L>>(m - n)) * s));
    const auto inside = x < one;
    return {select(inside, s, far), select(inside, ds, steep)};
}

// Calls f(first, second) for each pair: of two groups, or within one.
template <class F>
LANE_FN void for_each_contact(const GroupCv& cv, const F& f) {
    for (int32 i = 0; i < cv.count; ++i) {
        const int32 from = cv.others > 0 ? cv.count : i + 1;
        const int32 end = cv.count + cv.others;
        for (int32 j = from; j < end; ++j)
            if (cv.atom[i].row != cv.atom[j].row) f(cv.atom[i].row, cv.atom[j].row);
    }
}

template <class M, class L, class Rows>
LANE_FN L coordination(const GroupCv& cv, const Rows& rows) {
    L sum = number<L>(0);
    for_each_contact(cv, [&](int32 a, int32 b) {
        const Vector<L> d = vector_at<L>(rows, a) - vector_at<L>(rows, b);
        const L r2 = dot(d, d), x = r2 * inverse_sqrt<M>(r2) * number<L>(cv.inverse_range);
        sum = sum + switching(x, cv.numerator, cv.denominator).value;
    });
    return sum;
}

template <class M, class L, class Rows>
LANE_FN void pull_coordination(const GroupCv& cv, const Rows& rows, const Rows& force, L pull) {
    for_each_contact(cv, [&](int32 a, int32 b) {
        const Vector<L> d = vector_at<L>(rows, a) - vector_at<L>(rows, b);
        const L r2 = dot(d, d), y = inverse_sqrt<M>(r2), range = number<L>(cv.inverse_range);
        const L s = pull * switching(r2 * y * range, cv.numerator, cv.denominator).slope * range * y;
        add_vector(force, a, s, d);
        take_vector(force, b, s, d);
    });
}

// --- gyration ---------------------------------------------------------------------------------------------

template <class L, class Rows>
LANE_FN Vector<L> centre_of(const GroupCv& cv, const Rows& rows) {
    Vector<L> sum{number<L>(0), number<L>(0), number<L>(0)};
    for (int32 i = 0; i < cv.count; ++i)
        add_scaled(sum, number<L>(cv.atom[i].weight), vector_at<L>(rows, cv.atom[i].row));
    return sum;
}

// What a root of a mean of squares has its gradient from: 1/value, 0 where the value is.
template <class M, class L>
LANE_FN L inverse_of_root(L square) {
    const L tiny = number<L>(Scalar<L>(1e-24));
    return select(square > tiny, inverse_sqrt<M>(max(square, tiny)), number<L>(0));
}

// √(Σ w |x − c|²), c = Σ w x. Rows: c, 1/value.
template <class M, class L, class Rows>
LANE_FN L gyration(const GroupCv& cv, const Rows& rows, const Rows& own) {
    const Vector<L> centre = centre_of<L>(cv, rows);
    L sum = number<L>(0);
    for (int32 i = 0; i < cv.count; ++i) {
        const Vector<L> d = vector_at<L>(rows, cv.atom[i].row) - centre;
        sum = fma(number<L>(cv.atom[i].weight), dot(d, d), sum);
    }
    put_vector(own, 0, centre);
    const L inverse = inverse_of_root<M>(sum);
    own[3] = inverse;
    return sum * inverse;
}

template <class L, class Rows>
LANE_FN void pull_gyration(const GroupCv& cv, const Rows& rows, const Rows& own, const Rows& force, L pull) {
    const Vector<L> centre = vector_at<L>(own, 0);
    const L scale = pull * L(own[3]);
    for (int32 i = 0; i < cv.count; ++i) {
        const int32 row = cv.atom[i].row;
        add_vector(force, row, scale * number<L>(cv.atom[i].weight), vector_at<L>(rows, row) - centre);
    }
}

// --- deviation --------------------------------------------------------------------------------------------

// The symmetric matrix of Horn, J. Opt. Soc. Am. A 4 (1987) 629, whose largest eigenvalue belongs to the unit
// quaternion of the best rotation; diagonalised by Jacobi's rotations, by a fixed number of sweeps.
template <class M, class L>
struct BestQuaternion {
    static constexpr int kSweeps = 5;
    L a[4][4], v[4][4];

    LANE_FN explicit BestQuaternion(const L (&s)[3][3]) {
        a[0][0] = s[0][0] + s[1][1] + s[2][2];
        a[1][1] = s[0][0] - s[1][1] - s[2][2];
        a[2][2] = s[1][1] - s[0][0] - s[2][2];
        a[3][3] = s[2][2] - s[0][0] - s[1][1];
        a[0][1] = s[1][2] - s[2][1];
        a[0][2] = s[2][0] - s[0][2];
        a[0][3] = s[0][1] - s[1][0];
        a[1][2] = s[0][1] + s[1][0];
        a[1][3] = s[2][0] + s[0][2];
        a[2][3] = s[1][2] + s[2][1];
LANE_UNROLL
        for (int i = 0; i < 4; ++i)
LANE_UNROLL
            for (int j = 0; j < 4; ++j) v[i][j] = number<L>(i == j ? 1 : 0);
    }
    template <int P, int Q>
    LANE_FN void rotate() {
        const L one = number<L>(1), tiny = number<L>(Scalar<L>(1e-30));
        const L twice = a[P][Q] + a[P][Q], apart = a[Q][Q] - a[P][P];
        const L root = sqrt_exact(fma(apart, apart, twice * twice));
        const L t = twice / (apart + copy_sign(root + tiny, apart));
        const L c = inverse_sqrt<M>(fma(t, t, one)), s = t * c;
        a[P][P] = fnma(t, a[P][Q], a[P][P]);
        a[Q][Q] = fma(t, a[P][Q], a[Q][Q]);
        a[P][Q] = number<L>(0);
LANE_UNROLL
        for (int k = 0; k < 4; ++k) {
            turn(v[k][P], v[k][Q], c, s);
            if (k != P && k != Q) turn(k < P ? a[k][P] : a[P][k], k < Q ? a[k][Q] : a[Q][k], c, s);
        }
    }
    static LANE_FN void turn(L& p, L& q, L c, L s) {
        const L was = p;
        p = fms(c, was, s * q);
        q = fma(s, was, c * q);
    }
    LANE_FN void solve(L (&q)[4]) {
        LANE_ROLLED_FOR (int sweep = 0; sweep < kSweeps; ++sweep) {
            rotate<0, 1>();
            rotate<0, 2>();
            rotate<0, 3>();
            rotate<1, 2>();
            rotate<1, 3>();
            rotate<2, 3>();
        }
        L largest = a[0][0];
LANE_UNROLL
        for (int i = 0; i < 4; ++i) q[i] = v[i][0];
LANE_UNROLL
        for (int k = 1; k < 4; ++k) {
            const auto more = a[k][k] > largest;
            largest = select(more, a[k][k], largest);
LANE_UNROLL
            for (int i = 0; i < 4; ++i) q[i] = select(more, v[i][k], q[i]);
        }
    }
};

template <class L, class Rows>
LANE_FN void put_rotation(const Rows& own, const L (&q)[4]) {
    const L two = number<L>(2), one = number<L>(1);
    const auto on = [&](int i, int j) { return fnma(two, fma(q[i], q[i], q[j] * q[j]), one); };
    const auto off = [&](int i, int j, int k, Scalar<L> sign) {
        return two * fma(q[i], q[j], number<L>(sign) * q[0] * q[k]);
    };
    own[0] = on(2, 3);
    own[1] = off(1, 2, 3, -1);
    own[2] = off(1, 3, 2, 1);
    own[3] = off(1, 2, 3, 1);
    own[4] = on(1, 3);
    own[5] = off(2, 3, 1, -1);
    own[6] = off(1, 3, 2, -1);
    own[7] = off(2, 3, 1, 1);
    own[8] = on(1, 2);
}

template <class L, class Rows>
LANE_FN Vector<L> away_from_reference(const GroupAtom& atom, const Rows& rows, const Rows& own) {
    const Vector<L> ref{number<L>(atom.reference[0]), number<L>(atom.reference[1]), number<L>(atom.reference[2])};
    Vector<L> d = vector_at<L>(rows, atom.row) - vector_at<L>(own, 9);
    d.x = d.x - dot(vector_at<L>(own, 0), ref);
    d.y = d.y - dot(vector_at<L>(own, 3), ref);
    d.z = d.z - dot(vector_at<L>(own, 6), ref);
    return d;
}

// √(Σ w |x − c − R y|²), R the rotation that makes it least: its change has no part in the gradient. Rows: R, c,
// 1/value.
template <class M, class L, class Rows>
LANE_FN L deviation(const GroupCv& cv, const Rows& rows, const Rows& own) {
    const Vector<L> centre = centre_of<L>(cv, rows);
    L s[3][3];
LANE_UNROLL
    for (int i = 0; i < 9; ++i) s[i / 3][i % 3] = number<L>(0);
    for (int32 k = 0; k < cv.count; ++k) {
        const GroupAtom& atom = cv.atom[k];
        const Vector<L> d = vector_at<L>(rows, atom.row) - centre;
LANE_UNROLL
        for (int i = 0; i < 3; ++i) {
            const L y = number<L>(atom.weight * atom.reference[i]);
            s[i][0] = fma(y, d.x, s[i][0]);
            s[i][1] = fma(y, d.y, s[i][1]);
            s[i][2] = fma(y, d.z, s[i][2]);
        }
    }
    L q[4];
    BestQuaternion<M, L>(s).solve(q);
    put_rotation(own, q);
    put_vector(own, 9, centre);
    L sum = number<L>(0);
    for (int32 k = 0; k < cv.count; ++k) {
        const Vector<L> d = away_from_reference<L>(cv.atom[k], rows, own);
        sum = fma(number<L>(cv.atom[k].weight), dot(d, d), sum);
    }
    const L inverse = inverse_of_root<M>(sum);
    own[12] = inverse;
    return sum * inverse;
}

template <class L, class Rows>
LANE_FN void pull_deviation(const GroupCv& cv, const Rows& rows, const Rows& own, const Rows& force, L pull) {
    const L scale = pull * L(own[12]);
    for (int32 k = 0; k < cv.count; ++k)
        add_vector(force, cv.atom[k].row, scale * number<L>(cv.atom[k].weight),
                   away_from_reference<L>(cv.atom[k], rows, own));
}

}  // namespace microlift
