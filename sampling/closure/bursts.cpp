#include "sampling/closure/bursts.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/device/host_view.h"
#include "engine/launch/gather.h"
#include "engine/launch/reduce.h"
#include "engine/launch/work.h"
#include "kernels/random/streams.h"
#include "sampling/closure/burst_kernels.h"
#include "sampling/model/ensembles.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/numerics/statistics.h"

namespace microlift {

namespace {

constexpr uint64 kRateReplicates = 12;
constexpr double kRidge = 1e-9;       // of variances; what covariances are known to is far less
constexpr double kSafe = 2.2;    // of the longest lag over that past which memory is taken to be gone
constexpr double kFalseAlarm = 0.05;  // of lags that differ by noise alone
constexpr double kSameRate = 0.005;  // change of ln rate from one lag to the next that is none

constexpr index kPieceFloats = 24000000;  // of the states stored to see the martingales, on the CPU

// Mean and covariance of Δξ from the sums over bursts of its first and second powers r and of their
// martingale parts c, whose means are 0: the regression of r on c, taken at c = 0, has the mean of r
// and the residual's variance only.
BurstPoint burst_point(int cvs, const std::vector<double>& sums) {
    const int R = burst_outputs(cvs), all = 2 * R;
    const double n = sums[0];
    const auto mean = [&](int a) { return sums[static_cast<std::size_t>(1 + a)] / n; };
    const auto covariance = [&](int a, int b) {
        const int high = std::max(a, b), low = std::min(a, b);
        const double product =
            sums[static_cast<std::size_t>(1 + all + high * (high + 1) / 2 + low)] / n;
        return (product - mean(a) * mean(b)) * n / (n - 1);
    };
    // Controls that vary, scaled to variance 1. The ridge, for two that go together, leaves as much
    // of all they take off.
    std::vector<int> used;
    for (int c = R; c < all; ++c)
        if (covariance(c, c) > 1e-12 * (covariance(c - R, c - R) + mean(c - R) * mean(c - R)))
            used.push_back(c);
    const index m = static_cast<index>(used.size());
    std::vector<double> matrix(at(m * m));
    // Columns: the weight of each control in each response.
    std::vector<double> weight(at(m * R), 0.0);
    for (index i = 0; i < m; ++i) {
        const int a = used[at(i)];
        for (index j = 0; j < m; ++j) {
            const int b = used[at(j)];
            matrix[at(i * m + j)] =
                covariance(a, b) / std::sqrt(covariance(a, a) * covariance(b, b)) +
                (i == j ? kRidge : 0.0);
        }
        for (int r = 0; r < R; ++r)
            weight[at(i * R + r)] = covariance(a, r) / std::sqrt(covariance(a, a));
    }
    if (m > 0 && cholesky_factor(matrix, m)) {
        cholesky_solve(matrix, m, weight.data(), R);
        for (index i = 0; i < m; ++i)
            for (int r = 0; r < R; ++r)
                weight[at(i * R + r)] /= std::sqrt(covariance(used[at(i)], used[at(i)]));
    } else {
        std::fill(weight.begin(), weight.end(), 0.0);
    }
    const auto cleared = [&](int r) {
        double value = mean(r);
        for (index i = 0; i < m; ++i) value -= weight[at(i * R + r)] * mean(used[at(i)]);
        return value;
    };
    const auto residual = [&](int r, int s) {
        double value = covariance(r, s);
        for (index i = 0; i < m; ++i) {
            const double w = weight[at(i * R + r)], v = weight[at(i * R + s)];
            value -= w * covariance(used[at(i)], s) + v * covariance(used[at(i)], r);
            for (index j = 0; j < m; ++j)
                value += w * weight[at(j * R + s)] * covariance(used[at(i)], used[at(j)]);
        }
        // Weights of m controls were fitted too: Lavenberg and Welch, Management Sci. 27 (1981) 322.
        const double free = n - 2 - static_cast<double>(m);
        return value * (n - 1) / std::max(1.0, n - 1 - static_cast<double>(m)) *
               (free > 0 ? (n - 2) / free : n);
    };
    BurstPoint p;
    for (int k = 0; k < cvs; ++k) {
        p.mean[k] = cleared(k);
        p.mean_error[k] = std::sqrt(std::max(0.0, residual(k, k)) / n);
        p.martingale[k] = mean(R + k);
        p.martingale_error[k] = std::sqrt(std::max(0.0, covariance(R + k, R + k)) / n);
    }
    for (int k = 0, o = 0; k < cvs; ++k)
        for (int l = k; l < cvs; ++l, ++o) {
            p.covariance[o] =
                cleared(cvs + o) - p.mean[k] * p.mean[l] + std::max(0.0, residual(k, l)) / n;
            // Of ΔξΔξ − E[Δξ_k] Δξ_l − E[Δξ_l] Δξ_k.
            const double a = -p.mean[l], b = -p.mean[k];
            const double variance = residual(cvs + o, cvs + o) + a * a * residual(k, k) +
                                    b * b * residual(l, l) + 2 * a * residual(k, cvs + o) +
                                    2 * b * residual(l, cvs + o) + 2 * a * b * residual(k, l);
            p.covariance_error[o] = std::sqrt(std::max(0.0, variance) / n);
        }
    return p;
}

}  // namespace

// --- starts --------------------------------------------------------------------------------------

Buffer<float> repeated_values(Stream& stream, int cvs, const std::vector<CvValue>& values,
                              index replicas) {
    const index n = static_cast<index>(values.size()) * replicas;
    std::vector<float> host(at(cvs * n));
    for (int k = 0; k < cvs; ++k)
        for (index j = 0; j < n; ++j)
            host[at(k * n + j)] =
                static_cast<float>(values[at(j / replicas)][static_cast<std::size_t>(k)]);
    Buffer<float> s(stream.device(), cvs * n);
    copy_to_device(stream, s.span(), host.data());
    return s;
}

namespace {

// Of each value the samples within its reach, in their order; `most` at most, the nearest. One pass over the samples.
std::vector<std::vector<index>> nearest_samples(Stream& stream, const Model& model, const SampleSet& samples,
                                                const std::vector<CvValue>& values, const CvValue& reach,
                                                index most) {
    struct Image {
        double x;
        std::size_t value;
    };
    const int K = model.n_cvs();
    double period[kMaxCvs];
    for (int k = 0; k < kMaxCvs; ++k) period[k] = static_cast<double>(model.periods().period[k]);
    const double middle = static_cast<double>(model.periods().middle[0]);
    std::vector<Image> images;
    for (std::size_t v = 0; v < values.size(); ++v) {
        // All round the images that a sample may have, too.
        const double here = values[v][0] - whole_turns(values[v][0] - middle, period[0]);
        images.push_back({here, v});
        if (period[0] > 0) images.push_back({here < middle ? here + period[0] : here - period[0], v});
    }
    std::ranges::sort(images, {}, &Image::x);
    std::vector<HostView<float>> xi;
    for (int k = 0; k < K; ++k)
        xi.emplace_back(stream, Span<const float>(samples.xi.span().subspan(k * samples.row, samples.n)));
    std::vector<std::vector<std::pair<double, index>>> near(values.size());  // heaps: the farthest first
    for (index j = 0; j < samples.n; ++j) {
        const auto of = [&](std::size_t c) { return static_cast<double>(xi[c][at(j)]); };
        auto image = std::ranges::lower_bound(images, of(0), {}, [&](const Image& i) { return i.x + reach[0]; });
        for (; image != images.end() && of(0) >= image->x - reach[0]; ++image) {
            const std::size_t v = image->value;
            double far = std::fabs(of(0) - image->x) / reach[0];
            for (std::size_t c = 1; c < at(K); ++c)
                far = std::max(far, std::fabs(nearest_image(of(c) - values[v][c], period[c])) / reach[c]);
            const std::pair<double, index> found{far, j};
            std::vector<std::pair<double, index>>& heap = near[v];
            const bool full = std::ssize(heap) == most;
            if (!(far <= 1) || (full && !(found < heap.front()))) continue;
            if (full) {
                std::ranges::pop_heap(heap);
                heap.pop_back();
            }
            heap.push_back(found);
            std::ranges::push_heap(heap);
        }
    }
    std::vector<std::vector<index>> kept(values.size());
    for (std::size_t v = 0; v < values.size(); ++v) {
        for (const auto& found : near[v]) kept[v].push_back(found.second);
        std::ranges::sort(kept[v]);
    }
    return kept;
}

}  // namespace

Buffer<float> physics_starts(Stream& stream, const Model& model, const SampleSet& samples,
                             const std::vector<CvValue>& values, const CvValue& reach,
                             index replicas) {
    const int K = model.n_cvs();
    const index n = static_cast<index>(values.size()) * replicas;
    const std::vector<std::vector<index>> near = nearest_samples(stream, model, samples, values, reach, 2 * replicas);
    std::vector<index> which(at(n));
    for (std::size_t v = 0; v < values.size(); ++v) {
        const std::size_t kept = near[v].size();
        if (kept == 0)
            throw InputError("closure.start: no stored sample lies near the collective variable " +
                             std::to_string(values[v][0]) +
                             "; sample there, or give fewer closure.values");
        // The nearest few times as many as wanted, then evenly spread over the run.
        for (index r = 0; r < replicas; ++r)
            which[v * at(replicas) + at(r)] =
                near[v][kept >= at(replicas) ? at(r) * kept / at(replicas) : at(r) % kept];
    }
    Buffer<index> device_which(stream.device(), n);
    copy_to_device(stream, device_which.span(), which.data());
    Buffer<float> x(stream.device(), model.dim() * n);
    gather_columns(stream, samples.x.data(), samples.row, model.dim(), device_which.span(),
                   x.data());
    const Buffer<float> s = repeated_values(stream, K, values, replicas);
    model.project(stream, s.span(), n, n, x.span(), n, 4);
    return x;
}

Buffer<float> constrained_starts(Stream& stream, const Model& model,
                                 const IntegratorConfig& integrator,
                                 const std::vector<double>& state,
                                 const std::vector<CvValue>& values, index replicas, index steps,
                                 uint64 seed) {
    const index n = static_cast<index>(values.size()) * replicas;
    const std::vector<double>& from =
        state.empty() && model.molecule() ? model.molecule()->position : state;
    std::vector<float> host;
    for (int d = 0; d < model.dim(); ++d)
        host.insert(host.end(), at(n), static_cast<float>(at(d) < from.size() ? from[at(d)] : 0.0));
    Buffer<float> x(stream.device(), model.dim() * n);
    copy_to_device(stream, x.span(), host.data());
    const Buffer<float> s = repeated_values(stream, model.n_cvs(), values, replicas);
    model.project(stream, s.span(), n, n, x.span(), n, 10);
    const std::unique_ptr<Ensemble> held =
        held_ensemble(stream, model, integrator, s.span(), x.span(), n, seed);
    Ensemble& ensemble = *held;
    ensemble.advance(static_cast<uint64>(steps));
    ensemble.check_finite([](index t) { return "held state " + std::to_string(t); });
    copy(stream, x.span(), Span<const float>(ensemble.x()));
    if (model.molecule()) model.project(stream, s.span(), n, n, x.span(), n);
    return x;
}

AveragedClosure average_closure(Stream& stream, const Model& model, Span<const float> x,
                                index values, index replicas) {
    const int outputs = model.closure_outputs();
    const index n = values * replicas;
    Buffer<float> y(stream.device(), outputs * n);
    model.closure(stream, x, n, n, y.span(), n);
    const index rows = outputs * values;
    Buffer<double> moments(stream.device(), 2 * rows);
    Buffer<double> scratch(stream.device(), reduce_scratch(rows, replicas));
    row_mean_variance(stream, Rows<float>(y.data(), rows, replicas, replicas),
                      moments.span().subspan(0, rows), moments.span().subspan(rows, rows),
                      scratch.span());
    const std::vector<double> host = to_host(stream, Span<const double>(moments.span()));
    AveragedClosure out;
    const double count = static_cast<double>(replicas);
    for (index i = 0; i < rows; ++i) {
        out.mean.push_back(host[at(i)]);
        out.error.push_back(std::sqrt(host[at(rows + i)] / std::max(1.0, count - 1)));
    }
    return out;
}

// --- bursts --------------------------------------------------------------------------------------

namespace {

// Follows the martingales of bursts: every step of a piece is stored, and what ξ gained from drift adds up.
class BurstMartingale {
public:
    BurstMartingale(Stream& stream, const Model& model, Ensemble& ensemble, const BurstOptions& options,
                    Span<const float> begin, index stored)
        : stream_(stream), model_(model), ensemble_(ensemble), options_(options), begin_(begin),
          stored_(stored), path_(stream.device(), model.dim(), model.n_cvs(), stored * size()),
          integrands_(stream.device(), outputs() * stored * size()),
          last_(stream.device(), stored > 0 ? (K() + outputs()) * size() : 0),
          drift_(stream.device(), stored > 0 ? outputs() * size() : 0) {
        if (stored == 0) return;
        const index n = size();
        copy(stream, last_.span().subspan(0, K() * n), Span<const float>(begin.data, K() * n));
        model.closure(stream, ensemble.x(), n, n, last_.span().subspan(K() * n, outputs() * n), n);
        fill_zero(stream, drift_.span());
    }
    // The next steps towards `aim`, as many as are stored at once.
    void advance(uint64 aim) {
        const index n = size(),
                    now = std::min(stored_, static_cast<index>(aim - ensemble_.step()));
        path_.n = 0;
        ensemble_.sample(1, now, path_);
        model_.closure(stream_, path_.x.span(), path_.row, now * n, integrands_.span(), path_.row);
        add_burst_drift(stream_,
                        {K(), n, now, static_cast<float>(options_.dt), begin_.data, last_.data(),
                         path_.xi.data(), integrands_.data(), path_.row,
                         {static_cast<float>(options_.periods[0]),
                          static_cast<float>(options_.periods[1])}, drift_.data()});
    }
    const float* drift() const { return drift_.data(); }

private:
    int K() const { return model_.n_cvs(); }
    int outputs() const { return burst_outputs(K()); }
    index size() const { return ensemble_.size(); }

