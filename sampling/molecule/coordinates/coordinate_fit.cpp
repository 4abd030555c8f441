#include "sampling/molecule/coordinates/coordinate_fit.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/at.h"
#include "engine/error.h"
#include "sampling/molecule/coordinates/coordinate_map.h"
#include "sampling/numerics/statistics.h"

namespace microlift {
namespace {

constexpr double kTurnOfFit = 2 * std::numbers::pi;
constexpr double kLeastGap = std::numbers::pi / 2;  // of a torsion that is taken for one on a line
constexpr index kMostWaves = 512;                   // of the regression
constexpr index kMostKnots = 24;                    // of the condition, where covariances vary with it
constexpr index kBins1 = 48, kBins2 = 12;           // of the conditions


// Columns about their means at like conditions: what does not depend on these.
struct Bins {
    std::vector<index> of;
    std::vector<double> count;
    Bins(const CoordinateSamples& samples) : of(at(samples.n), 0) {
        index total = 1;
        for (index k = 0; k < std::min<index>(samples.conditions, 2); ++k) {
            const float* s = samples.s.data() + k * samples.n;
            const auto [least, most] = std::minmax_element(s, s + samples.n);
            const index bins = samples.conditions == 1 ? kBins1 : kBins2;
            const double low = static_cast<double>(*least);
            const double width = static_cast<double>(*most) - low;
            for (index j = 0; j < samples.n; ++j) {
                const double part = width > 0 ? (static_cast<double>(s[j]) - low) / width : 0.0;
                of[at(j)] = of[at(j)] * bins +
                            std::min(bins - 1, static_cast<index>(part * static_cast<double>(bins)));
            }
            total *= bins;
        }
        count.assign(at(total), 0.0);
        for (const index b : of) ++count[at(b)];
    }
    void centre(double* column) const {
        std::vector<double> mean(count.size(), 0.0);
        for (std::size_t j = 0; j < of.size(); ++j) mean[at(of[j])] += column[j];
        for (std::size_t b = 0; b < mean.size(); ++b) mean[b] /= std::max(count[b], 1.0);
        for (std::size_t j = 0; j < of.size(); ++j) column[j] -= mean[at(of[j])];
    }
};

double dot(const double* a, const double* b, index n) {
    double sum = 0;
    for (index j = 0; j < n; ++j) sum += a[j] * b[j];
    return sum;
}

// Which free rows are on a line, and where their middle is.
CoordinateFit split(const CoordinateSamples& samples) {
    CoordinateFit fit;
    std::vector<int32> angles;
    for (const int32 row : samples.free) {
        const float* q = samples.q.data() + row * samples.n;
        std::vector<double> values(q, q + samples.n);
        double middle = 0;
        if (row >= samples.first_torsion) {
            const Gap gap = widest_gap(values);
            if (gap.width < kLeastGap) {
                angles.push_back(row);
                continue;
            }
            middle = gap.middle + std::numbers::pi;
            for (double& v : values) v = std::remainder(v - middle, kTurnOfFit);
        }
        double mean = 0;
        for (const double v : values) mean += v / static_cast<double>(samples.n);
        fit.rows.push_back(row);
        fit.centre.push_back(static_cast<float>(std::remainder(middle, kTurnOfFit) + mean));
        fit.period.push_back(row >= samples.first_torsion ? static_cast<float>(kTurnOfFit) : 0.0f);
    }
    fit.lines = static_cast<int32>(fit.rows.size());
    for (const int32 row : angles) {
        fit.rows.push_back(row);
        fit.centre.push_back(0);
        fit.period.push_back(static_cast<float>(kTurnOfFit));
    }
    return fit;
}

// Waves of angles times 1 and waves of conditions, in CoordinateMap's order; (wave, n).
std::vector<double> waves_of(const CoordinateSamples& samples, const CoordinateFit& fit) {
    std::vector<std::vector<double>> factors{std::vector<double>(at(samples.n), 1.0)};
    for (index k = 0; k < std::min<index>(samples.conditions, kMostWaveConditions); ++k)
        if (samples.periods[at(k)] > 0)
            for (int w = 1; w <= fit.condition_waves; ++w)
                for (const bool sine : {false, true}) {
                    factors.emplace_back();
                    for (index j = 0; j < samples.n; ++j) {
                        const double u = w * kTurnOfFit / samples.periods[at(k)] *
                                         static_cast<double>(samples.s[at(k * samples.n + j)]);
                        factors.back().push_back(sine ? std::sin(u) : std::cos(u));
                    }
                }
    std::vector<double> waves;
    for (std::size_t a = at(fit.lines); a < fit.rows.size(); ++a)
        for (int w = 1; w <= kAngleWaves; ++w)
            for (const bool sine : {false, true})
                for (const auto& factor : factors)
                    for (index j = 0; j < samples.n; ++j) {
                        const double u = w * static_cast<double>(samples.q[at(fit.rows[a] * samples.n + j)]);
                        waves.push_back((sine ? std::sin(u) : std::cos(u)) * factor[at(j)]);
                    }
    return waves;
}

// Takes the waves' part off the lines, (line, n), and keeps it.
void regress(CoordinateFit& fit, std::vector<double>& lines, const std::vector<double>& waves, index n) {
    const index count = static_cast<index>(waves.size()) / n;
    fit.regression.assign(at(fit.lines * count), 0.0f);
    if (count == 0) return;
    std::vector<double> normal(at(count * count)), right(at(count * fit.lines));
    for (index a = 0; a < count; ++a) {
        const double* wave = waves.data() + a * n;
        for (index b = 0; b <= a; ++b)
            normal[at(a * count + b)] = normal[at(b * count + a)] = dot(wave, waves.data() + b * n, n);
        for (index e = 0; e < fit.lines; ++e)
            right[at(a * fit.lines + e)] = dot(wave, lines.data() + e * n, n);
    }
    // What few samples cannot tell apart stays 0.
    for (index a = 0; a < count; ++a) normal[at(a * count + a)] += 1e-3 * static_cast<double>(n) + 1.0;
    if (!cholesky_factor(normal, count)) throw NumericError("coordinates of a molecule: no regression");
    cholesky_solve(normal, count, right.data(), fit.lines);
    for (index e = 0; e < fit.lines; ++e)
        for (index a = 0; a < count; ++a) {
            const float slope = static_cast<float>(right[at(a * fit.lines + e)]);
            fit.regression[at(e * count + a)] = slope;
            const double* wave = waves.data() + a * n;
            for (index j = 0; j < n; ++j) lines[at(e * n + j)] -= static_cast<double>(slope) * wave[j];
        }
}

// Where L is measured: so that a knot has some fifty times as many samples as there are lines.
void lay_knots(CoordinateFit& fit, const CoordinateSamples& samples) {
    if (samples.conditions != 1 || fit.lines == 0) return;
    const auto [least, most] = std::minmax_element(samples.s.begin(), samples.s.end());
    const double period = samples.periods[0];
    const double range = period > 0 ? period : static_cast<double>(*most) - static_cast<double>(*least);
    const index knots = std::min(kMostKnots, samples.n / (50 * fit.lines));
    if (knots < 4 || !(range > 0)) return;
    fit.knots = static_cast<int32>(knots);
    fit.wraps = period > 0;
    fit.low = fit.wraps ? 0.0f : *least;
    fit.inverse_step = static_cast<float>(static_cast<double>(fit.wraps ? knots : knots - 1) / range);
}

// The weights of a sample at its two knots.
struct KnotWeights {
    index lower = 0, upper = 0;
    double part = 0;
    KnotWeights(const CoordinateFit& fit, float s) {
        if (fit.knots < 2) return;
        double u = (static_cast<double>(s) - static_cast<double>(fit.low)) * static_cast<double>(fit.inverse_step);
        if (fit.wraps) u -= fit.knots * std::floor(u / fit.knots);
        u = std::clamp(u, 0.0, static_cast<double>(fit.wraps ? fit.knots : fit.knots - 1));
        lower = std::min<index>(static_cast<index>(u), fit.knots - 1);
        upper = lower + 1 < fit.knots ? lower + 1 : fit.wraps ? 0 : lower;
        part = u - static_cast<double>(lower);
    }
};

// L of what is left, lower triangular, from covariances that lean on that of all samples where a knot has few.
void decorrelate(CoordinateFit& fit, const std::vector<double>& lines, const CoordinateSamples& samples) {
    const index count = fit.lines, n = samples.n;
    const std::size_t size = at(count * count);
    std::vector<double> all(size), sums(size * at(fit.knots)), weights(at(fit.knots));
    std::vector<double> column(at(count));
    for (index j = 0; j < n; ++j) {
        const KnotWeights own(fit, samples.conditions > 0 ? samples.s[at(j)] : 0.0f);
        for (index a = 0; a < count; ++a) column[at(a)] = lines[at(a * n + j)];
        double* lower = sums.data() + at(own.lower) * size;
        double* upper = sums.data() + at(own.upper) * size;
        weights[at(own.lower)] += 1 - own.part;
        weights[at(own.upper)] += own.part;
        for (index a = 0; a < count; ++a)
            for (index b = 0; b <= a; ++b) {
                const double product = column[at(a)] * column[at(b)];
                lower[a * count + b] += (1 - own.part) * product;
                upper[a * count + b] += own.part * product;
            }
    }
    for (index k = 0; k < fit.knots; ++k)
        for (std::size_t i = 0; i < size; ++i) all[i] += sums[at(k) * size + i] / static_cast<double>(n);
    const double lean = 2 * static_cast<double>(count);
    fit.factor.assign(size * at(fit.knots), 0.0f);
    for (index k = 0; k < fit.knots; ++k) {
        std::vector<double> covariance(size);
        for (index a = 0; a < count; ++a)
            for (index b = 0; b <= a; ++b) {
                const std::size_t i = at(a * count + b);
                covariance[i] = (sums[at(k) * size + i] + lean * all[i]) / (weights[at(k)] + lean);
                covariance[at(b * count + a)] = covariance[i];
            }
        for (index a = 0; a < count; ++a) {
            double& own = covariance[at(a * count + a)];
            own = own * (1 + 1e-5) + 1e-14;  // coordinates that others determine keep a width
        }
        if (count > 0 && !cholesky_factor(covariance, count))
            throw NumericError("coordinates of a molecule: their covariance is not positive");
        for (index a = 0; a < count; ++a)
            for (index b = 0; b <= a; ++b)
                fit.factor[at(k) * size + at(a * count + b)] =
                    static_cast<float>(covariance[at(a * count + b)]);
    }
}

}  // namespace

Gap widest_gap(std::vector<double> angles) {
    if (angles.empty()) return {0, kTurnOfFit};
    for (double& a : angles) a = std::remainder(a, kTurnOfFit);
    std::sort(angles.begin(), angles.end());
    Gap widest{0.5 * (angles.back() + angles.front()) + std::numbers::pi,
               angles.front() + kTurnOfFit - angles.back()};
    for (std::size_t k = 1; k < angles.size(); ++k)
        if (angles[k] - angles[k - 1] > widest.width)
            widest = {0.5 * (angles[k] + angles[k - 1]), angles[k] - angles[k - 1]};
    return widest;
}

CoordinateFit fit_coordinates(const CoordinateSamples& samples) {
    for (const float v : samples.q)
        if (!std::isfinite(v)) throw NumericError("the training data hold values that are not finite");
    CoordinateFit fit = split(samples);
    const index angles = static_cast<index>(fit.rows.size()) - fit.lines;
    const index periodic = std::count_if(
        samples.periods.begin(), samples.periods.begin() + std::min<index>(samples.conditions, kMostWaveConditions),
        [](double p) { return p > 0; });
    fit.condition_waves = kConditionWaves;
    if (angles * 2 * kAngleWaves * (1 + 2 * kConditionWaves * periodic) > kMostWaves) fit.condition_waves = 0;
    std::vector<double> lines, waves = waves_of(samples, fit);
    for (index e = 0; e < fit.lines; ++e)
        for (index j = 0; j < samples.n; ++j) {
            const double u = static_cast<double>(samples.q[at(fit.rows[at(e)] * samples.n + j)]) -
                             static_cast<double>(fit.centre[at(e)]);
            lines.push_back(fit.period[at(e)] > 0 ? std::remainder(u, kTurnOfFit) : u);
        }
    const Bins bins(samples);
    for (std::size_t first = 0; first < lines.size(); first += at(samples.n)) bins.centre(lines.data() + first);
    for (std::size_t first = 0; first < waves.size(); first += at(samples.n)) bins.centre(waves.data() + first);
    regress(fit, lines, waves, samples.n);
    lay_knots(fit, samples);
    decorrelate(fit, lines, samples);
    return fit;
}

// --- files ---------------------------------------------------------------------------------------------

TensorMap CoordinateFit::tensors() const {
    TensorMap map;
    map["coordinates.rows"] = Tensor::of(std::vector<float>(rows.begin(), rows.end()));
    map["coordinates.kinds"] = Tensor::of(
        std::vector<float>{static_cast<float>(lines), static_cast<float>(condition_waves),
                           static_cast<float>(knots), low, inverse_step, wraps ? 1.0f : 0.0f});
    map["coordinates.centre"] = Tensor::of(centre);
    map["coordinates.period"] = Tensor::of(period);
    map["coordinates.factor"] = Tensor::of(factor);
    if (!regression.empty()) map["coordinates.regression"] = Tensor::of(regression);
    return map;
}

CoordinateFit::CoordinateFit(const TensorMap& tensors, index internal) {
    const auto wrong = [](const std::string& what) {
        throw InputError("the molecule's coordinates are wrong: " + what +
                         "; give a file that microlift wrote for this molecule");
    };
    const auto get = [&](const char* name, bool needed) {
        const auto found = tensors.find(std::string("coordinates.") + name);
        if (found == tensors.end()) {
            if (needed) wrong(std::string("no ") + name);
            return std::vector<float>{};
        }
        const auto values = found->second.floats();
        for (const float v : values)
            if (!std::isfinite(v)) wrong(std::string(name) + " is not finite");
        return values;
    };
    const auto kinds = get("kinds", true);
    for (const float row : get("rows", true)) {
        if (row < 0 || row >= static_cast<float>(internal)) wrong("a row");
        rows.push_back(static_cast<int32>(row));
    }
    if (kinds.size() != 6 || kinds[0] < 0 || kinds[0] > static_cast<float>(rows.size()) ||
        (kinds[1] != 0 && kinds[1] != static_cast<float>(kConditionWaves)))
        wrong("their kinds");
    if (!(kinds[2] >= 1 && kinds[2] <= static_cast<float>(kMostKnots))) wrong("their knots");
    lines = static_cast<int32>(kinds[0]);
    condition_waves = static_cast<int32>(kinds[1]);
    knots = static_cast<int32>(kinds[2]);
    low = kinds[3];
    inverse_step = kinds[4];
    wraps = kinds[5] != 0;
    centre = get("centre", true);
    period = get("period", true);
    factor = get("factor", true);
    regression = get("regression", false);
    if (centre.size() != rows.size() || period.size() != rows.size() ||
        factor.size() != at(lines) * at(lines) * at(knots))
        wrong("their number");
    for (index k = 0; k < knots; ++k)
        for (index e = 0; e < lines; ++e)
            if (!(factor[at((k * lines + e) * lines + e)] > 0)) wrong("the factor");
}

}  // namespace microlift
