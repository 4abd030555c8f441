// The CUDA kernels of flow matching and of the energy score.
#include "engine/error.h"
#include "engine/launch/lanes.h"
#include "nn/generators/flow_bodies.h"

namespace microlift {

template void launch_on_cuda<TangentStartBody, float>(Stream&, index, const TangentStartBody&);
template void launch_on_cuda<TangentScaleBody, float>(Stream&, index, const TangentScaleBody&);

template void launch_index_on_cuda<FlowBatchBody>(Stream&, index, const FlowBatchBody&);
template void launch_index_on_cuda<SquaredErrorBody>(Stream&, index, const SquaredErrorBody&);
template void launch_index_on_cuda<EnergyBatchBody>(Stream&, index, const EnergyBatchBody&);
template void launch_index_on_cuda<EnergyGroupBody>(Stream&, index, const EnergyGroupBody&);
template void launch_index_on_cuda<LossRecordBody>(Stream&, index, const LossRecordBody&);
template void launch_index_on_cuda<FlowInputBody>(Stream&, index, const FlowInputBody&);
template void launch_index_on_cuda<NormalVelocityBody>(Stream&, index, const NormalVelocityBody&);
template void launch_index_on_cuda<FlowMoveBody>(Stream&, index, const FlowMoveBody&);
template void launch_index_on_cuda<CopyRowBody>(Stream&, index, const CopyRowBody&);
template void launch_index_on_cuda<FlowStepBody>(Stream&, index, const FlowStepBody&);
template void launch_index_on_cuda<FlowNewtonBody>(Stream&, index, const FlowNewtonBody&);
template void launch_index_on_cuda<NormalDensityBody>(Stream&, index, const NormalDensityBody&);
template void launch_index_on_cuda<WhitenBody>(Stream&, index, const WhitenBody&);
template void launch_index_on_cuda<SpreadOutBody>(Stream&, index, const SpreadOutBody&);

}  // namespace microlift
