#include "sampling/formula/learned_cv.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>

#include "engine/at.h"
#include "engine/files/checked_json.h"
#include "engine/files/files.h"

namespace microlift {

namespace {

constexpr std::size_t kMostBytes = std::size_t{1} << 28;

}  // namespace

NodeId LearnedCoordinates::build(Expressions& graph, const Symbols& symbols, int k) const {
    if (symbols.variables != variables && features.empty()) {
        std::string names;
        for (const std::string& v : variables) names += (names.empty() ? "" : ", ") + v;
        throw FormulaError("the coordinate was learned from the variables " + names +
                           ", which are not those of this system");
    }
    if (k < 1 || k > coordinates())
        throw FormulaError("there is no coordinate " + std::to_string(k) +
                           " in the file; it has 1 to " + std::to_string(coordinates()));
    std::vector<NodeId> y;
    if (features.empty())
        for (std::size_t d = 0; d < variables.size(); ++d)
            y.push_back(graph.variable(static_cast<int>(d)));
    else
        for (const std::string& f : features) y.push_back(parse_formula(graph, f, symbols));
    const int dim = feature_count();
    const index m = landmark_count();
    NodeId top = graph.constant(kFloor * outside[at(k - 1)]), bottom = graph.constant(kFloor);
    for (index l = 0; l < m; ++l) {
        NodeId sum = graph.constant(0.0);
        for (int d = 0; d < dim; ++d) {
            const NodeId diff = graph.sub(y[at(d)], graph.constant(landmarks[at(l * dim + d)]));
            sum = graph.add(sum, graph.mul(diff, diff));
        }
        const NodeId g =
            graph.unary(Op::exp, graph.mul(graph.constant(-1.0 / length2), sum));
        bottom = graph.add(bottom, g);
        top = graph.add(top, graph.mul(graph.constant(values[at((k - 1) * m + l)]), g));
    }
    return graph.div(top, bottom);
}

LearnedCoordinates parse_learned(std::string_view text, const std::string& file) {
    const std::optional<Json> j = parse_checked_json(text);
    if (!j)
        throw InputError(file + ": not a file that 'microlift learn' wrote, or it was altered: its "
                         "checksum does not match; learn it again");
    LearnedCoordinates learned;
    try {
        if (j->at("format") != LearnedCoordinates::kFormat) throw std::out_of_range("format");
        learned.variables = j->at("variables").get<std::vector<std::string>>();
        learned.features = j->at("features").get<std::vector<std::string>>();
        learned.length2 = j->at("length2").get<double>();
        learned.landmarks = j->at("landmarks").get<std::vector<double>>();
        learned.values = j->at("values").get<std::vector<double>>();
        learned.outside = j->at("outside").get<std::vector<double>>();
        learned.fit_error = j->at("fit_error").get<std::vector<double>>();
        learned.low = j->at("low").get<std::vector<double>>();
        learned.high = j->at("high").get<std::vector<double>>();
    } catch (const std::exception&) {
        throw InputError(file + ": not a file that this version of 'microlift learn' wrote; learn it "
                         "again");
    }
    const auto finite = [](const std::vector<double>& v) {
        return std::all_of(v.begin(), v.end(), [](double x) { return std::isfinite(x); });
    };
    const bool sound =
        !learned.variables.empty() && learned.length2 > 0 && std::isfinite(learned.length2) && !learned.landmarks.empty() &&
        learned.landmarks.size() % at(learned.feature_count()) == 0 && !learned.outside.empty() &&
        learned.values.size() == at(learned.landmark_count()) * learned.outside.size() &&
        finite(learned.landmarks) && finite(learned.values) && finite(learned.outside);
    if (!sound) throw InputError(file + ": its arrays do not fit together; learn it again");
    return learned;
}

LearnedCoordinates load_learned(const std::string& file) {
    return parse_learned(read_file(file, kMostBytes), file);
}

}  // namespace microlift
