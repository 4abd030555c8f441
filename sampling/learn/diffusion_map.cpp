#include "sampling/learn/diffusion_map.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "engine/at.h"
#include "engine/error.h"
#include "engine/stop.h"
#include "engine/text.h"

namespace microlift {

namespace {

constexpr double kFlatEigenvalue = 1e-3;

// Weights with sum 1; what is below the range of a float becomes 0.
std::vector<double> normalised(const std::vector<double>& weights, index n) {
    std::vector<double> w = weights;
    if (w.empty()) w.assign(at(n), 1.0);
    if (static_cast<index>(w.size()) != n)
        throw InputError("diffusion map: " + std::to_string(w.size()) + " weights for " +
                         std::to_string(n) + " points; give one for each");
    double sum = 0;
    for (const double value : w) {
        if (!(value >= 0) || !std::isfinite(value))
            throw InputError("diffusion map: a weight is negative or not finite");
        sum += value;
    }
    if (!(sum > 0)) throw InputError("diffusion map: every weight is 0");
    for (double& value : w) {
        value /= sum;
        if (value < 1e-30) value = 0;
    }
    return w;
}

std::vector<float> floats(const std::vector<double>& x) {
    return {x.begin(), x.end()};
}

Buffer<float> on_device(Stream& stream, const std::vector<float>& x) {
    Buffer<float> buffer(stream.device(), static_cast<index>(x.size()));
    copy_to_device(stream, buffer.span(), x.data());
    return buffer;
}

// Every m-th point.
struct Thinned {
    Buffer<float> x, metric;
    PointSet points;
    std::vector<double> weights;
};

Thinned thin(Stream& stream, const PointSet& points, const std::vector<double>& weights,
             index most) {
    Thinned t;
    const index n = std::min(points.n, most);
    const auto source = [&](index i) { return i * points.n / n; };
    const auto take = [&](Span<const float> from, int rows) {
        std::vector<float> host = to_host(stream, from), out(at(rows * n));
        for (int d = 0; d < rows; ++d)
            for (index i = 0; i < n; ++i) out[at(d * n + i)] = host[at(d * points.row + source(i))];
        return on_device(stream, out);
    };
    t.x = take({points.x.data, (points.dim - 1) * points.row + points.n}, points.dim);
    t.points = {t.x.span(), n, n, points.dim, {}};
    if (points.metric.data) {
        const int entries = points.dim * (points.dim + 1) / 2;
        t.metric = take({points.metric.data, (entries - 1) * points.row + points.n}, entries);
        t.points.metric = t.metric.span();
    }
    double sum = 0;
    for (index i = 0; i < n; ++i) {
        t.weights.push_back(weights[at(source(i))]);
        sum += t.weights.back();
    }
    for (double& w : t.weights) w /= sum;
    return t;
}

}  // namespace

Bandwidth choose_bandwidth(Stream& stream, const PointSet& points,
                           const std::vector<double>& weights, index most_points) {
    const Thinned t = thin(stream, points, normalised(weights, points.n), most_points);
    const index n = t.points.n;
    const Buffer<float> w = on_device(stream, floats(t.weights));
    // The scale of the data: the mean squared distance, from a wide kernel's first-order decay, is
    // not needed exactly; the variance will do (the metric's distances have no such shortcut).
    double spread = 0;
    if (t.points.metric.data) {
        Buffer<float> distance2(stream.device(), n * 8);
        Buffer<uint32> unused(stream.device(), n * 8);
        nearest_neighbours(stream, t.points, 8, distance2.span(), unused.span());
        std::vector<float> d = to_host(stream, Span<const float>(distance2.span()));
        std::nth_element(d.begin(), d.begin() + static_cast<long>(d.size() / 2), d.end());
        spread = 1e4 * static_cast<double>(d[d.size() / 2]);
    } else {
        const std::vector<float> x = to_host(stream, t.points.x);
        for (int d = 0; d < t.points.dim; ++d) {
            double mean = 0, square = 0;
            for (index i = 0; i < n; ++i) {
                const double value = static_cast<double>(x[at(d * n + i)]);
                mean += t.weights[at(i)] * value;
                square += t.weights[at(i)] * value * value;
            }
            spread += std::max(0.0, square - mean * mean);
        }
    }
    if (!(spread > 0) || !std::isfinite(spread))
        throw InputError(
            "diffusion map: all points are the same (or not finite): there is no "
            "distance to choose a bandwidth from");
    constexpr int kRungs = 56;
    Bandwidth choice;
    for (int r = 0; r < kRungs; ++r)
        choice.ladder.push_back(spread * std::exp2(-20.0 + 24.0 * r / (kRungs - 1)));
    const Buffer<float> ladder = on_device(stream, floats(choice.ladder));
    Buffer<float> sums(stream.device(), kRungs * n);
    kernel_sums(stream, t.points, w.span(), ladder.span(), sums.span());
    const std::vector<float> host = to_host(stream, Span<const float>(sums.span()));
    std::vector<double> log_sum;
    for (int r = 0; r < kRungs; ++r) {
        double sum = 0;
        for (index i = 0; i < n; ++i)
            sum += t.weights[at(i)] * static_cast<double>(host[at(r * n + i)]);
        log_sum.push_back(std::log(sum));
    }
    choice.slope.assign(kRungs, 0.0);
    int best = 1;
    const double step = std::log(choice.ladder[1] / choice.ladder[0]);
    for (int r = 1; r + 1 < kRungs; ++r) {
        choice.slope[at(r)] = (log_sum[at(r + 1)] - log_sum[at(r - 1)]) / (2 * step);
        if (choice.slope[at(r)] > choice.slope[at(best)]) best = r;
    }
    // The top of the parabola through the steepest rung and its neighbours.
    double shift = 0;
    if (best > 1 && best + 2 < kRungs) {
        const double a = choice.slope[at(best - 1)], b = choice.slope[at(best)],
                     c = choice.slope[at(best + 1)];
        if (a + c < 2 * b) shift = std::clamp(0.5 * (a - c) / (a - 2 * b + c), -0.5, 0.5);
    }
    choice.epsilon = choice.ladder[at(best)] * std::exp(shift * step);
    choice.dimension = 2 * choice.slope[at(best)];
    return choice;
}

namespace {

// The kernel has to reach from one sample to the next also where they lie thin: 4ε is the squared
// distance to the 16th neighbour that all but one sample in a hundred keep within.
double reaching_bandwidth(Stream& stream, const PointSet& points) {
    constexpr int kNeighbours = 17;  // itself and 16
    Buffer<float> distance2(stream.device(), points.n * kNeighbours);
    Buffer<uint32> unused(stream.device(), points.n * kNeighbours);
    nearest_neighbours(stream, points, kNeighbours, distance2.span(), unused.span());
    const std::vector<float> d = to_host(stream, Span<const float>(distance2.span()));
    std::vector<float> farthest;
    for (index i = 0; i < points.n; ++i)
        farthest.push_back(
            *std::max_element(d.begin() + i * kNeighbours, d.begin() + (i + 1) * kNeighbours));
    const auto most = farthest.begin() + static_cast<long>(at(points.n * 99 / 100));
    std::nth_element(farthest.begin(), most, farthest.end());
    return 0.25 * static_cast<double>(*most);
}

}  // namespace

constexpr float kLeastReach = 4;       // Σ_j k_ij, itself included: pairs and threes are lonely
constexpr double kMostLonely = 0.02;  // of the weight; more are no stragglers

double DiffusionMap::rate(int k) const {
    return -std::log(std::max(eigenvalues[at(k)], 1e-300)) / epsilon;
}

std::vector<double> regression_novelty(const std::vector<double>& functions, int count, index n,
                                       index most_points) {
    const index m = std::min(n, most_points);
    std::vector<double> f(at(count * m));
    for (int k = 0; k < count; ++k) {
        // Unit variance: one length scale serves all of them.
        double mean = 0, square = 0;
        for (index i = 0; i < m; ++i) {
            const double value = functions[at(k * n + i * n / m)];
            f[at(k * m + i)] = value;
            mean += value;
            square += value * value;
        }
        mean /= static_cast<double>(m);
        const double deviation =
            std::sqrt(std::max(1e-300, square / static_cast<double>(m) - mean * mean));
        for (index i = 0; i < m; ++i) f[at(k * m + i)] = (f[at(k * m + i)] - mean) / deviation;
    }
    std::vector<double> novelty(at(count), 1.0);
    std::vector<double> distance2(at(m * m), 0.0);
    for (int k = 1; k < count; ++k) {
        for (index i = 0; i < m; ++i) {
            check_stop();
            for (index j = 0; j < m; ++j) {
                const double d = f[at((k - 1) * m + i)] - f[at((k - 1) * m + j)];
                distance2[at(i * m + j)] += d * d;
            }
        }
        std::vector<double> sorted = distance2;
        std::nth_element(sorted.begin(), sorted.begin() + static_cast<long>(sorted.size() / 2),
                         sorted.end());
        const double length = std::sqrt(sorted[sorted.size() / 2]) / 3;  // the authors' choice
        double missed = 0, total = 0;
        const int unknowns = k + 1;
        std::vector<double> a(at(unknowns * unknowns)), b(at(unknowns)), row(at(unknowns));
        for (index i = 0; i < m; ++i) {
            check_stop();
            std::fill(a.begin(), a.end(), 0.0);
            std::fill(b.begin(), b.end(), 0.0);
            for (index j = 0; j < m; ++j) {
                if (j == i) continue;
                const double weight = std::exp(-distance2[at(i * m + j)] / (length * length));
                if (weight < 1e-12) continue;
                row[0] = 1;
                for (int d = 0; d < k; ++d) row[at(d + 1)] = f[at(d * m + j)] - f[at(d * m + i)];
                const double y = f[at(k * m + j)];
                for (int p = 0; p < unknowns; ++p) {
                    b[at(p)] += weight * row[at(p)] * y;
                    for (int q = 0; q <= p; ++q)
                        a[at(p * unknowns + q)] += weight * row[at(p)] * row[at(q)];
                }
            }
            // A little ridge: an isolated point has no slope of its own.
            for (int p = 0; p < unknowns; ++p) a[at(p * unknowns + p)] += 1e-9 * (a[0] + 1e-30);
            const double value = f[at(k * m + i)];
            const double estimate = solve_positive(unknowns, a, b) ? b[0] : 0.0;
            missed += (value - estimate) * (value - estimate);
            total += value * value;
        }
        novelty[at(k)] = total > 0 ? std::min(1.0, std::sqrt(missed / total)) : 0.0;
    }
    return novelty;
}

namespace {

// The kernel on the samples, and sums over them.
struct KernelOfPoints {
    Stream& stream;
    index n;
    KernelOperator op;
    Buffer<float> sum;

