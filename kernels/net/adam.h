// One Adam step (Kingma and Ba, 2015, algorithm 1) for a lane of parameters.
#pragma once

#include "kernels/lane/math.h"

namespace microlift {

// What changes from step to step, in device memory; `step_*` are made by adam_advance.
struct AdamStep {
    double beta1_power = 1, beta2_power = 1;  // beta^t
    float rate = 0;                           // of this step, by the schedule
    float correction1 = 1, correction2 = 1;   // 1/(1 − beta1^t), 1/(1 − beta2^t)
    float padding = 0;
};

struct AdamRates {
    float beta1 = 0, beta2 = 0.9f, epsilon = 1e-8f;
};

LANE_FN void adam_advance(AdamStep& step, const AdamRates& rates, float rate) {
    step.beta1_power *= static_cast<double>(rates.beta1);
    step.beta2_power *= static_cast<double>(rates.beta2);
    step.rate = rate;
    step.correction1 = static_cast<float>(1.0 / (1.0 - step.beta1_power));
    step.correction2 = static_cast<float>(1.0 / (1.0 - step.beta2_power));
}

template <class L>
LANE_FN L adam_update(const AdamStep& step, const AdamRates& rates, L parameter, L gradient,
                      L& first_moment, L& second_moment) {
    first_moment = fma(broadcast<L>(rates.beta1), first_moment,
                       broadcast<L>(1.0f - rates.beta1) * gradient);
    second_moment = fma(broadcast<L>(rates.beta2), second_moment,
                        broadcast<L>(1.0f - rates.beta2) * (gradient * gradient));
    const L size = sqrt_exact(second_moment * broadcast<L>(step.correction2)) +
                   broadcast<L>(rates.epsilon);
    const L direction = first_moment * broadcast<L>(step.correction1) / size;
    return fma(broadcast<L>(-step.rate), direction, parameter);
}

}  // namespace microlift
