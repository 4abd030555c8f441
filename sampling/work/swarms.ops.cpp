#include "sampling/work/swarms.h"

#include "engine/launch/lanes.h"

namespace microlift {

struct SwarmOffsetBody {
    float period;
    bool add;
    const float *xi, *from;
    double* to;
    LANE_FN void operator()(index i) const {
        const double off = nearest_image(static_cast<double>(xi[i]) - static_cast<double>(from[i]),
                                         static_cast<double>(period));
        to[i] = add ? to[i] + off : off;
    }
};

HOST_PASS_BEGIN

void swarm_offsets(Stream& stream, int cvs, const CvPeriods& periods, Span<const float> xi, Span<const float> from,
                   Span<double> to, bool add) {
    const index n = to.size / cvs;
    for (int k = 0; k < cvs; ++k)
        for_each_index(stream, n, SwarmOffsetBody{periods.period[k], add, xi.data + k * n, from.data + k * n,
                                                  to.data + k * n});
}

HOST_PASS_END

}  // namespace microlift
