#include "sampling/learn/points.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "sampling/dynamics/ensemble.h"
#include "sampling/learn/landmarks.h"

namespace microlift {

namespace {

constexpr index kReadPerPoint = 12;

// Variable-major.
struct Weighted {
    index n = 0;
    std::vector<float> x;
    std::vector<double> weights;
};

// The greatest weight is 1.
Weighted weighted(const SomeSamples& samples, bool equally) {
    Weighted out{samples.n, samples.x, {}};
    double most = -1e300;
    for (const double w : samples.log_weight)
        if (std::isfinite(w)) most = std::max(most, w);
    for (const double w : samples.log_weight)
        out.weights.push_back(equally ? 1.0 : std::isfinite(w) ? std::exp(w - most) : 0.0);
    return out;
}

// An even cover of the data; every sample read lends its weight to the nearest point of it. Even in the
// distance that the map uses: with bursts that is not known here, and an even cover of what is observed
// would be crowded in the tails of what is fast.
Weighted cover(Stream& stream, const LearnFeatures& features, int D, const Weighted& all, index points) {
    const index n = all.n;
    const int F = features.count();
    Buffer<float> x(stream.device(), D * n), y(stream.device(), F * n);
    copy_to_device(stream, x.span(), all.x.data());
    features.evaluate(stream, x.span(), n, n, y.span(), n);
    const std::vector<float> host = to_host(stream, Span<const float>(y.span()));
    std::vector<double> rows(at(n * F));
    for (index i = 0; i < n; ++i)
        for (int f = 0; f < F; ++f)
            rows[at(i * F + f)] = static_cast<double>(host[at(f * n + i)]);
    std::vector<index> nearest;
    double spacing = 0;
    const std::vector<index> chosen = farthest_points(rows, F, n, points, spacing, &nearest);
    Weighted some;
    some.n = static_cast<index>(chosen.size());
    some.x.resize(at(D * some.n));
    some.weights.assign(chosen.size(), 0.0);
    for (index i = 0; i < some.n; ++i)
        for (int d = 0; d < D; ++d)
            some.x[at(d * some.n + i)] = all.x[at(d * n + chosen[at(i)])];
    for (index i = 0; i < n; ++i) some.weights[at(nearest[at(i)])] += all.weights[at(i)];
    return some;
}

// The inverse local covariance of the features at each point, from short unbiased runs.
std::vector<float> burst_metric(Stream& stream, const Model& model, IntegratorConfig integrator,
                                const LearnConfig& config, const Weighted& picked, uint64 seed) {
    const int R = config.burst_replicas, D = model.dim(), features = model.target_dim();
    const double time = config.burst_time > 0 ? config.burst_time : integrator.dt;
    integrator.scheme = "euler_maruyama";
    const index steps = std::max<index>(1, std::llround(time / integrator.dt));
    integrator.dt = time / static_cast<double>(steps);
    const std::shared_ptr<const PathKernel> kernel = model.path_kernel(model.path_setup(integrator));
    const int entries = features * (features + 1) / 2;
    std::vector<float> metric(at(entries * picked.n));
    constexpr index kPiece = 4096;
    std::vector<double> ends(at(features * R));
    for (index first = 0; first < picked.n; first += kPiece) {
        const index count = std::min(kPiece, picked.n - first), n = count * R;
        Ensemble ensemble(stream, kernel, n, seed, kStreamLearn, picked.n + first * R);
        std::vector<float> x(at(D * n));
        for (int d = 0; d < D; ++d)
            for (index t = 0; t < n; ++t)
                x[at(d * n + t)] = picked.x[at(d * picked.n + first + t / R)];
        copy_to_device(stream, ensemble.x(), x.data());
        ensemble.advance(static_cast<uint64>(steps));
        ensemble.check_finite([](index) { return std::string("a short run for the metric"); });
        Buffer<float> y(stream.device(), features * n);
        model.observe(stream, ensemble.x(), n, n, y.span(), n);
        const std::vector<float> host = to_host(stream, Span<const float>(y.span()));
        for (index i = 0; i < count; ++i) {
            for (int f = 0; f < features; ++f)
                for (int r = 0; r < R; ++r)
                    ends[at(f * R + r)] = static_cast<double>(host[at(f * n + i * R + r)]);
            const std::vector<double> inverse =
                inverse_covariance(ends, features, R, std::min(features, D), time);
            for (int e = 0; e < entries; ++e)
                metric[at(e * picked.n + first + i)] = static_cast<float>(inverse[at(e)]);
        }
    }
    return metric;
}

}  // namespace

std::vector<index> samples_to_read(index samples, const LearnConfig& config, uint64 seed) {
    const index n = std::min(config.bursts ? config.points : kReadPerPoint * config.points, samples);
    std::vector<index> rows;
    for (index i = 0; i < n; ++i) {
        const index from = i * samples / n, to = (i + 1) * samples / n;
        const PhiloxStream<float> rng(seed, kStreamLearn, i);
        uint32 u[4];
        rng.draw(0, u);
        rows.push_back(from + static_cast<index>(u[0]) % (to - from));
    }
    return rows;
}

LearnPoints learn_points(Stream& stream, const Model& model, const IntegratorConfig& integrator,
                         const LearnFeatures& features, const LearnConfig& config, const SomeSamples& samples,
                         uint64 seed) {
    Weighted picked = weighted(samples, config.unweighted);
    if (!config.bursts) picked = cover(stream, features, model.dim(), picked, config.points);
    const Device& device = stream.device();
    LearnPoints points;
    points.n = picked.n;
    points.features = features.count();
    Buffer<float> x(device, static_cast<index>(picked.x.size()));
    copy_to_device(stream, x.span(), picked.x.data());
    points.y = Buffer<float>(device, points.features * picked.n);
    features.evaluate(stream, x.span(), picked.n, picked.n, points.y.span(), picked.n);
    if (config.bursts) {
        const std::vector<float> host = burst_metric(stream, model, integrator, config, picked, seed);
        points.metric = Buffer<float>(device, static_cast<index>(host.size()));
        copy_to_device(stream, points.metric.span(), host.data());
    }
    points.x = std::move(picked.x);
    points.weights = std::move(picked.weights);
    return points;
}

}  // namespace microlift
