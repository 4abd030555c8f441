#include "sampling/closure/slowest_rate.h"

#include <algorithm>
#include <cmath>

#include "engine/launch/gather.h"
#include "kernels/random/streams.h"
#include "sampling/closure/burst_kernels.h"
#include "sampling/model/ensembles.h"
#include "sampling/numerics/statistics.h"

namespace microlift {

namespace {

constexpr index kFewest = 2048, kUsual = 65536, kMost = 262144;  // trajectories
constexpr double kDecay = 0.7;       // of the slowest motion, at most, in its relaxation times
constexpr index kBlocks = 32;        // of the jackknife
constexpr double kBeyondNoise = 2;   // errors that a difference must exceed to be one

}  // namespace

SlowMotion slow_motion(const ReducedModel& model) {
    return {model.rates(1)[0], [&model](const CvValue& x) { return model.density(x[0]); },
            [&model](const std::vector<CvValue>& values) {
                std::vector<double> x;
                for (const CvValue& v : values) x.push_back(v[0]);
                return model.eigenfunctions(1, x)[0];
            }};
}

SlowMotion slow_motion(const ReducedModelOfTwo& model) {
    const std::vector<double> density = model.density();
    const std::vector<double> slow = model.beyond_walls(model.slowest_function());
    return {model.rates(1)[0],
            [&model, density](const CvValue& x) {
                const double p = model.at(density, x);
                return p > 0 ? p : 0.0;
            },
            [&model, slow](const std::vector<CvValue>& values) {
                std::vector<double> out;
                for (const CvValue& x : values) out.push_back(model.at(slow, x));
                return out;
            }};
}

SlowestRate slowest_rate(Stream& stream, const Model& model, const IntegratorConfig& integrator,
                        const std::vector<CvValue>& values, Span<const float> start, index replicas,
                        const SlowMotion& motion, const SlowestRateOptions& options) {
    SlowestRate out;
    out.rate = {std::nan(""), std::nan("")};
    const double slow = 1 / (motion.rate * options.dt);  // steps
    // Long enough for the lag to be a small part of it, no longer than the motion lasts.
    double length = std::clamp(options.work / static_cast<double>(kUsual),
                               6 * static_cast<double>(options.lag), kDecay * slow);
    if (kDecay * slow < 6 * static_cast<double>(options.lag)) length = kDecay * slow;
    length = std::max(length, 4.0);
    const double affordable = options.work / length;
    if (affordable < static_cast<double>(kFewest)) return out;
    const index aim = std::min(kMost, static_cast<index>(affordable));
    const uint64 first = static_cast<uint64>(length / 3),
                 middle = static_cast<uint64>(2 * length / 3),
                 second = static_cast<uint64>(length);

    std::vector<double> weight;
    double total = 0;
    for (const CvValue& v : values) {
        weight.push_back(motion.density(v));
        total += weight.back();
    }
    std::vector<index> which;
    std::vector<CvValue> begin;
    for (std::size_t v = 0; v < values.size(); ++v) {
        const index count =
            static_cast<index>(std::lround(weight[v] / total * static_cast<double>(aim)));
        for (index r = 0; r < count; ++r) {
            which.push_back(static_cast<index>(v) * replicas + r % replicas);
            begin.push_back(values[v]);
        }
    }
    const index n = static_cast<index>(which.size());
    if (n < kFewest / 2) return out;
    const std::unique_ptr<Ensemble> free =
        free_ensemble(stream, model, integrator, options.dt, n, options.seed);
    Ensemble& ensemble = *free;
    {
        Buffer<index> device_which(stream.device(), n);
        copy_to_device(stream, device_which.span(), which.data());
        gather_columns(stream, start.data, static_cast<index>(values.size()) * replicas, model.dim(),
                       device_which.span(), ensemble.x().data);
    }
    const index rows = static_cast<index>(model.formulas().cv.outputs.size());
    Buffer<float> xi(stream.device(), rows * n);
    const auto psi_at = [&](uint64 step) {
        while (ensemble.step() < step) {
            ensemble.advance(std::min(ensemble.launch_steps(), step - ensemble.step()));
            if (options.after)
                options.after(static_cast<double>(ensemble.step()) * static_cast<double>(n));
        }
        model.evaluate_cvs(stream, ensemble.x(), n, n, xi.span(), n);
        const int K = model.n_cvs();
        const std::vector<float> host = to_host(stream, Span<const float>(xi.data(), K * n));
        std::vector<CvValue> at(static_cast<std::size_t>(n));
        for (std::size_t j = 0; j < at.size(); ++j)
            for (std::size_t k = 0; k < static_cast<std::size_t>(K); ++k)
                at[j][k] = static_cast<double>(host[k * at.size() + j]);
        return motion.function(at);
    };
    const std::vector<double> a = motion.function(begin);
    const std::vector<double> early = psi_at(first), between = psi_at(middle), late = psi_at(second);
    ensemble.check_finite([](index t) { return "free trajectory " + std::to_string(t); });

    // Sums of 1, a, and each ψ and aψ by block; blocks take every 32nd trajectory.
    std::array<std::array<double, 8>, kBlocks> sums{};
    for (std::size_t j = 0; j < a.size(); ++j) {
        auto& s = sums[j % static_cast<std::size_t>(kBlocks)];
        const double terms[8] = {1,       a[j],           early[j],          a[j] * early[j],
                                 between[j], a[j] * between[j], late[j], a[j] * late[j]};
        for (std::size_t k = 0; k < 8; ++k) s[k] += terms[k];
    }
    // By the decay over the whole span and over each half.
    const auto rates = [&](index without) {
        std::array<double, 8> s{};
        for (index b = 0; b < kBlocks; ++b)
            if (b != without)
                for (std::size_t k = 0; k < 8; ++k) s[k] += sums[static_cast<std::size_t>(b)][k];
        const auto covariance = [&](std::size_t k) { return s[k + 1] * s[0] - s[1] * s[k]; };
        const auto rate = [&](std::size_t from, std::size_t to, uint64 steps) {
            const double ratio = covariance(from) / covariance(to);
            return ratio > 0 ? std::log(ratio) / (options.dt * static_cast<double>(steps))
                             : std::nan("");
        };
        return std::array{rate(2, 6, second - first),
                          rate(2, 4, middle - first) - rate(4, 6, second - middle)};
    };
    std::vector<double> parts, differences;
    for (index b = 0; b < kBlocks; ++b) {
        parts.push_back(rates(b)[0]);
        differences.push_back(rates(b)[1]);
    }
    // Other motions that have not died out: the halves differ by more than their noise.
    const auto [rate, difference] = rates(-1);
    const double noise = kBeyondNoise * jackknife_error(differences);
    const double bias = std::sqrt(std::max(0.0, difference * difference - noise * noise));
    out.rate = {rate, std::hypot(jackknife_error(parts), bias)};
    out.first = options.dt * static_cast<double>(first);
    out.second = options.dt * static_cast<double>(second);
    out.trajectories = n;
    out.steps = static_cast<double>(second) * static_cast<double>(n);
    out.force_evaluations = ensemble.force_evaluations();
    return out;
}

}  // namespace microlift