    Stream& stream_;
    const Model& model_;
    Ensemble& ensemble_;
    const BurstOptions& options_;
    Span<const float> begin_;
    index stored_;
    SampleSet path_;
    Buffer<float> integrands_, last_, drift_;
};

// Whose states are stored together.
index steps_at_once(const Device& device, int dim, int K, index n) {
    return std::max<index>(1, floats_at_once(device, kPieceFloats) / ((dim + K + burst_outputs(K)) * n));
}

// The sums (point, block, width) as one entry a lag and value.
std::vector<BurstPoint> burst_points(int K, index points, const std::vector<double>& sums) {
    const index width = burst_width(K);
    std::vector<BurstPoint> result;
    for (index p = 0; p < points; ++p) {
        std::vector<double> total(at(width), 0.0);
        for (index b = 0; b < kBurstBlocks; ++b)
            for (index o = 0; o < width; ++o)
                total[at(o)] += sums[at((p * kBurstBlocks + b) * width + o)];
        result.push_back(burst_point(K, total));
    }
    return result;
}

}  // namespace

double burst_bytes(const Device& device, int dim, int K, index n, bool molecule) {
    const index stored = molecule ? 0 : steps_at_once(device, dim, K, n), outputs = burst_outputs(K);
    // The states that they start from; ξ and its gradients there and at the end; what is stored, and summed.
    const index floats = dim + 2 * K * (1 + dim) + stored * (dim + K + outputs) + (stored > 0 ? K + 2 * outputs : 0);
    return 4.0 * static_cast<double>(floats) * static_cast<double>(n);
}

BurstMoments run_bursts(Stream& stream, const Model& model, const IntegratorConfig& integrator,
                        const std::vector<CvValue>& values, Span<const float> start, index replicas,
                        const BurstOptions& options) {
    const int K = model.n_cvs();
    const index count = static_cast<index>(values.size()), n = count * replicas;
    if (replicas % kBurstBlocks != 0)
        throw InputError("bursts: the replicas must be a multiple of " +
                         std::to_string(kBurstBlocks));
    if (K == 1 && count < 4) throw InputError("bursts: fewer than four values");
    BurstMoments m;
    m.cvs = K;
    m.dt = options.dt;
    m.period = options.periods[0];
    m.replicas = replicas;
    m.values = values;
    m.lags = options.lags;
    const std::unique_ptr<Ensemble> free =
        free_ensemble(stream, model, integrator, options.dt, n, options.seed);
    Ensemble& ensemble = *free;
    copy(stream, ensemble.x(), Span<const float>(start.data, model.dim() * n));
    const int rows = static_cast<int>(model.formulas().cv.outputs.size());
    const index width = burst_width(K), lags = static_cast<index>(options.lags.size());
    const index cells = K == 1 ? count : 0;
    Buffer<float> begin(stream.device(), rows * n), end(stream.device(), rows * n);
    Buffer<double> sums(stream.device(), lags * count * kBurstBlocks * width);
    Buffer<double> transition(stream.device(), lags * count * kBurstBlocks * cells);
    model.evaluate_cvs(stream, ensemble.x(), n, n, begin.span(), n);
    const double spacing = count > 1 ? (values.back()[0] - values[0][0]) /
                                           static_cast<double>(count - 1)
                                     : 1.0;
    const float periods[2] = {static_cast<float>(options.periods[0]),
                              static_cast<float>(options.periods[1])};
    const auto report = [&] {
        if (options.after)
            options.after(static_cast<double>(ensemble.step()) * static_cast<double>(n));
    };
    // A molecule's ξ has inertia, and no martingale part that its positions tell.
    const index controlled = model.molecule()       ? 0
                             : options.controlled < 0 ? lags : std::min(options.controlled, lags);
    const index stored =
        controlled == 0 ? 0
                        : std::min(steps_at_once(stream.device(), model.dim(), K, n),
                                   std::max<index>(1, options.lags[at(controlled - 1)]));
    BurstMartingale drift(stream, model, ensemble, options, begin.span(), stored);
    for (index l = 0; l < lags; ++l) {
        const uint64 aim = static_cast<uint64>(options.lags[at(l)]);
        while (ensemble.step() < aim && l < controlled) {
            drift.advance(aim);
            report();
        }
        while (ensemble.step() < aim) {
            ensemble.advance(std::min(ensemble.launch_steps(), aim - ensemble.step()));
            report();
        }
        model.evaluate_cvs(stream, ensemble.x(), n, n, end.span(), n);
        add_burst_sums(stream, {K, count, replicas, kBurstBlocks, begin.data(), end.data(),
                                l < controlled ? drift.drift() : nullptr,
                                {periods[0], periods[1]}, static_cast<float>(values[0][0]),
                                static_cast<float>(1 / spacing),
                                sums.data() + l * count * kBurstBlocks * width,
                                K == 1 ? transition.data() + l * count * kBurstBlocks * cells
                                       : nullptr});
    }
    ensemble.check_finite([&](index t) {
        return "burst " + std::to_string(t % replicas) + " from the value " +
               std::to_string(values[at(t / replicas)][0]);
    });
    if (K == 1) m.transition = to_host(stream, Span<const double>(transition.span()));
    m.points = burst_points(K, lags * count, to_host(stream, Span<const double>(sums.span())));
    m.steps = static_cast<double>(ensemble.step()) * static_cast<double>(n);
    m.force_evaluations = ensemble.force_evaluations();
    if (controlled > 0)
        m.force_evaluations +=
            static_cast<double>(options.lags[at(controlled - 1)]) * static_cast<double>(n);
    return m;
}

ClosureEstimate perturbed(const ClosureEstimate& estimate, uint64 seed, uint64 number) {
    ClosureEstimate e = estimate;
    for (std::size_t i = 0; i < e.x.size(); ++i) {
        const PhiloxStream<float> stream(seed, kStreamBootstrap, static_cast<index>(number));
        float z[4];
        normal_block<Portable>(stream, i, z);
        e.drift[i] += e.drift_error[i] * static_cast<double>(z[0]);
        // ln D is what is smoothed.
        if (e.diffusion[i] > 0)
            e.diffusion[i] *= std::exp(e.diffusion_error[i] / e.diffusion[i] *
                                       static_cast<double>(z[1]));
    }
    return e;
}

double with_difference(double error, double difference, double other_error) {
    return std::sqrt(error * error + square_beyond(difference, error * error + other_error * other_error));
}

BurstClosure burst_closure(const BurstMoments& moments, std::size_t lags, double tolerance) {
    BurstClosure out;
    std::vector<double> x;
    for (const CvValue& v : moments.values) x.push_back(v[0]);
    for (std::size_t l = 0; l < lags; ++l) {
        BurstLag lag;
        lag.tau = moments.tau(l);
        lag.steps = moments.lags[l];
        std::vector<double> m, me, v, ve;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const BurstPoint& p = moments.point(l, i);
            // What every step rounds is noise of the displacements; what formulas round, and the time
            // step, is not.
            m.push_back(p.mean[0]);
            me.push_back(std::hypot(p.mean_error[0], 2 * kRounded * p.mean[0]));
            v.push_back(p.covariance[0]);
            ve.push_back(std::hypot(p.covariance_error[0], kRounded * p.covariance[0]));
            lag.apparent.drift.push_back(m[i] / lag.tau);
            lag.apparent.drift_error.push_back(me[i] / lag.tau);
            lag.apparent.diffusion.push_back(v[i] / (2 * lag.tau));
            lag.apparent.diffusion_error.push_back(ve[i] / (2 * lag.tau));
        }
        lag.apparent.x = x;
        lag.apparent.period = moments.period;
        lag.corrected = invert_displacements(x, lag.tau, m, me, v, ve, lag.model,
                                             l > 0 ? &out.lags[l - 1].model : nullptr, -1, -1,
                                             moments.period, lag.steps);
        lag.rate = lag.model.rates(1)[0];
        double square = 0;
        for (uint64 k = 0; k < kRateReplicates; ++k) {
            const ReducedModel other = lag.model.with(perturbed(lag.corrected, 977, k));
            const double d = other.rates(1)[0] - lag.rate;
            square += d * d / static_cast<double>(kRateReplicates);
        }
        lag.rate_error = std::sqrt(square);
        out.lags.push_back(std::move(lag));
    }
    std::size_t first = lags - 1;
    // Lags need not double: the tolerance is per factor of two.
    const auto flat = [&](std::size_t l) {
        const BurstLag &late = out.lags[l], &early = out.lags[l - 1];
        return std::fabs(std::log(late.rate / early.rate)) <
               tolerance * std::log2(late.tau / early.tau) +
                   std::hypot(late.rate_error / late.rate, early.rate_error / early.rate);
    };
    while (first > 0 && flat(first)) --first;
    out.plateau = first + 1 < lags;
    for (std::size_t l = first; l < lags && out.plateau; ++l) out.lags[l].plateau = true;
    out.chosen = first;
    while (out.chosen + 1 < lags && kSafe * out.lags[out.chosen].tau < out.lags.back().tau)
        ++out.chosen;
    // Shorter lags tell drift and diffusion better, and serve as long as the rate stays what it is, within
    // what noise makes of so many comparisons.
    const double most = largest_deviation(static_cast<double>(lags), kFalseAlarm);
    while (out.chosen > first) {
        const BurstLag &late = out.lags[out.chosen], &early = out.lags[out.chosen - 1];
        const double noise = std::hypot(late.rate_error / late.rate, early.rate_error / early.rate);
        if (std::fabs(std::log(late.rate / early.rate)) > kSameRate + most * noise) break;
        --out.chosen;
    }
    return out;
}

