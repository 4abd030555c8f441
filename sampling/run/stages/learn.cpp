// Learning coordinates: a diffusion map of the stored samples. And whether those that the run has can
// be biased.
#include "sampling/learn/landmarks.h"
#include "sampling/learn/learn.h"
#include "sampling/run/run.h"

namespace microlift {

void Pipeline::learn() {
    LearnOptions options;
    static_cast<LearnConfig&>(options) = run_.learn;
    options.dir = dir_.string();
    LearnedSummary learned;
    {
        StageMeter meter(metrics_["stages"], "learn");
        learned = learn_coordinates(stream_, run_, options, progress_);
    }
    Json& j = metrics_["learn"] = Json::object();
    j["points"] = learned.points;
    j["epsilon"] = learned.epsilon;
    if (learned.dimension > 0) j["dimension"] = learned.dimension;
    j["eigenvalues"] = learned.eigenvalues;
    j["rates"] = learned.rates;
    j["independent"] = learned.independent;
    j["rank_correlation"] = Json::array();
    for (const std::vector<double>& row : learned.rank_correlation) {
        Json named;
        for (std::size_t d = 0; d < row.size(); ++d) named[learned.variables[d]] = row[d];
        j["rank_correlation"].push_back(named);
    }
    j["geometric_harmonics_error"] = learned.harmonics_error;
    for (const std::string& warning : learned.warnings) warn("learned coordinates: " + warning);
    write_metrics();
}

void Pipeline::warn_flat_cv() {
    constexpr index kPieces = 32, kPiece = 128, n = kPieces * kPiece;
    if (model_.linear_cvs() || samples_.n < n) return;
    const int K = model_.n_cvs(), D = model_.dim(), outputs = K * (1 + D);
    Buffer<float> out(device_, outputs * n);
    for (index p = 0; p < kPieces; ++p) {
        const index first = p * (samples_.n - kPiece) / (kPieces - 1);
        model_.evaluate_cvs(stream_,
                            samples_.x.span().subspan(first, (D - 1) * samples_.row + kPiece),
                            samples_.row, kPiece,
                            out.span().subspan(p * kPiece, (outputs - 1) * n + kPiece), n);
    }
    const std::vector<float> host = to_host(stream_, Span<const float>(out.span()));
    for (int k = 0; k < K; ++k) {
        std::vector<double> square(static_cast<std::size_t>(n), 0.0);
        const float* gradient = host.data() + (K + k * D) * n;
        for (index i = 0; i < D * n; ++i) {
            const double g = static_cast<double>(gradient[i]);
            square[static_cast<std::size_t>(i % n)] += g * g;
        }
        if (const double flat = flat_share(square); flat > kMostFlat)
            warn("the gradient of the collective variable " +
                 model_.cv_names()[static_cast<std::size_t>(k)] + " vanishes at " +
                 number(100 * flat) +
                 " % of the samples: a bias on it moves nothing there, and its closure has no noise; "
                 "choose one that changes wherever the samples are");
    }
}

}  // namespace microlift
