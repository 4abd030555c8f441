#include "sampling/learn/learn.h"

#include <algorithm>
#include <cstdio>

#include "engine/at.h"
#include "engine/files/checked_json.h"
#include "engine/files/files.h"
#include "sampling/learn/diffusion_map.h"
#include "sampling/learn/landmarks.h"
#include "sampling/learn/shape.h"

namespace microlift {

namespace {

constexpr index kShown = 3000;          // points for pictures, at most
constexpr double kPoorFit = 0.1;        // of a coordinate's deviation

std::string line(const char* format, auto... values) {
    char text[400];
    std::snprintf(text, sizeof text, format, values...);
    return text;
}

// The map, and what is learned from it.
struct Learned {
    DiffusionMap map;
    std::vector<double> functions;  // (coordinate, point)
    std::vector<double> features;   // (feature, point)
    LearnedCoordinates coordinates;
    double harmonics_error = 0;
    std::vector<double> rates;
    std::vector<std::string> followed;                  // variables, or features
    std::vector<std::vector<double>> rank_correlation;  // (coordinate, of these)
};

void map_points(Stream& stream, const LearnConfig& config, const LearnPoints& points,
                Learned& learned) {
    const index n = points.n;
    PointSet set{points.y.span(), n, n, points.features, {}};
    if (config.bursts) set.metric = points.metric.span();
    DiffusionMapOptions options;
    options.alpha = config.alpha;
    options.epsilon = config.epsilon;
    options.coordinates = config.coordinates;
    options.neighbours = config.neighbours;
    learned.map = diffusion_map(stream, set, points.weights, options);
    const DiffusionMap& map = learned.map;
    learned.functions.assign(map.functions.begin() + n, map.functions.end());
    // A sample without weight has no value of its own; the kernel gives it one.
    if (!config.bursts && config.coordinates < kEigenBlock) {
        Buffer<float> values(stream.device(), config.coordinates * n);
        nystrom(stream, set, map, points.y.span(), n, n, config.coordinates, values.span(), n);
        const std::vector<float> host = to_host(stream, Span<const float>(values.span()));
        std::copy(host.begin(), host.end(), learned.functions.begin());
    }
    for (int k = 0; k <= map.coordinates(); ++k) learned.rates.push_back(map.rate(k));
}

void fit_coordinates(const Model& model, const LearnFeatures& features, const LearnConfig& config, index n,
                     Learned& learned) {
    LearnedCoordinates& c = learned.coordinates;
    c.variables = model.variables();
    c.features = features.formulas();
    fit_landmarks(learned.features, n, learned.functions, config.landmarks, c);
    if (config.bursts) return;
    const std::vector<double> square = squared_gradients(c, learned.features, n);
    std::vector<double> lengths = learned.functions;
    for (int k = 0; k < c.coordinates(); ++k)
        measure_as_length(lengths.data() + k * n, square.data() + k * n, n);
    fit_landmarks(learned.features, n, lengths, config.landmarks, c);
}

// Which variable each coordinate follows; of a molecule, which feature.
void correlate(const Model& model, const LearnPoints& points, const LearnFeatures& features, Learned& learned) {
    const index n = points.n;
    const int dim = model.molecule() ? points.features : model.dim();
    const std::vector<float> values(learned.features.begin(), learned.features.end());
    const std::vector<float>& of = model.molecule() ? values : points.x;
    learned.followed = model.molecule() ? features.names() : model.variables();
    for (int k = 1; k <= learned.map.coordinates(); ++k) {
        learned.rank_correlation.emplace_back();
        for (int d = 0; d < dim; ++d)
            learned.rank_correlation.back().push_back(
                rank_correlation(learned.functions.data() + (k - 1) * n,
                                 {of.begin() + d * n, of.begin() + (d + 1) * n}));
    }
}

// Of a torn or flat map nothing else is worth saying.
void add_warnings(Learned& learned, index n) {
    const LearnedCoordinates& c = learned.coordinates;
    const std::vector<double> square = squared_gradients(c, learned.features, n);
    std::vector<std::string>& warnings = learned.map.warnings;
    std::string flat;
    for (const int k : learned.map.independent) {
        if (!learned.map.connected || learned.map.flat) break;
        if (c.fit_error[at(k - 1)] > kPoorFit)
            warnings.push_back(line("coordinate %d is off by %.2g of its deviation between the "
                                    "landmarks; take more landmarks",
                                    k, c.fit_error[at(k - 1)]));
        const double share = flat_share(std::span(square).subspan(at((k - 1) * n), at(n)));
        if (share > kMostFlat)
            flat += line("%s%.3g %% (coordinate %d)", flat.empty() ? "" : ", ", 100 * share, k);
    }
    if (!flat.empty())
        warnings.push_back("the gradient vanishes at " + flat + " of the points: a bias on it moves "
                           "nothing there; take another coordinate, or samples between the states "
                           "that it tells apart");
}

// For pictures.
Json cloud_of(const Learned& learned, int features, index n) {
    const index shown = std::min(n, kShown);
    const auto column = [&](const std::vector<double>& values, int row) {
        std::vector<float> some;
        for (index i = 0; i < shown; ++i)
            some.push_back(static_cast<float>(values[at(row * n + i * n / shown)]));
        return some;
    };
    Json cloud;
    for (int d = 0; d < features; ++d) cloud["features"].push_back(column(learned.features, d));
    for (int k = 0; k < learned.map.coordinates(); ++k)
        cloud["coordinates"].push_back(column(learned.functions, k));
    return cloud;
}

Json file_of(const Model& model, const LearnConfig& config, const LearnPoints& points,
             const Learned& learned) {
    const LearnedCoordinates& c = learned.coordinates;
    const DiffusionMap& map = learned.map;
    Json j;
    j["format"] = LearnedCoordinates::kFormat;
    j["system"] = model.name();
    j["variables"] = c.variables;
    j["features"] = c.features;
    j["coordinates"] = config.bursts ? "eigenfunctions" : "lengths";
    j["metric"] = config.bursts ? "bursts" : "euclidean";
    j["points"] = points.n;
    j["left_out"] = map.left_out;
    j["alpha"] = map.alpha;
    j["epsilon"] = map.epsilon;
    j["dimension"] = map.dimension;
    j["eigenvalues"] = map.eigenvalues;
    j["rates"] = learned.rates;
    j["novelty"] = map.novelty;
    j["independent"] = map.independent;
    j["gap"] = map.gap;
    j["residual"] = map.residual;
    j["length2"] = c.length2;
    j["landmarks"] = c.landmarks;
    j["values"] = c.values;
    j["outside"] = c.outside;
    j["fit_error"] = c.fit_error;
    j["low"] = c.low;
    j["high"] = c.high;
    j["geometric_harmonics_error"] = learned.harmonics_error;
    j["rank_correlation"] = Json::array();
    for (const std::vector<double>& row : learned.rank_correlation) {
        Json named;
        for (std::size_t d = 0; d < row.size(); ++d) named[learned.followed[d]] = row[d];
        j["rank_correlation"].push_back(named);
    }
    j["warnings"] = map.warnings;
    j["cloud"] = cloud_of(learned, points.features, points.n);
    return j;
}

std::string describe(const Learned& learned, index n) {
    const LearnedCoordinates& c = learned.coordinates;
    const DiffusionMap& map = learned.map;
    std::string text = line("%lld samples, alpha = %g, epsilon = %.4g", n, map.alpha, map.epsilon);
    if (map.dimension > 0) text += line(", dimension %.2f", map.dimension);
    text += "\n  k  eigenvalue       rate  novelty  fit error      from        to\n";
    for (int k = 1; k <= map.coordinates(); ++k)
        text += line("%3d  %10.6f %10.4g  %7.3f  %9.2e %9.4g %9.4g%s\n", k, map.eigenvalues[at(k)],
                     map.rate(k), map.novelty[at(k)], c.fit_error[at(k - 1)], c.low[at(k - 1)],
                     c.high[at(k - 1)],
                     map.novelty[at(k)] < kHarmonicNovelty && k > 1 ? "  harmonic" : "");
    text += line("widest gap after coordinate %d; lifting by geometric harmonics is off by %.3g of "
                 "the features' deviation\n", map.gap, learned.harmonics_error);
    for (const std::string& warning : map.warnings) text += "warning: " + warning + "\n";
    return text;
}

LearnedSummary summary_of(const Learned& learned, index n) {
    LearnedSummary summary;
    summary.points = n;
    summary.epsilon = learned.map.epsilon;
    summary.dimension = learned.map.dimension;
    summary.eigenvalues.assign(learned.map.eigenvalues.begin() + 1, learned.map.eigenvalues.end());
    summary.rates.assign(learned.rates.begin() + 1, learned.rates.end());
    summary.independent = learned.map.independent;
    summary.variables = learned.followed;
    summary.rank_correlation = learned.rank_correlation;
    summary.harmonics_error = learned.harmonics_error;
    summary.warnings = learned.map.warnings;
    return summary;
}

}  // namespace

LearnedSummary learn_coordinates(Stream& stream, const Model& model,
                                 const IntegratorConfig& integrator, const LearnConfig& config,
                                 const SomeSamples& samples, uint64 seed,
                                 const std::string& out_file, Progress& progress) {
    progress.begin("learn", 3, "passes");
    const LearnFeatures features(model, config);
    const LearnPoints points = learn_points(stream, model, integrator, features, config, samples, seed);
    progress.update(1);
    throw_if_stopped();
    Learned learned;
    const std::vector<float> values = to_host(stream, Span<const float>(points.y.span()));
    learned.features.assign(values.begin(), values.end());
    map_points(stream, config, points, learned);
    progress.update(2);
    throw_if_stopped();
    fit_coordinates(model, features, config, points.n, learned);
    learned.harmonics_error =
        lifting_error(learned.features, points.features, points.n, learned.map);
    correlate(model, points, features, learned);
    add_warnings(learned, points.n);
    write_file(out_file, checked_json(file_of(model, config, points, learned)));
    progress.update(3);
    progress.end();
    LearnedSummary summary = summary_of(learned, points.n);
    summary.text = describe(learned, points.n) + "wrote " + out_file + "\n";
    return summary;
}

}  // namespace microlift
