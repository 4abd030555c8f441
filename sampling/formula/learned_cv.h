// Learned coarse variables: a diffusion map of a run's samples, in a form that a later run can bias.
//
// Nyström's extension φ_k(x) = λ_k⁻¹ Σ_j P(x, j) φ_k(j) is an average of values weighted by Gaussians.
// The same form with few landmarks in place of all samples,
//   ξ_k(x) = (Σ_m c_km g_m(x) + δ c_k∞) / (Σ_m g_m(x) + δ),   g_m = exp(−|y(x) − y_m|²/h²),
// with the c_km fitted to φ_k at the samples, is an expression of the system's variables; y are the
// variables themselves or the observed functions of them. So gradient, Laplacian, constraint and
// closure come from the same symbolic derivatives as those of a formula, on every machine.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "sampling/formula/formula.h"

namespace microlift {

struct LearnedCoordinates {
    static constexpr double kFloor = 1e-10;  // δ: beyond 4.8 h of every landmark ξ is flat
    static constexpr const char* kFormat = "microlift diffusion map 1";  // of its file

    std::vector<std::string> variables;  // of the system that was learned from
    std::vector<std::string> features;   // formulas; empty: the variables themselves
    double length2 = 1.0;                // h²
    std::vector<double> landmarks;       // (landmark, feature)
    std::vector<double> values;          // c: (coordinate, landmark)
    std::vector<double> outside;         // c∞ of each coordinate
    std::vector<double> fit_error;       // RMS of ξ_k − φ_k at held-out samples, in deviations of φ_k
    std::vector<double> low, high;       // range of φ_k over the samples

    int feature_count() const {
        return static_cast<int>(features.empty() ? variables.size() : features.size());
    }
    int coordinates() const { return static_cast<int>(outside.size()); }
    int landmark_count() const {
        return static_cast<int>(landmarks.size()) / feature_count();
    }
    // ξ_k, k from 1, as a node of the graph of a system with these symbols.
    NodeId build(Expressions& graph, const Symbols& symbols, int k) const;
};

// Of a file that `microlift learn` wrote; InputError for anything else.
LearnedCoordinates load_learned(const std::string& file);
// Of its text; `file` is for messages.
LearnedCoordinates parse_learned(std::string_view text, const std::string& file);

}  // namespace microlift