    KernelOfPoints(Stream& s, const PointSet& points, double epsilon, const DiffusionMapOptions& options)
        : stream(s), n(points.n), op(s, points, epsilon, options.neighbours, options.stored_bytes),
          sum(s.device(), n) {}
    // Σ_j k_ij of_j.
    std::vector<float> sums(const std::vector<double>& of) {
        const Buffer<float> x = on_device(stream, floats(of));
        op.multiply(x.span(), 1, sum.span());
        return to_host(stream, Span<const float>(sum.span()));
    }
};

void check_samples(const DiffusionMapOptions& options, index n) {
    const int K = options.coordinates;
    if (K < 1 || K > 48)
        throw InputError("diffusion map: " + std::to_string(K) +
                         " coordinates were asked for; give 1 to 48");
    if (n < least_samples(K))
        throw InputError("diffusion map: " + std::to_string(n) + " samples are too few for " +
                         std::to_string(K) + " coordinates; give at least " +
                         std::to_string(least_samples(K)));
}

void warn_of_few(const std::vector<double>& w, int coordinates, DiffusionMap& map) {
    double effective = 0;
    for (const double value : w) effective += value * value;
    effective = 1 / effective;
    if (effective < 20.0 * (coordinates + 1))
        map.warnings.push_back("the weights leave " + number(effective, 3) +
                               " effective samples for " + std::to_string(coordinates) +
                               " coordinates: too few to trust them");
}

// A few samples far from all others are slow to leave: coordinates of their own, which say nothing
// about the rest. They take no part, and get their values from their neighbours at the end.
void leave_out_lonely(KernelOfPoints& kernel, std::vector<double>& w, DiffusionMap& map) {
    const std::vector<float> reach = kernel.sums(std::vector<double>(at(map.n), 1.0));
    double lonely = 0;
    for (index i = 0; i < map.n; ++i)
        if (reach[at(i)] < kLeastReach) lonely += w[at(i)];
    if (!(lonely < kMostLonely)) return;
    for (index i = 0; i < map.n; ++i)
        if (reach[at(i)] < kLeastReach) {
            w[at(i)] = 0;
            ++map.left_out;
        }
}

struct Normalisation {
    std::vector<double> scale, start;  // s, and sqrt(π)
    double alone = 0;                  // weight of samples that are most of their own degree
};

// Density estimate q, then P_ij = k_ij v_j / d_i with v = w / q^α (the row's own q^α cancels),
// conjugate to S_ij = s_i k_ij s_j with s = sqrt(v/d) and the stationary law π = v d.
Normalisation normalise(KernelOfPoints& kernel, const std::vector<double>& w, DiffusionMap& map) {
    const index n = map.n;
    const std::vector<float> q = kernel.sums(w);
    std::vector<double>& v = map.mass;
    double mass = 0;
    for (index i = 0; i < n; ++i) {
        const double density = static_cast<double>(q[at(i)]);
        if (!std::isfinite(density))
            throw InputError("diffusion map: point " + std::to_string(i) + " is not finite");
        v.push_back(w[at(i)] > 0 ? w[at(i)] / std::pow(std::max(density, 1e-30), map.alpha) : 0.0);
        mass += v.back();
    }
    for (double& value : v) value /= mass;
    const std::vector<float> degree = kernel.sums(v);
    Normalisation result;
    double total = 0;
    for (index i = 0; i < n; ++i) {
        const double d = static_cast<double>(degree[at(i)]);
        result.scale.push_back(v[at(i)] > 0 && d > 0 ? std::sqrt(v[at(i)] / d) : 0.0);
        map.stationary.push_back(v[at(i)] * d);
        total += map.stationary.back();
        if (v[at(i)] > 0.5 * d) result.alone += w[at(i)];
    }
    for (double& p : map.stationary) {
        p /= total;
        result.start.push_back(std::sqrt(p));
    }
    return result;
}

LeadingPairs eigenpairs(KernelOfPoints& kernel, const Normalisation& normal, int count, DiffusionMap& map) {
    Stream& stream = kernel.stream;
    const index n = map.n;
    Buffer<double> s(stream.device(), n), first(stream.device(), n);
    copy_to_device(stream, s.span(), normal.scale.data());
    copy_to_device(stream, first.span(), normal.start.data());
    Buffer<float> xf(stream.device(), n * kEigenBlock), yf(stream.device(), n * kEigenBlock);
    LeadingPairs pairs = leading_eigenpairs(
        stream, n, count,
        [&](Span<const double> x, Span<double> y) {
            scale_block(stream, n, s.span(), x, xf.span());
            kernel.op.multiply(xf.span(), kEigenBlock, yf.span());
            unscale_block(stream, n, s.span(), yf.span(), y);
        },
        first.span());
    map.residual = pairs.residual;
    map.products = pairs.products;
    map.converged = pairs.converged;
    return pairs;
}

// Of f, the correlation with the variable that it follows most; of the constant one, its mean.
double direction_of(const double* f, bool constant, const std::vector<float>& x,
                    const PointSet& points, const DiffusionMap& map) {
    double mean = 0;
    for (index i = 0; i < map.n; ++i) mean += map.stationary[at(i)] * f[i];
    double along = mean, most = 0;
    for (int d = 0; d < points.dim && !constant; ++d) {
        double sxy = 0, sx = 0, sxx = 0;
        for (index i = 0; i < map.n; ++i) {
            const double value = static_cast<double>(x[at(d * points.row + i)]);
            const double p = map.stationary[at(i)];
            sx += p * value;
            sxx += p * value * value;
            sxy += p * value * (f[i] - mean);
        }
        const double r = sxy / std::sqrt(std::max(1e-300, sxx - sx * sx));
        if (std::abs(r) > most + 1e-3) {
            most = std::abs(r);
            along = r;
        }
    }
    return along;
}

// φ_k from the eigenvectors, signs along the variable that a coordinate follows most.
void fill_functions(Stream& stream, const PointSet& points, const LeadingPairs& pairs,
                    const std::vector<double>& start, DiffusionMap& map) {
    const index n = map.n;
    map.eigenvalues = pairs.values;
    map.functions.resize(map.eigenvalues.size() * at(n));
    const std::vector<float> x = to_host(stream, points.x);
    for (int k = 0; k <= map.coordinates(); ++k) {
        double* f = map.functions.data() + at(k * n);
        for (index i = 0; i < n; ++i) {
            const double p = start[at(i)];
            f[i] = p > 0 ? pairs.vectors[at(k * n + i)] / p : 0.0;
        }
        if (direction_of(f, k == 0, x, points, map) < 0)
            for (index i = 0; i < n; ++i) f[i] = -f[i];
    }
}

// Where there is no weight the functions follow from their eigenvalue equation:
// φ_k(i) = λ_k⁻¹ Σ_j P_ij φ_k(j).
void fill_without_weight(KernelOfPoints& kernel, DiffusionMap& map) {
    const std::vector<double>& v = map.mass;
    if (std::none_of(v.begin(), v.end(), [](double value) { return value == 0; })) return;
    Stream& stream = kernel.stream;
    const index n = map.n;
    const int K = map.coordinates();
    Buffer<float> table(stream.device(), n * kEigenBlock), y(stream.device(), n * kEigenBlock);
    for (int first = 1; first <= K; first += kEigenBlock - 1) {
        const int count = std::min(kEigenBlock - 1, K - first + 1);
        std::vector<float> f(at(n * kEigenBlock), 0.0f);
        for (index j = 0; j < n; ++j) {
            // Scaled: the values of v are of the order of 1/n.
            const double mass = v[at(j)] * static_cast<double>(n);
            f[at(j * kEigenBlock)] = static_cast<float>(mass);
            for (int c = 0; c < count; ++c)
                f[at(j * kEigenBlock + c + 1)] =
                    static_cast<float>(mass * map.function(first + c)[j]);
        }
        copy_to_device(stream, table.span(), f.data());
        kernel.op.multiply(table.span(), kEigenBlock, y.span());
        const std::vector<float> sum = to_host(stream, Span<const float>(y.span()));
        for (int c = 0; c < count; ++c) {
            const int k = first + c;
            for (index i = 0; i < n; ++i)
                if (v[at(i)] == 0 && sum[at(i)] > 0)
                    map.functions[at(k * n + i)] =
                        static_cast<double>(sum[at((c + 1) * n + i)]) /
                        (map.eigenvalues[at(k)] * static_cast<double>(sum[at(i)]));
        }
    }
}

// Harmonics and the gap, from the samples with weight.
void find_independent(DiffusionMap& map) {
    const int K = map.coordinates();
    std::vector<double> kept;
    index with_weight = 0;
    for (const double value : map.mass) with_weight += value > 0;
    kept.reserve(at(K * with_weight));
    for (int k = 1; k <= K; ++k)
        for (index i = 0; i < map.n; ++i)
            if (map.mass[at(i)] > 0) kept.push_back(map.function(k)[i]);
    map.novelty = regression_novelty(kept, K, with_weight);
    map.novelty.insert(map.novelty.begin(), 0.0);
    for (int k = 1; k <= K; ++k)
        if (k == 1 || map.novelty[at(k)] >= kHarmonicNovelty) map.independent.push_back(k);
    double widest = 0;
    for (int k = 1; k < K; ++k) {
        const double ratio = map.rate(k + 1) / std::max(map.rate(k), 1e-300);
        if (ratio > widest) {
            widest = ratio;
            map.gap = k;
        }
    }
}

void warn_of_torn(double alone, int neighbours, DiffusionMap& map) {
    const auto groups = std::count_if(map.eigenvalues.begin(), map.eigenvalues.end(),
                                      [](double value) { return value > 1 - 5e-6; });
    std::string torn;
    if (groups > 1)
        torn = "disconnects the samples into " + std::to_string(groups) + " or more groups";
    if (alone > 0.01)
        torn += (torn.empty() ? "leaves " : " and leaves ") + number(100 * alone, 3) +
                " % of them with no neighbour";
    map.connected = torn.empty();
    if (map.connected) return;
    map.warnings.push_back(
        "the bandwidth epsilon = " + number(map.epsilon, 3) +
        (neighbours > 0 ? " with " + std::to_string(neighbours) + " neighbours of each sample "
                        : " ") +
        torn + ": coordinates only tell those apart; choose a larger epsilon" +
        (neighbours > 0 ? ", more neighbours" : "") + ", or samples in between");
}

void warn_of_residual(DiffusionMap& map) {
    if (!map.converged)
        map.warnings.push_back("the eigenproblem stopped at a residual of " + number(map.residual, 3) +
                               " after " + std::to_string(map.products) +
                               " products; its last coordinates may be mixed");
}

// Between samples that all lie within the bandwidth the kernel tells nothing: a single precision holds the
// first eigenvalue, of the samples' variance over 2 epsilon, and none after it.
void warn_of_flat(Stream& stream, const PointSet& points, DiffusionMap& map) {
    map.flat = map.coordinates() > 0 && map.eigenvalues[1] < kFlatEigenvalue;
    if (map.flat)
        map.warnings.push_back("the bandwidth epsilon = " + number(map.epsilon, 3) +
                               " is far above the squared distances between the samples: the kernel is "
                               "flat, and the coordinates mean nothing; choose one near " +
                               number(choose_bandwidth(stream, points, {}).epsilon, 3) +
                               ", or 0 for that of the data");
}

}  // namespace

DiffusionMap diffusion_map(Stream& stream, const PointSet& points,
                           const std::vector<double>& weights, const DiffusionMapOptions& options) {
    check_samples(options, points.n);
    std::vector<double> w = normalised(weights, points.n);
    DiffusionMap map;
    map.n = points.n;
    map.alpha = options.alpha;
    warn_of_few(w, options.coordinates, map);
    map.epsilon = options.epsilon;
    if (!(map.epsilon > 0)) {
        // Of the samples as they lie, whatever they weigh.
        const Bandwidth choice = choose_bandwidth(stream, points, {});
        map.epsilon = std::max(choice.epsilon, reaching_bandwidth(stream, points));
        map.dimension = choice.dimension;
    }
    KernelOfPoints kernel(stream, points, map.epsilon, options);
    leave_out_lonely(kernel, w, map);
    const Normalisation normal = normalise(kernel, w, map);
    const LeadingPairs pairs = eigenpairs(kernel, normal, options.coordinates + 1, map);
    fill_functions(stream, points, pairs, normal.start, map);
    fill_without_weight(kernel, map);
    find_independent(map);
    warn_of_flat(stream, points, map);
    if (map.flat) return map;
    warn_of_residual(map);
    warn_of_torn(normal.alone, options.neighbours, map);
    return map;
}

void nystrom(Stream& stream, const PointSet& points, const DiffusionMap& map,
             Span<const float> query, index query_row, index queries, int coordinates,
             Span<float> values, index values_row) {
    if (coordinates >= kEigenBlock || coordinates > map.coordinates())
        throw InputError("diffusion map: Nystroem's extension of " + std::to_string(coordinates) +
                         " coordinates; at most " +
                         std::to_string(std::min(kEigenBlock - 1, map.coordinates())));
    std::vector<float> f(at(points.n * kEigenBlock), 0.0f);
    for (index j = 0; j < points.n; ++j) {
        f[at(j * kEigenBlock)] = static_cast<float>(map.mass[at(j)]);
        for (int k = 1; k <= coordinates; ++k)
            f[at(j * kEigenBlock + k)] =
                static_cast<float>(map.mass[at(j)] * map.function(k)[j] / map.eigenvalues[at(k)]);
    }
    const Buffer<float> table = on_device(stream, f);
    kernel_averages(stream, points, static_cast<float>(0.25 / map.epsilon), table.span(),
                    coordinates, query, query_row, queries, values, values_row);
    stream.synchronize();
}

}  // namespace microlift
