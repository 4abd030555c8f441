// The CUDA kernels of each kind of generator.
#include "engine/error.h"
#include "engine/launch/blocks.h"
#include "engine/launch/lanes.h"
#include "nn/generators/energy_bodies.h"
#include "nn/generators/flow_bodies.h"
#include "nn/generators/gan_bodies.h"
#include "nn/generators/score_bodies.h"

namespace microlift {

template void launch_index_on_cuda<PenaltyBody<float>>(Stream&, index, const PenaltyBody<float>&);
template void launch_index_on_cuda<RelativisticSeedBody<float>>(Stream&, index,
                                                                const RelativisticSeedBody<float>&);
template void launch_index_on_cuda<HandOverBody<float>>(Stream&, index,
                                                        const HandOverBody<float>&);
template void launch_index_on_cuda<EnergyScoreBody<float>>(Stream&, index,
                                                           const EnergyScoreBody<float>&);
template void launch_index_on_cuda<GatherBody>(Stream&, index, const GatherBody&);
template void launch_index_on_cuda<KeepOutputBody>(Stream&, index, const KeepOutputBody&);
template void launch_index_on_cuda<FakeBody>(Stream&, index, const FakeBody&);
template void launch_blocks_on_cuda(Stream&, index, const RecordKernel<GanRecord>&);
template void launch_index_on_cuda<FlowBatchBody>(Stream&, index, const FlowBatchBody&);
template void launch_index_on_cuda<ScoreBatchBody>(Stream&, index, const ScoreBatchBody&);
template void launch_index_on_cuda<EnergyBatchBody>(Stream&, index, const EnergyBatchBody&);
template void launch_index_on_cuda<EnergyGroupBody>(Stream&, index, const EnergyGroupBody&);
template void launch_index_on_cuda<FlowInputBody>(Stream&, index, const FlowInputBody&);
template void launch_index_on_cuda<NormalVelocityBody>(Stream&, index, const NormalVelocityBody&);
template void launch_index_on_cuda<FlowMoveBody>(Stream&, index, const FlowMoveBody&);
template void launch_index_on_cuda<CopyRowBody>(Stream&, index, const CopyRowBody&);
template void launch_index_on_cuda<FlowStepBody>(Stream&, index, const FlowStepBody&);
template void launch_index_on_cuda<FlowNewtonBody>(Stream&, index, const FlowNewtonBody&);
template void launch_index_on_cuda<AngleLatentBody>(Stream&, index, const AngleLatentBody&);
template void launch_index_on_cuda<RoundBody>(Stream&, index, const RoundBody&);
template void launch_index_on_cuda<NormalDensityBody>(Stream&, index, const NormalDensityBody&);
template void launch_index_on_cuda<WhitenBody>(Stream&, index, const WhitenBody&);
template void launch_index_on_cuda<SpreadOutBody>(Stream&, index, const SpreadOutBody&);

}  // namespace microlift
