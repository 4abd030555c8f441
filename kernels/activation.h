// Activation functions with the two derivatives that the gradient penalty needs.
#pragma once

#include "kernels/math.h"

namespace microlift {

enum class Activation : int32 { silu, leaky_relu, tanh, softplus };

inline constexpr float kLeakySlope = 0.2f;

template <class L>
struct ActivationValues {
    L value, first, second;  // φ(z), φ′(z), φ″(z)
};

// The kind is the same in all lanes. At the kink of LeakyReLU the right derivative counts.
template <class M, class L>
LANE_FN ActivationValues<L> activation(Activation kind, L z) {
    using S = Scalar<L>;
    const L one = broadcast<L>(S(1)), zero = broadcast<L>(S(0));
    switch (kind) {
        case Activation::silu: {
            const L s = sigmoid<M>(z);
            const L rest = s * (one - s);
            return {z * s, fma(z, rest, s),
                    rest * fma(z, fma(broadcast<L>(S(-2)), s, one), broadcast<L>(S(2)))};
        }
        case Activation::leaky_relu: {
            const L slope = select(z >= zero, one, broadcast<L>(S(kLeakySlope)));
            return {slope * z, slope, zero};
        }
        case Activation::tanh: {
            const L t = tanh<M>(z);
            const L first = fma(-t, t, one);
            return {t, first, broadcast<L>(S(-2)) * t * first};
        }
        case Activation::softplus: break;
    }
    const L s = sigmoid<M>(z);
    return {softplus<M>(z), s, s * (one - s)};
}

}  // namespace microlift
