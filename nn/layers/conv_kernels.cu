// The CUDA kernels of convolutions over a ring.
#include "engine/error.h"
#include "engine/launch/lanes.h"
#include "nn/layers/conv_bodies.h"

namespace microlift {

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
template void launch_index_on_cuda<FlipBody>(Stream&, index, const FlipBody&);
template void launch_index_on_cuda<ConvOutputBody>(Stream&, index, const ConvOutputBody&);

}  // namespace microlift
