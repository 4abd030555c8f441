// The CUDA kernels of network training and generation: every element-wise body of the GAN.
#include "engine/error.h"
#include "engine/launch/lanes.h"
#include "nn/generators/gan_bodies.h"
#include "nn/layers/whitening_bodies.h"

namespace microlift {

template void launch_on_cuda<ActivateBody<float>, float>(Stream&, index,
                                                         const ActivateBody<float>&);
template void launch_on_cuda<MultiplyBody<float>, float>(Stream&, index,
                                                         const MultiplyBody<float>&);
template void launch_on_cuda<TangentBody<float>, float>(Stream&, index, const TangentBody<float>&);
template void launch_on_cuda<MultiplyAddBody<float>, float>(Stream&, index,
                                                            const MultiplyAddBody<float>&);
template void launch_on_cuda<LatentBody, float>(Stream&, index, const LatentBody&);
template void launch_on_cuda<AdamBody, float>(Stream&, index, const AdamBody&);
template void launch_on_cuda<KeepBestBody, float>(Stream&, index, const KeepBestBody&);

template void launch_index_on_cuda<SeedBody<float>>(Stream&, index, const SeedBody<float>&);
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
template void launch_index_on_cuda<AdvanceBody>(Stream&, index, const AdvanceBody&);
template void launch_index_on_cuda<RecordBody>(Stream&, index, const RecordBody&);
template void launch_index_on_cuda<FeatureBody>(Stream&, index, const FeatureBody&);
template void launch_index_on_cuda<UnwhitenBody>(Stream&, index, const UnwhitenBody&);
template void launch_index_on_cuda<PickBody>(Stream&, index, const PickBody&);
template void launch_index_on_cuda<DistanceBody>(Stream&, index, const DistanceBody&);
template void launch_index_on_cuda<JudgeBody>(Stream&, index, const JudgeBody&);
template void launch_index_on_cuda<MomentsBody>(Stream&, index, const MomentsBody&);
template void launch_index_on_cuda<FitBody>(Stream&, index, const FitBody&);
template void launch_index_on_cuda<ResidualBody>(Stream&, index, const ResidualBody&);
template void launch_index_on_cuda<RangeBody>(Stream&, index, const RangeBody&);

// Every row of c becomes the bias, before a product is accumulated on it.
struct SpreadBiasBody {
    const float* bias;
    float* c;
    index ld, n;
    LANE_FN void operator()(index i) const { c[i / n * ld + i % n] = bias[i % n]; }
};

void spread_bias_on_cuda(Stream& stream, const float* bias, float* c, index ld, index rows,
                         index n) {
    launch_index_on_cuda(stream, rows * n, SpreadBiasBody{bias, c, ld, n});
}

}  // namespace microlift
