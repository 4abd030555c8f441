#include "sampling/closure.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/rng_streams.h"
#include "sampling/closure_kernels.h"
#include "sampling/lifting.h"

namespace microlift {

namespace {

constexpr double kLaunchWork = 3e7;  // trajectory-steps of one launch
constexpr uint64 kRateReplicates = 12;

std::size_t at(index i) { return static_cast<std::size_t>(i); }

int sum_width(int cvs) { return 1 + cvs + cvs * (cvs + 1) / 2; }

int square_entry(int cvs, int k, int l) {
    return 1 + cvs + (k == 0 ? l : cvs);  // (0,0) (0,1) (1,1)
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

Buffer<float> physics_starts(Stream& stream, const Model& model, const SampleSet& samples,
                             const std::vector<CvValue>& values, const CvValue& reach,
                             index replicas) {
    const int K = model.n_cvs();
    std::vector<std::vector<float>> xi;
    for (int k = 0; k < K; ++k)
        xi.push_back(to_host(stream, Span<const float>(samples.xi.span().subspan(
                                         k * samples.row, samples.n))));
    // The samples within reach of each value, sorted by the first CV so that a value sees few of them.
    std::vector<index> order(at(samples.n));
    std::iota(order.begin(), order.end(), index{0});
    std::sort(order.begin(), order.end(), [&](index a, index b) {
        return xi[0][at(a)] < xi[0][at(b)] || (xi[0][at(a)] == xi[0][at(b)] && a < b);
    });
    const index n = static_cast<index>(values.size()) * replicas;
    std::vector<index> which(at(n));
    std::vector<std::pair<double, index>> near;
    for (std::size_t v = 0; v < values.size(); ++v) {
        near.clear();
        const auto first =
            std::lower_bound(order.begin(), order.end(), values[v][0] - reach[0],
                             [&](index j, double x) { return static_cast<double>(xi[0][at(j)]) < x; });
        for (auto it = first; it != order.end(); ++it) {
            double far = 0;
            for (int k = 0; k < K; ++k) {
                const auto c = static_cast<std::size_t>(k);
                far = std::max(far, std::fabs(static_cast<double>(xi[c][at(*it)]) - values[v][c]) /
                                        reach[c]);
            }
            if (static_cast<double>(xi[0][at(*it)]) > values[v][0] + reach[0]) break;
            if (far <= 1) near.emplace_back(far, *it);
        }
        if (near.empty())
            throw InputError("closure.start: no stored sample lies near the collective variable " +
                             std::to_string(values[v][0]) +
                             "; sample there, or give fewer closure.values");
        // The nearest few times as many as wanted, then evenly spread over the run.
        const std::size_t keep = std::min(near.size(), at(2 * replicas));
        std::nth_element(near.begin(), near.begin() + static_cast<std::ptrdiff_t>(keep - 1),
                         near.end());
        std::sort(near.begin(), near.begin() + static_cast<std::ptrdiff_t>(keep),
                  [](const auto& a, const auto& b) { return a.second < b.second; });
        for (index r = 0; r < replicas; ++r)
            which[v * at(replicas) + at(r)] =
                near[keep >= at(replicas) ? at(r) * keep / at(replicas) : at(r) % keep].second;
    }
    Buffer<index> device_which(stream.device(), n);
    copy_to_device(stream, device_which.span(), which.data());
    Buffer<float> x(stream.device(), model.dim() * n);
    gather_states(stream, model.dim(), samples.x.span(), samples.row, device_which.span(), n,
                  x.span());
    const Buffer<float> s = repeated_values(stream, K, values, replicas);
    model.project(stream, s.span(), n, n, x.span(), n, 4);
    stream.synchronize();
    return x;
}

Buffer<float> constrained_starts(Stream& stream, const Model& model,
                                 const IntegratorConfig& integrator,
                                 const std::vector<double>& state,
                                 const std::vector<CvValue>& values, index replicas, index steps,
                                 uint64 seed) {
    const index n = static_cast<index>(values.size()) * replicas;
    std::vector<float> host;
    for (int d = 0; d < model.dim(); ++d)
        host.insert(host.end(), at(n),
                    static_cast<float>(at(d) < state.size() ? state[at(d)] : 0.0));
    Buffer<float> x(stream.device(), model.dim() * n);
    copy_to_device(stream, x.span(), host.data());
    const Buffer<float> s = repeated_values(stream, model.n_cvs(), values, replicas);
    model.project(stream, s.span(), n, n, x.span(), n, 10);
    PathSetup setup = model.path_setup(integrator);
    setup.constrained = true;
    Ensemble ensemble(stream, model.path_kernel(setup), n, seed, kStreamHeal);
    copy(stream, ensemble.x(), Span<const float>(x.span()));
    copy(stream, ensemble.center(), Span<const float>(s.span()));
    const index piece = std::max<index>(1, static_cast<index>(kLaunchWork) / n);
    for (index done = 0; done < steps; done += piece)
        ensemble.advance(static_cast<uint64>(std::min(piece, steps - done)));
    ensemble.check_finite([](index t) { return "held state " + std::to_string(t); });
    copy(stream, x.span(), Span<const float>(ensemble.x()));
    stream.synchronize();
    return x;
}

AveragedClosure average_closure(Stream& stream, const Model& model, Span<const float> x,
                                index values, index replicas) {
    const int outputs = model.closure_outputs();
    const index n = values * replicas;
    Buffer<float> y(stream.device(), outputs * n);
    Buffer<double> sums(stream.device(), 2 * outputs * values);
    model.closure(stream, x, n, n, y.span(), n);
    group_sums(stream, y.span(), n, outputs, values, replicas, sums.span());
    const std::vector<double> host = to_host(stream, Span<const double>(sums.span()));
    AveragedClosure out;
    const double count = static_cast<double>(replicas);
    for (index i = 0; i < outputs * values; ++i) {
        const double mean = host[at(2 * i)] / count;
        const double variance = std::max(0.0, host[at(2 * i + 1)] / count - mean * mean);
        out.mean.push_back(mean);
        out.error.push_back(std::sqrt(variance / std::max(1.0, count - 1)));
    }
    return out;
}

// --- bursts --------------------------------------------------------------------------------------

double BurstMoments::sum(std::size_t lag, std::size_t value, int entry) const {
    const auto width = static_cast<std::size_t>(sum_width(cvs));
    double total = 0;
    for (std::size_t b = 0; b < at(kBurstBlocks); ++b)
        total += sums[((lag * values.size() + value) * at(kBurstBlocks) + b) * width +
                      static_cast<std::size_t>(entry)];
    return total;
}
double BurstMoments::mean(std::size_t lag, std::size_t value, int k) const {
    return sum(lag, value, 1 + k) / sum(lag, value, 0);
}
double BurstMoments::covariance(std::size_t lag, std::size_t value, int k, int l) const {
    const double n = sum(lag, value, 0);
    return (sum(lag, value, square_entry(cvs, k, l)) / n - mean(lag, value, k) * mean(lag, value, l)) *
           n / (n - 1);
}
double BurstMoments::mean_error(std::size_t lag, std::size_t value, int k) const {
    return std::sqrt(std::max(0.0, covariance(lag, value, k, k)) / sum(lag, value, 0));
}
double BurstMoments::covariance_error(std::size_t lag, std::size_t value, int k, int l) const {
    const double c = covariance(lag, value, k, l);
    return std::sqrt((c * c + covariance(lag, value, k, k) * covariance(lag, value, l, l)) /
                     (sum(lag, value, 0) - 1));
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
    m.replicas = replicas;
    m.values = values;
    m.lags = options.lags;
    IntegratorConfig free = integrator;
    free.dt = options.dt;
    free.scheme = "euler_maruyama";  // increments of independent steps
    const PathSetup setup = model.path_setup(free);
    Ensemble ensemble(stream, model.path_kernel(setup), n, options.seed, kStreamBurst);
    copy(stream, ensemble.x(), Span<const float>(start.data, model.dim() * n));
    const int rows = static_cast<int>(model.formulas().cv.outputs.size());
    const index width = sum_width(K), lags = static_cast<index>(options.lags.size());
    const index cells = K == 1 ? count : 0;
    Buffer<float> begin(stream.device(), rows * n), end(stream.device(), rows * n);
    Buffer<double> sums(stream.device(), lags * count * kBurstBlocks * width);
    Buffer<double> transition(stream.device(), lags * count * kBurstBlocks * cells);
    model.evaluate_cvs(stream, ensemble.x(), n, n, begin.span(), n);
    const double spacing = count > 1 ? (values.back()[0] - values[0][0]) /
                                           static_cast<double>(count - 1)
                                     : 1.0;
    const uint64 piece = static_cast<uint64>(std::max(1.0, kLaunchWork / static_cast<double>(n)));
    for (index l = 0; l < lags; ++l) {
        const uint64 aim = static_cast<uint64>(options.lags[at(l)]);
        while (ensemble.step() < aim) {
            ensemble.advance(std::min(piece, aim - ensemble.step()));
            if (options.after)
                options.after(static_cast<double>(ensemble.step()) * static_cast<double>(n));
        }
        model.evaluate_cvs(stream, ensemble.x(), n, n, end.span(), n);
        add_burst_sums(stream, {K, count, replicas, kBurstBlocks, begin.data(), end.data(),
                                static_cast<float>(values[0][0]), static_cast<float>(1 / spacing),
                                sums.data() + l * count * kBurstBlocks * width,
                                K == 1 ? transition.data() + l * count * kBurstBlocks * cells
                                       : nullptr});
    }
    stream.synchronize();
    ensemble.check_finite([&](index t) {
        return "burst " + std::to_string(t % replicas) + " from the value " +
               std::to_string(values[at(t / replicas)][0]);
    });
    m.sums = to_host(stream, Span<const double>(sums.span()));
    if (K == 1) m.transition = to_host(stream, Span<const double>(transition.span()));
    m.steps = ensemble.force_evaluations();
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

BurstClosure burst_closure(const BurstMoments& moments, std::size_t lags, double tolerance) {
    BurstClosure out;
    std::vector<double> x;
    for (const CvValue& v : moments.values) x.push_back(v[0]);
    for (std::size_t l = 0; l < lags; ++l) {
        BurstLag lag;
        lag.tau = moments.tau(l);
        std::vector<double> m, me, v, ve;
        for (std::size_t i = 0; i < x.size(); ++i) {
            m.push_back(moments.mean(l, i, 0));
            me.push_back(moments.mean_error(l, i, 0));
            v.push_back(moments.covariance(l, i, 0, 0));
            ve.push_back(moments.covariance_error(l, i, 0, 0));
            lag.apparent.drift.push_back(m[i] / lag.tau);
            lag.apparent.drift_error.push_back(me[i] / lag.tau);
            lag.apparent.diffusion.push_back(v[i] / (2 * lag.tau));
            lag.apparent.diffusion_error.push_back(ve[i] / (2 * lag.tau));
        }
        lag.apparent.x = x;
        lag.corrected = invert_displacements(x, lag.tau, m, me, v, ve, lag.model,
                                             l > 0 ? &out.lags[l - 1].model : nullptr);
        lag.rate = lag.model.rates(1)[0];
        double square = 0;
        for (uint64 k = 0; k < kRateReplicates; ++k) {
            const ReducedModel other(perturbed(lag.corrected, 977, k), lag.model.drift_lambda(),
                                     lag.model.diffusion_lambda());
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
    while (out.chosen + 1 < lags && 4.5 * out.lags[out.chosen].tau < out.lags.back().tau)
        ++out.chosen;
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
    std::vector<std::vector<double>> parts;
    for (index b = 0; b < kBurstBlocks; ++b) parts.push_back(rates_of(b));
    for (std::size_t k = 0; k < rates.size(); ++k) {
        double mean = 0, square = 0;
        const double g = static_cast<double>(kBurstBlocks);
        for (const auto& p : parts) mean += p[k] / g;
        for (const auto& p : parts) square += (p[k] - mean) * (p[k] - mean);
        rates[k] = {all[k], std::sqrt(square * (g - 1) / g)};
    }
    return rates;
}

}  // namespace microlift
