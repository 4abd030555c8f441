// The CUDA kernels of networks and of whitening.
#include "engine/error.h"
#include "engine/launch/blocks.h"
#include "engine/launch/lanes.h"
#include "kernels/lane/whole.h"
#include "nn/layers/conv_bodies.h"
#include "nn/layers/bias_sums.h"
#include "nn/layers/mlp_bodies.h"
#include "nn/layers/portable_products.h"
#include "nn/layers/whitening_bodies.h"

namespace microlift {

template void launch_on_cuda<ActivateBody<float>, float>(Stream&, index,
                                                         const ActivateBody<float>&);
template void launch_on_cuda<MultiplyBody<float>, float>(Stream&, index,
                                                         const MultiplyBody<float>&);
template void launch_on_cuda<TangentBody<float>, float>(Stream&, index, const TangentBody<float>&);
template void launch_on_cuda<MultiplyAddBody<float>, float>(Stream&, index,
                                                            const MultiplyAddBody<float>&);
template void launch_index_on_cuda<PortableProductBody>(Stream&, index, const PortableProductBody&);
template void launch_index_on_cuda<PortableGradientBody>(Stream&, index, const PortableGradientBody&);
template void launch_index_on_cuda<SeedBody<float>>(Stream&, index, const SeedBody<float>&);
template void launch_index_on_cuda<GatherMeasuredBody>(Stream&, index, const GatherMeasuredBody&);
template void launch_blocks_on_cuda(Stream&, index, const MeasureKernel<FitSums>&);
template void launch_blocks_on_cuda(Stream&, index, const MeasureKernel<ResidualSums>&);
template void launch_blocks_on_cuda(Stream&, index, const BiasSumKernel&);
template void launch_index_on_cuda<BiasTotalBody>(Stream&, index, const BiasTotalBody&);
template void launch_index_on_cuda<RangeBody>(Stream&, index, const RangeBody&);
template void launch_on_cuda<TangentStartBody, float>(Stream&, index, const TangentStartBody&);
template void launch_on_cuda<TangentOfAnglesBody, float>(Stream&, index, const TangentOfAnglesBody&);
template void launch_on_cuda<TangentScaleBody, float>(Stream&, index, const TangentScaleBody&);
template void launch_index_on_cuda<SquaredErrorBody>(Stream&, index, const SquaredErrorBody&);
template void launch_on_cuda<ConvolveBody<float>, float>(Stream&, index,
                                                         const ConvolveBody<float>&);
template void launch_on_cuda<ConvActivateBody<float>, float>(Stream&, index,
                                                             const ConvActivateBody<float>&);
template void launch_on_cuda<ConvSeedBody<float>, float>(Stream&, index,
                                                         const ConvSeedBody<float>&);
template void launch_on_cuda<ConvSumBody<float>, float>(Stream&, index, const ConvSumBody<float>&);
template void launch_on_cuda<ConvGradientBody<float>, float>(Stream&, index,
                                                             const ConvGradientBody<float>&);
template void launch_index_on_cuda<ConvInputBody<float>>(Stream&, index,
                                                         const ConvInputBody<float>&);
template void launch_index_on_cuda<ConvHaloBody<float>>(Stream&, index,
                                                        const ConvHaloBody<float>&);
template void launch_index_on_cuda<ConvLossBody<float>>(Stream&, index,
                                                        const ConvLossBody<float>&);
template void launch_index_on_cuda<ConvBiasBody>(Stream&, index, const ConvBiasBody&);
template void launch_index_on_cuda<ToFilterBody>(Stream&, index, const ToFilterBody&);
template void launch_index_on_cuda<FromFilterBody>(Stream&, index, const FromFilterBody&);
template void launch_index_on_cuda<FlipBody>(Stream&, index, const FlipBody&);
template void launch_index_on_cuda<ConvOutputBody>(Stream&, index, const ConvOutputBody&);

}  // namespace microlift
