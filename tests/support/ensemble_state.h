// The state of a small ensemble after some steps, for comparisons of every bit.
#pragma once

#include "kernels/random/streams.h"
#include "sampling/dynamics/ensemble.h"

namespace microlift {

// x (dim, n), center and stiffness (K, n).
inline std::vector<float> advanced_state(Stream& stream,
                                         const std::shared_ptr<const PathKernel>& kernel, index n,
                                         const std::vector<float>& x,
                                         const std::vector<float>& center,
                                         const std::vector<float>& stiffness) {
    Ensemble ensemble(stream, kernel, n, 11, kStreamNoise);
    copy_to_device(stream, ensemble.x(), x.data());
    copy_to_device(stream, ensemble.center(), center.data());
    copy_to_device(stream, ensemble.stiffness(), stiffness.data());
    ensemble.advance(33);  // an odd number: half of a block of normals is left
    ensemble.advance(64);
    ensemble.check_finite([](index) { return std::string("test"); });
    return ensemble.save_state();
}

}  // namespace microlift
