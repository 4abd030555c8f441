// What is done to many states of a molecule at once, outside its time loop: a state a thread, columns of
// (3 · atoms, row).
#pragma once

#include "kernels/molecule/molecule_cv.h"
#include "kernels/molecule/molecule_motion.h"
#include "kernels/random/philox.h"

namespace microlift {

// The atoms beyond the middle bond of a dihedral angle turn about it until the angle is `target`; the energy
// sees this torsion alone change, and no bond or angle.
struct TurnDihedralBody {
    MoleculeCv cv;
    const int32* moved;  // rows
    int32 count;
    const float* target;
    float* x;
    index row;

    LANE_FN void operator()(index i) const {
        const StridedRows<float> rows{x + i, row};
        const float by = target[i] - dihedral_cv<Portable, float>(cv, rows).value;
        const Vector<float> from = vector_at<float>(rows, cv.atom[1]);
        const Vector<float> bond = vector_at<float>(rows, cv.atom[2]) - from;
        const Vector<float> axis = scaled(inverse_sqrt<Portable>(dot(bond, bond)), bond);
        float s, c;
        sincos<Portable>(by, s, c);
        for (int32 m = 0; m < count; ++m) {
            const Vector<float> arm = vector_at<float>(rows, moved[m]) - from;
            Vector<float> turned = scaled(c, arm);
            add_scaled(turned, s, cross(axis, arm));
            add_scaled(turned, (1.0f - c) * dot(axis, arm), axis);
            put_vector(rows, moved[m], from + turned);
        }
    }
};

// Velocities of a temperature. Along rigid bonds they are taken out by a step's first projection.
struct DrawVelocitiesBody {
    const float* deviation;  // of each coordinate, nm/ps
    int32 coordinates;
    uint64 seed;
    uint32 stream;
    index first;
    float* v;
    index row;

    LANE_FN void operator()(index i) const {
        const PhiloxStream<float> rng(seed, stream, first + i);
        for (int32 b = 0; 4 * b < coordinates; ++b) {
            float z[4];
            normal_block<Portable>(rng, static_cast<uint64>(b), z);
LANE_UNROLL
            for (int32 k = 0; k < 4; ++k)
                if (4 * b + k < coordinates) v[(4 * b + k) * row + i] = deviation[4 * b + k] * z[k];
        }
    }
};

// Rigid bonds back to their lengths, along the directions that they have.
struct RestoreBondsBody {
    static constexpr int kSweeps = 24;
    const StarEntry* group;
    int32 groups;
    float* x;
    index row;

    LANE_FN void operator()(index i) const {
        const StridedRows<float> rows{x + i, row};
        for (int32 g = 0; g < groups; ++g) {
            const StarEntry& star = group[g];
            for (int sweep = 0; sweep < (star.leaves > 0 ? kSweeps : 0); ++sweep)
                for (int32 k = 0; k < star.leaves; ++k) {
                    const Vector<float> d =
                        vector_at<float>(rows, star.atom[k + 1]) - vector_at<float>(rows, star.atom[0]);
                    const float length2 = dot(d, d);
                    const float push = (star.square[k] - length2) * 0.5f * star.square[k] / (star.diagonal[k] * length2);
                    add_vector(rows, star.atom[k + 1], push * star.inverse_mass[k + 1], d);
                    add_vector(rows, star.atom[0], -push * star.inverse_mass[0], d);
                }
        }
    }
};

// The sum of an energy's terms.
struct SumTermsBody {
    const float* terms;  // (kForceTerms, row)
    index row;
    float* energy;
    LANE_FN void operator()(index i) const {
        float sum = 0.0f;
        for (int32 t = 0; t < kForceTerms; ++t) sum += terms[t * row + i];
        energy[i] = sum;
    }
};

}  // namespace microlift
