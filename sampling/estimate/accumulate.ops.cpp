#include "engine/launch/lanes.h"
#include "sampling/estimate/accumulate_kernels.h"

namespace microlift {

HOST_PASS_BEGIN

void count_samples(Stream& stream, const CountSamples& body) {
    for_each_index(stream, body.trajectories, body);
}

HOST_PASS_END

}  // namespace microlift
