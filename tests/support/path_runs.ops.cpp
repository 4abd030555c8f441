#include "tests/support/path_runs.h"

#include "engine/launch/lanes.h"

namespace microlift {

HOST_PASS_BEGIN

template <class System, class Scheme>
void run_biased(Stream& stream, const System& system, const Scheme& scheme, const PathArgs& a) {
    for_each_lane(stream, a.trajectories,
                  PathBody<System, CoordinateCv<0, System::dim>, HarmonicBias, Scheme, Portable>{
                      system, {}, scheme, a});
}

void run_path(Stream& stream, const HarmonicWell& system, const EulerMaruyama& scheme,
              const PathArgs& a) {
    run_biased(stream, system, scheme, a);
}
void run_path(Stream& stream, const HarmonicWell& system, const LeimkuhlerMatthews& scheme,
              const PathArgs& a) {
    run_biased(stream, system, scheme, a);
}
void run_path(Stream& stream, const HarmonicWell& system, const Baoab& scheme, const PathArgs& a) {
    run_biased(stream, system, scheme, a);
}
void run_path(Stream& stream, const QuarticWell& system, const EulerMaruyama& scheme,
              const PathArgs& a) {
    run_biased(stream, system, scheme, a);
}
void run_path(Stream& stream, const QuarticWell& system, const LeimkuhlerMatthews& scheme,
              const PathArgs& a) {
    run_biased(stream, system, scheme, a);
}
void run_path(Stream& stream, const QuarticWell& system, const Baoab& scheme, const PathArgs& a) {
    run_biased(stream, system, scheme, a);
}
void run_path(Stream& stream, const HarmonicWell& system, const Heun& scheme, const PathArgs& a) {
    run_biased(stream, system, scheme, a);
}
void run_path(Stream& stream, const QuarticWell& system, const Heun& scheme, const PathArgs& a) {
    run_biased(stream, system, scheme, a);
}
void run_path(Stream& stream, const DoubleWell& system, const EulerMaruyama& scheme,
              const PathArgs& a) {
    run_biased(stream, system, scheme, a);
}
void run_path(Stream& stream, const FastSlow& system, const EulerMaruyama& scheme,
              const PathArgs& a) {
    run_biased(stream, system, scheme, a);
}
void run_path(Stream& stream, const MullerBrown& system, const LeimkuhlerMatthews& scheme,
              const PathArgs& a) {
    run_biased(stream, system, scheme, a);
}
void run_constrained(Stream& stream, const Channel& system, const LeimkuhlerMatthews& scheme,
                     const PathArgs& a) {
    for_each_lane(
        stream, a.trajectories,
        PathBody<Channel, CoordinateCv<0, 2>, LevelSetConstraint, LeimkuhlerMatthews, Portable>{
            system, {}, scheme, a});
}

HOST_PASS_END

}  // namespace microlift
