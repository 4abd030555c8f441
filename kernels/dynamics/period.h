// Values with a period: differences are those to the nearest image.
#pragma once

#include "kernels/dynamics/cv.h"

namespace microlift {

// The whole periods in d, half of one rounded to even; 0 where period and inverse are 0, those of what has none.
// Adding 1.5 · 2²³ (2⁵² in double precision) rounds to an integer.
template <class L>
LANE_FN L whole_turns(L d, Scalar<L> period, Scalar<L> inverse) {
    const L shift = broadcast<L>(static_cast<Scalar<L>>(sizeof(Scalar<L>) == 4 ? 0x1.8p23 : 0x1.8p52));
    return broadcast<L>(period) * (fma(d, broadcast<L>(inverse), shift) - shift);
}
template <class L>
LANE_FN L whole_turns(L d, Scalar<L> period) {
    if (!(period > Scalar<L>(0))) return broadcast<L>(Scalar<L>(0));
    return whole_turns(d, period, Scalar<L>(1) / period);
}

// What is left of a difference: within half a period about 0.
template <class L>
LANE_FN L nearest_image(L d, Scalar<L> period) {
    if (!(period > Scalar<L>(0))) return d;
    return d - whole_turns(d, period);
}

// Of the collective variables that go all round: the period (0: none), and the middle of the period that
// their values are told in.
struct CvPeriods {
    float period[kMaxCvs] = {0.0f, 0.0f};
    float middle[kMaxCvs] = {0.0f, 0.0f};

    LANE_FN CvPeriods variable(int k) const {
        CvPeriods one;
        one.period[0] = period[k];
        one.middle[0] = middle[k];
        return one;
    }
    // The image of a value that is told.
    template <class L>
    LANE_FN L image(int k, L xi) const {
        return period[k] > 0.0f ? xi - whole_turns(xi - broadcast<L>(middle[k]), period[k]) : xi;
    }
};

}  // namespace microlift
