// The fused kernels in bf16: half a minute to compile, hence a file for each precision.
#include "nn/generators/gan_tiles.h"

namespace microlift {

template void launch_blocks_on_cuda(Stream&, index, const CriticTileKernel<Precision::bf16>&);
template void launch_blocks_on_cuda(Stream&, index, const GeneratorTileKernel<Precision::bf16>&);
template void launch_blocks_on_cuda(Stream&, index, const GenerateTileKernel<Precision::bf16>&);

}  // namespace microlift
