// The fused kernels in tf32: half a minute to compile, hence a file for each precision.
#include "nn/generators/gan_tiles.h"

namespace microlift {

template void launch_blocks_on_cuda(Stream&, index, const CriticTileKernel<Precision::tf32>&);
template void launch_blocks_on_cuda(Stream&, index, const GeneratorTileKernel<Precision::tf32>&);
template void launch_blocks_on_cuda(Stream&, index, const GenerateTileKernel<Precision::tf32>&);

}  // namespace microlift
