// What draws states x ~ p(x | s) with a trained network: trainers judge by it, Generator wraps it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/lane/matrix.h"
#include "kernels/lane/precision.h"
#include "nn/layers/whitening.h"

namespace microlift {

// Column j draws as trajectory first + j of random stream `stream`.
struct RandomSource {
    uint64 seed = 0;
    uint32 stream = 0;
    index first = 0;
};

struct TrainedWeights {
    const WhiteningView& white;
    const float* parameters;
};

// Conditions are (condition, column), states (state, column), of as many columns as there are states to
// draw. Column j depends on (seed, stream, first + j) and its condition alone.
class Sampler {
public:
    virtual ~Sampler() = default;

    // States stay within the data's range.
    virtual void run(Stream& stream, const TrainedWeights& weights, Matrix<const float> conditions,
                     const RandomSource& source, Matrix<float> states, Precision precision) = 0;

    // Why ln q(x | s) is not known; empty if it is.
    virtual std::string density_refusal() const { return "has no density; train a flow"; }
    bool has_density() const { return density_refusal().empty(); }
    // Where it is. ln q(x | s) of what is drawn, which may lie anywhere; NaN where the map folds, so that
    // there is no such density.
    virtual void propose(Stream&, const TrainedWeights&, Matrix<const float> /*conditions*/,
                         const RandomSource&, Matrix<float> /*states*/, float* /*log_density*/) {}
    // ln q(x | s) of given states; NaN where no noise is found that ends there.
    virtual void density(Stream&, const TrainedWeights&, Matrix<const float> /*conditions*/,
                         Matrix<const float> /*states*/, float* /*log_density*/) {}
};

// What a weight file holds.
struct LoadedGenerator {
    std::unique_ptr<Sampler> sampler;
    std::vector<float> parameters;
};

}  // namespace microlift
