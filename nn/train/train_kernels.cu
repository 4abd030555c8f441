// The CUDA kernels that all trainers share.
#include "engine/error.h"
#include "engine/launch/blocks.h"
#include "engine/launch/lanes.h"
#include "nn/train/embedding_bodies.h"
#include "nn/train/batch.h"
#include "nn/train/judge.h"
#include "nn/train/loss.h"

namespace microlift {

template void launch_on_cuda<LatentBody, float>(Stream&, index, const LatentBody&);
template void launch_on_cuda<AdamBody, float>(Stream&, index, const AdamBody&);
template void launch_on_cuda<KeepBestBody, float>(Stream&, index, const KeepBestBody&);
template void launch_index_on_cuda<AdvanceBody>(Stream&, index, const AdvanceBody&);
template void launch_index_on_cuda<FeatureBody>(Stream&, index, const FeatureBody&);
template void launch_index_on_cuda<UnwhitenBody>(Stream&, index, const UnwhitenBody&);
template void launch_blocks_on_cuda(Stream&, index, const DistanceKernel&);
template void launch_index_on_cuda<JudgeBody>(Stream&, index, const JudgeBody&);
template void launch_blocks_on_cuda(Stream&, index, const RecordKernel<LossRecord>&);
template void launch_on_cuda<EmbedBody, float>(Stream&, index, const EmbedBody&);
template void launch_on_cuda<UnembedBody, float>(Stream&, index, const UnembedBody&);

}  // namespace microlift
