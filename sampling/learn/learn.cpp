#include "sampling/learn/learn.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "engine/files/files.h"
#include "engine/files/json.h"
#include "kernels/random/philox.h"
#include "kernels/random/streams.h"
#include "sampling/learn/diffusion_map.h"
#include "sampling/dynamics/ensemble.h"
#include "sampling/learn/harmonics.h"
#include "sampling/learn/landmarks.h"
#include "sampling/model/model.h"
#include "sampling/samples/samples_file.h"

namespace microlift {

namespace fs = std::filesystem;

namespace {

constexpr index kReadPerPoint = 12;

std::size_t at(index i) {
    return static_cast<std::size_t>(i);
}

// Some of the samples, variable-major, one from each of n equal stretches of the file.
struct Picked {
    index n = 0;
    std::vector<float> x, xi;
    std::vector<double> weights;
};

Picked pick_samples(const SamplesReader& reader, index points, uint64 seed) {
    const SamplesInfo& info = reader.info();
    const auto D = static_cast<index>(info.variables.size());
    const auto K = static_cast<index>(info.cvs.size());
    Picked picked;
    const index n = std::min(points, info.samples);
    picked.n = n;
    std::vector<index> rows;
    for (index i = 0; i < n; ++i) {
        const index from = i * info.samples / n, to = (i + 1) * info.samples / n;
        const PhiloxStream<float> rng(seed, kStreamLearn, i);
        uint32 u[4];
        rng.draw(0, u);
        rows.push_back(from + static_cast<index>(u[0]) % (to - from));
    }
    picked.x.resize(at(n * D));
    picked.xi.resize(at(n * K));
    std::vector<double> log_weights;
    constexpr index kPiece = 1 << 18;
    std::vector<float> state(at(kPiece * D)), xi(at(kPiece * K));
    std::vector<double> weight(at(kPiece));
    std::size_t next = 0;
    for (index first = 0; first < info.samples && next < rows.size(); first += kPiece) {
        const index count = std::min(kPiece, info.samples - first);
        reader.read(first, count, state.data(), xi.data(), nullptr, weight.data());
        for (; next < rows.size() && rows[next] < first + count; ++next) {
            const index r = rows[next] - first;
            for (index d = 0; d < D; ++d)
                picked.x[at(d * n) + next] = state[at(r * D + d)];
            for (index k = 0; k < K; ++k) picked.xi[at(k * n) + next] = xi[at(r * K + k)];
            log_weights.push_back(weight[at(r)]);
        }
    }
    double most = -1e300;
    for (const double w : log_weights)
        if (std::isfinite(w)) most = std::max(most, w);
    for (const double w : log_weights)
        picked.weights.push_back(std::isfinite(w) ? std::exp(w - most) : 0.0);
    return picked;
}

Picked cover(Stream& stream, const Model& model, Picked all, index points, bool unweighted) {
    if (unweighted) all.weights.assign(at(all.n), 1.0);
    const index n = all.n;
    const int F = model.target_dim(), D = model.dim();
    Buffer<float> x(stream.device(), D * n), y(stream.device(), F * n);
    copy_to_device(stream, x.span(), all.x.data());
    model.observe(stream, x.span(), n, n, y.span(), n);
    const std::vector<float> host = to_host(stream, Span<const float>(y.span()));
    std::vector<double> rows(at(n * F));
    for (index i = 0; i < n; ++i)
        for (int f = 0; f < F; ++f)
            rows[at(i * F + f)] = static_cast<double>(host[at(f * n + i)]);
    std::vector<index> nearest;
    double spacing = 0;
    const std::vector<index> chosen = farthest_points(rows, F, n, points, spacing, &nearest);
    Picked some;
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
std::vector<float> burst_metric(Stream& stream, const Model& model, const RunConfig& run,
                                const LearnOptions& options, const Picked& picked, uint64 seed,
                                int features) {
    const int R = options.burst_replicas, D = model.dim();
    const double time = options.burst_time > 0 ? options.burst_time : run.integrator.dt;
    IntegratorConfig integrator = run.integrator;
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

// Spearman's rank correlation.
double rank_correlation(const double* a, std::vector<double> b) {
    const index n = static_cast<index>(b.size());
    const auto ranks = [n](const double* x) {
        std::vector<index> order(at(n));
        for (index i = 0; i < n; ++i) order[at(i)] = i;
        std::stable_sort(order.begin(), order.end(),
                         [x](index i, index j) { return x[i] < x[j]; });
        std::vector<double> rank(at(n));
        for (index i = 0; i < n; ++i) rank[at(order[at(i)])] = static_cast<double>(i);
        return rank;
    };
    const std::vector<double> p = ranks(a), q = ranks(b.data());
    const double mean = 0.5 * static_cast<double>(n - 1);
    double pq = 0, pp = 0, qq = 0;
    for (index i = 0; i < n; ++i) {
        pq += (p[at(i)] - mean) * (q[at(i)] - mean);
        pp += (p[at(i)] - mean) * (p[at(i)] - mean);
        qq += (q[at(i)] - mean) * (q[at(i)] - mean);
    }
    return pq / std::sqrt(std::max(1e-300, pp * qq));
}

// How well geometric harmonics of the chosen coordinates give the features back at points held out:
// RMS error over the features' deviation.
double lifting_error(const std::vector<double>& points, int dim, index n, const DiffusionMap& map) {
    const auto count = std::min<std::size_t>(map.independent.size(), 3);
    std::vector<double> known, known_f, held, held_f;
    const auto gather = [&](bool test, std::vector<double>& phi, std::vector<double>& f) {
        for (std::size_t c = 0; c < count; ++c)
            for (index i = 0; i < n; ++i)
                if ((i % 5 == 0) == test) phi.push_back(map.function(map.independent[c])[i]);
        for (int d = 0; d < dim; ++d)
            for (index i = 0; i < n; ++i)
                if ((i % 5 == 0) == test) f.push_back(points[at(d * n + i)]);
    };
    gather(false, known, known_f);
    gather(true, held, held_f);
    const int K = static_cast<int>(count);
    const index trained = static_cast<index>(known_f.size()) / dim;
    const index tested = static_cast<index>(held_f.size()) / dim;
    const GeometricHarmonics lift(known, K, trained, known_f, dim);
    std::vector<double> phi(count), out(at(dim));
    double missed = 0, total = 0;
    std::vector<double> mean(at(dim), 0.0);
    for (int d = 0; d < dim; ++d)
        for (index i = 0; i < tested; ++i)
            mean[at(d)] += held_f[at(d * tested + i)] / static_cast<double>(tested);
    for (index i = 0; i < tested; ++i) {
        for (std::size_t c = 0; c < count; ++c) phi[c] = held[c * at(tested) + at(i)];
        lift(phi.data(), out.data());
        for (int d = 0; d < dim; ++d) {
            const double value = held_f[at(d * tested + i)];
            missed += (out[at(d)] - value) * (out[at(d)] - value);
            total += (value - mean[at(d)]) * (value - mean[at(d)]);
        }
    }
    return std::sqrt(missed / std::max(total, 1e-300));
}

// |∇ξ_k|² of the fitted coordinates at the points (feature, n): (k, n).
std::vector<double> squared_gradients(const LearnedCoordinates& learned,
                                      const std::vector<double>& points, index n) {
    const int dim = learned.feature_count(), K = learned.coordinates();
    const index m = learned.landmark_count();
    std::vector<double> out(at(K * n)), weight(at(m)), diff(at(m * dim));
    for (index i = 0; i < n; ++i) {
        double sum = 0;
        for (index l = 0; l < m; ++l) {
            double d2 = 0;
            for (int d = 0; d < dim; ++d) {
                const double x = points[at(d * n + i)] - learned.landmarks[at(l * dim + d)];
                diff[at(l * dim + d)] = x;
                d2 += x * x;
            }
            sum += weight[at(l)] = std::exp(-d2 / learned.length2);
        }
        for (int k = 0; k < K; ++k) {
            const double* c = &learned.values[at(k * m)];
            double mean = 0, square = 0;
            for (index l = 0; l < m; ++l) mean += weight[at(l)] * c[l] / std::max(sum, 1e-300);
            for (int d = 0; d < dim; ++d) {
                double slope = 0;
                for (index l = 0; l < m; ++l)
                    slope -= 2 * diff[at(l * dim + d)] / learned.length2 * weight[at(l)] *
                             (c[l] - mean) / std::max(sum, 1e-300);
                square += slope * slope;
            }
            out[at(k * n + i)] = square;
        }
    }
    return out;
}

// Eigenfunctions are flat in wells and steep between them, bad to bias and to bin. u = ∫ dφ / RMS |∇φ|,
// a length, tells the same states apart and has a gradient of about 1: windows even in u are even in
// the states. The slope is limited to 1/kFlattest of the steepest place's. u = 0 at φ = 0.
void measure_as_length(std::vector<double>& phi, const double* square, index n, index first) {
    constexpr double kFlattest = 0.05;
    const index bins = std::clamp<index>(n / 50, 4, 60);
    std::vector<index> order(at(n));
    for (index i = 0; i < n; ++i) order[at(i)] = i;
    double* f = phi.data() + first;
    std::stable_sort(order.begin(), order.end(), [f](index a, index b) { return f[a] < f[b]; });
    std::vector<double> place, slope;
    for (index b = 0; b < bins; ++b) {
        const index from = b * n / bins, to = (b + 1) * n / bins;
        double sum = 0;
        for (index i = from; i < to; ++i) sum += square[order[at(i)]];
        const double middle = f[order[at((from + to) / 2)]];
        if (!place.empty() && !(middle > place.back())) continue;
        place.push_back(middle);
        slope.push_back(std::sqrt(sum / static_cast<double>(to - from)));
    }
    const double steepest = *std::max_element(slope.begin(), slope.end());
    if (!(steepest > 0)) return;
    for (double& g : slope) g = std::max(g, kFlattest * steepest);
    std::vector<double> u(place.size(), 0.0);
    for (std::size_t b = 1; b < place.size(); ++b)
        u[b] = u[b - 1] + 2 * (place[b] - place[b - 1]) / (slope[b] + slope[b - 1]);
    const auto length = [&](double value) {
        if (value <= place.front()) return u.front() + (value - place.front()) / slope.front();
        if (value >= place.back()) return u.back() + (value - place.back()) / slope.back();
        const auto b = static_cast<std::size_t>(
            std::upper_bound(place.begin(), place.end(), value) - place.begin());
        return u[b - 1] + (u[b] - u[b - 1]) * (value - place[b - 1]) / (place[b] - place[b - 1]);
    };
    const double zero = length(0.0);
    for (index i = 0; i < n; ++i) f[i] = length(f[i]) - zero;
}

std::string line(const char* format, auto... values) {
    char text[400];
    std::snprintf(text, sizeof text, format, values...);
    return text;
}

}  // namespace

LearnedSummary learn_coordinates(const LearnOptions& options, Progress& progress) {
    const RunConfig run = load_run_config((fs::path(options.dir) / "config.toml").string());
    Stream stream(Device::pick(options.device, options.threads));
    return learn_coordinates(stream, run, options, progress);
}

LearnedSummary learn_coordinates(Stream& stream, const RunConfig& run, const LearnOptions& options,
                                 Progress& progress) {
    const fs::path dir = options.dir;
    const Model model(run);
    const fs::path samples_file = dir / "samples.h5";
    if (!fs::exists(samples_file))
        throw InputError(samples_file.string() + ": there is none; run the configuration first");
    const SamplesReader reader(samples_file);
    const uint64 seed = options.seed.value_or(run.seed);
    const Device& device = stream.device();

    progress.begin("learn", 3, "passes");
    // An even cover of the data; every sample read lends its weight to the nearest point of it. Even
    // in the distance that the map uses: with bursts that is not known here, and an even cover of
    // what is observed would be crowded in the tails of what is fast.
    Picked picked;
    if (options.bursts) {
        picked = pick_samples(reader, options.points, seed);
        if (options.unweighted) picked.weights.assign(at(picked.n), 1.0);
    } else {
        picked = cover(stream, model, pick_samples(reader, kReadPerPoint * options.points, seed),
                       options.points, options.unweighted);
    }
    const index n = picked.n;
    const int features = model.target_dim();
    Buffer<float> x(device, static_cast<index>(picked.x.size())), y(device, features * n);
    copy_to_device(stream, x.span(), picked.x.data());
    model.observe(stream, x.span(), n, n, y.span(), n);
    PointSet points{y.span(), n, n, features, {}};
    Buffer<float> metric;
    if (options.bursts) {
        const std::vector<float> host =
            burst_metric(stream, model, run, options, picked, seed, features);
        metric = Buffer<float>(device, static_cast<index>(host.size()));
        copy_to_device(stream, metric.span(), host.data());
        points.metric = metric.span();
    }
    progress.update(1);
    throw_if_stopped();
    DiffusionMapOptions map_options;
    map_options.alpha = options.alpha;
    map_options.epsilon = options.epsilon;
    map_options.coordinates = options.coordinates;
    map_options.neighbours = options.neighbours;
    DiffusionMap map = diffusion_map(stream, points, picked.weights, map_options);
    // A sample without weight has no value of its own; the kernel gives it one.
    std::vector<double> functions(map.functions.begin() + n, map.functions.end());
    if (!options.bursts && options.coordinates < kEigenBlock) {
        Buffer<float> values(device, options.coordinates * n);
        nystrom(stream, points, map, y.span(), n, n, options.coordinates, values.span(), n);
        const std::vector<float> host = to_host(stream, Span<const float>(values.span()));
        for (std::size_t i = 0; i < host.size(); ++i)
            functions[i] = static_cast<double>(host[i]);
    }
    progress.update(2);
    throw_if_stopped();

    LearnedCoordinates learned;
    learned.variables = model.variables();
    if (model.observed()) learned.features = model.text().observe;
    const std::vector<float> host = to_host(stream, Span<const float>(y.span()));
    const std::vector<double> feature_values(host.begin(), host.end());
    fit_landmarks(feature_values, n, functions, options.landmarks, learned);
    if (!options.bursts) {
        const std::vector<double> steepness = squared_gradients(learned, feature_values, n);
        std::vector<double> lengths = functions;
        for (int k = 0; k < learned.coordinates(); ++k)
            measure_as_length(lengths, steepness.data() + at(k * n), n, k * n);
        fit_landmarks(feature_values, n, lengths, options.landmarks, learned);
    }
    const double lifting = lifting_error(feature_values, features, n, map);
    const std::vector<double> square = squared_gradients(learned, feature_values, n);

    Json j;
    j["format"] = LearnedCoordinates::kFormat;
    j["system"] = model.name();
    j["variables"] = learned.variables;
    j["features"] = learned.features;
    j["coordinates"] = options.bursts ? "eigenfunctions" : "lengths";
    j["metric"] = options.bursts ? "bursts" : "euclidean";
    j["points"] = n;
    j["left_out"] = map.left_out;
    j["alpha"] = map.alpha;
    j["epsilon"] = map.epsilon;
    j["dimension"] = map.dimension;
    j["eigenvalues"] = map.eigenvalues;
    std::vector<double> rates;
    for (int k = 0; k <= map.coordinates(); ++k) rates.push_back(map.rate(k));
    j["rates"] = rates;
    j["novelty"] = map.novelty;
    j["independent"] = map.independent;
    j["gap"] = map.gap;
    j["residual"] = map.residual;
    j["length2"] = learned.length2;
    j["landmarks"] = learned.landmarks;
    j["values"] = learned.values;
    j["outside"] = learned.outside;
    j["fit_error"] = learned.fit_error;
    j["low"] = learned.low;
    j["high"] = learned.high;
    j["geometric_harmonics_error"] = lifting;
    // Which variable each coordinate follows.
    Json follows = Json::array();
    LearnedSummary summary;
    for (int k = 1; k <= map.coordinates(); ++k) {
        Json row;
        summary.rank_correlation.emplace_back();
        for (int d = 0; d < model.dim(); ++d) {
            const double r = rank_correlation(functions.data() + at((k - 1) * n),
                                              {picked.x.begin() + static_cast<long>(d * n),
                                               picked.x.begin() + static_cast<long>((d + 1) * n)});
            row[learned.variables[at(d)]] = r;
            summary.rank_correlation.back().push_back(r);
        }
        follows.push_back(row);
    }
    j["rank_correlation"] = follows;
    // Of a torn map nothing else is worth saying.
    std::string flat;
    for (const int k : map.independent) {
        if (!map.connected) break;
        if (learned.fit_error[at(k - 1)] > 0.1)
            map.warnings.push_back(line("coordinate %d is off by %.2g of its deviation between "
                                        "the landmarks; take more landmarks",
                                        k, learned.fit_error[at(k - 1)]));
        const double share = flat_share(std::span(square).subspan(at((k - 1) * n), at(n)));
        if (share > kMostFlat)
            flat += line("%s%.3g %% (coordinate %d)", flat.empty() ? "" : ", ", 100 * share, k);
    }
    if (!flat.empty())
        map.warnings.push_back("the gradient vanishes at " + flat + " of the points: a bias on it "
                               "moves nothing there; take another coordinate, or samples between "
                               "the states that it tells apart");
    j["warnings"] = map.warnings;
    // For pictures: at most 3000 of the points.
    const index shown = std::min<index>(n, 3000);
    Json cloud;
    for (int d = 0; d < features; ++d) {
        std::vector<float> column;
        for (index i = 0; i < shown; ++i) column.push_back(host[at(d * n + i * n / shown)]);
        cloud["features"].push_back(column);
    }
    for (int k = 0; k < map.coordinates(); ++k) {
        std::vector<float> column;
        for (index i = 0; i < shown; ++i)
            column.push_back(static_cast<float>(functions[at(k * n + i * n / shown)]));
        cloud["coordinates"].push_back(column);
    }
    j["cloud"] = cloud;
    const std::string out = options.out_file.empty() ? (dir / "diffusion_map.json").string()
                                                     : options.out_file;
    write_file(out, j.dump() + "\n");
    progress.update(3);
    progress.end();

    std::string text = line("%lld samples, alpha = %g, epsilon = %.4g", n, map.alpha, map.epsilon);
    if (map.dimension > 0) text += line(", dimension %.2f", map.dimension);
    text += "\n  k  eigenvalue       rate  novelty  fit error      from        to\n";
    for (int k = 1; k <= map.coordinates(); ++k)
        text += line("%3d  %10.6f %10.4g  %7.3f  %9.2e %9.4g %9.4g%s\n", k, map.eigenvalues[at(k)],
                     map.rate(k), map.novelty[at(k)], learned.fit_error[at(k - 1)],
                     learned.low[at(k - 1)], learned.high[at(k - 1)],
                     map.novelty[at(k)] < kHarmonicNovelty && k > 1 ? "  harmonic" : "");
    text += line("widest gap after coordinate %d; lifting by geometric harmonics is off by %.3g of "
                 "the features' deviation\n", map.gap, lifting);
    for (const std::string& warning : map.warnings) text += "warning: " + warning + "\n";
    summary.points = n;
    summary.epsilon = map.epsilon;
    summary.dimension = map.dimension;
    summary.eigenvalues.assign(map.eigenvalues.begin() + 1, map.eigenvalues.end());
    summary.rates.assign(rates.begin() + 1, rates.end());
    summary.independent = map.independent;
    summary.variables = learned.variables;
    summary.harmonics_error = lifting;
    summary.warnings = map.warnings;
    summary.text = text + "wrote " + out + "\n";
    return summary;
}

}  // namespace microlift