std::vector<Figure> burst_rates(const BurstMoments& m, int count) {
    std::vector<Figure> rates(static_cast<std::size_t>(count));
    const std::size_t lags = m.lags.size();
    const index n = static_cast<index>(m.values.size());
    if (lags < 2 || m.transition.empty()) return {};
    // Without block `without`, or with all.
    const auto eigenvalues = [&](std::size_t lag, index without) {
        std::vector<double> matrix(at(n * n), 0.0);
        const double share =
            static_cast<double>(m.replicas) *
            (without < 0 ? 1.0 : 1.0 - 1.0 / static_cast<double>(kBurstBlocks));
        for (index i = 0; i < n; ++i)
            for (index b = 0; b < kBurstBlocks; ++b) {
                if (b == without) continue;
                const double* row =
                    &m.transition[at(((static_cast<index>(lag) * n + i) * kBurstBlocks + b) * n)];
                for (index j = 0; j < n; ++j) matrix[at(i * n + j)] += row[j] / share;
            }
        return leading_eigenvalues(matrix, n, count + 1);
    };
    const double step = m.tau(lags - 1) - m.tau(lags - 2);
    const auto rates_of = [&](index without) {
        const auto late = eigenvalues(lags - 1, without), early = eigenvalues(lags - 2, without);
        std::vector<double> r;
        for (int k = 1; k <= count; ++k) {
            const auto i = static_cast<std::size_t>(k);
            r.push_back(late[i] > 0 && early[i] > 0 ? std::log(early[i] / late[i]) / step
                                                    : std::nan(""));
        }
        return r;
    };
    const auto all = rates_of(-1);
    std::vector<std::vector<double>> parts(rates.size());
    for (index b = 0; b < kBurstBlocks; ++b) {
        const auto part = rates_of(b);
        for (std::size_t k = 0; k < rates.size(); ++k) parts[k].push_back(part[k]);
    }
    for (std::size_t k = 0; k < rates.size(); ++k) rates[k] = {all[k], jackknife_error(parts[k])};
    return rates;
}

}  // namespace microlift
