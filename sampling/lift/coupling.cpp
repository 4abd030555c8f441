#include "sampling/lift/coupling.h"

#include <algorithm>
#include <cmath>

namespace microlift {

namespace {

constexpr double kLeastShare = 0.1;  // effective share of reweighted samples that still compares
constexpr index kLeastReplicas = 4;

}  // namespace

double CouplingPlace::score() const {
    return std::max({free_energy_error, distance, spread, overlap, disagreement});
}

const char* CouplingPlace::reason() const {
    const double worst = score();
    if (missing_states() || (worst == disagreement && worst > 0)) return "reweighted lifted states disagree";
    if (worst == overlap && worst > 0) return "window overlap";
    if (worst == spread && worst > 0) return "error of conditional averages";
    if (worst == distance && worst > 0) return "generator's held-out distance";
    return "free-energy error";
}

std::vector<std::size_t> choose_places(const std::vector<CouplingPlace>& places, index count,
                                       const std::array<double, kMaxCvs>& unit,
                                       double separation,
                                       const std::array<double, kMaxCvs>& period) {
    std::vector<std::size_t> order(places.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        if (places[a].missing_states() != places[b].missing_states())
            return places[a].missing_states();
        return places[a].score() > places[b].score();
    });
    std::vector<std::size_t> chosen;
    const auto wanted = static_cast<std::size_t>(
        std::min<index>(count, static_cast<index>(places.size())));
    // Apart if possible; then closer, until there are enough.
    for (double apart = separation; chosen.size() < wanted; apart = apart > 0.2 ? apart / 2 : 0.0) {
        for (std::size_t i : order) {
            if (chosen.size() == wanted) break;
            bool free = true;
            for (std::size_t j : chosen) {
                double farthest = 0;
                for (std::size_t k = 0; k < static_cast<std::size_t>(kMaxCvs); ++k)
                    if (unit[k] > 0)
                        farthest = std::max(
                            farthest, std::fabs(nearest_image(places[i].at[k] - places[j].at[k],
                                                              period[k])) / unit[k]);
                free &= i != j && farthest > apart - 1e-9;
            }
            if (free) chosen.push_back(i);
        }
        if (apart == 0.0) break;
    }
    std::sort(chosen.begin(), chosen.end(),
              [&](std::size_t a, std::size_t b) { return places[a].at < places[b].at; });
    return chosen;
}

double window_disagreement(const WindowData& earlier, const WindowData& later,
                           const std::array<double, kMaxCvs>& beta) {
    if (earlier.replicas < kLeastReplicas || later.replicas < kLeastReplicas) return 0;
    const auto R = static_cast<std::size_t>(later.replicas);
    const auto S = static_cast<std::size_t>(later.samples);
    // Weights that turn the later window's ξ distribution into the earlier one's.
    std::vector<double> weight(S * R);
    double most = -1e300;
    for (std::size_t i = 0; i < S * R; ++i) {
        double change = 0;
        for (int k = 0; k < later.dims; ++k) {
            const auto d = static_cast<std::size_t>(k);
            const double xi = static_cast<double>(later.xi[d * S * R + i]);
            const double a = nearest_image(xi - earlier.center[d], later.period[d]);
            const double b = nearest_image(xi - later.center[d], later.period[d]);
            change += 0.5 * beta[d] * (later.stiffness[d] * b * b - earlier.stiffness[d] * a * a);
        }
        weight[i] = change;
        most = std::max(most, change);
    }
    double sum = 0, squares = 0;
    for (double& w : weight) {
        w = std::exp(w - most);
        sum += w;
        squares += w * w;
    }
    if (!(sum * sum / squares > kLeastShare * static_cast<double>(S * R))) return 0;

    // Ratio estimate over independent replicas: value and squared standard error.
    struct Estimate {
        double mean, squared_error;
    };
    const auto estimate = [](const WindowData& data, const std::vector<double>* w, std::size_t v,
                             bool square, double shift) {
        const auto r_count = static_cast<std::size_t>(data.replicas);
        const auto s_count = static_cast<std::size_t>(data.samples);
        std::vector<double> top(r_count, 0), bottom(r_count, 0);
        for (std::size_t s = 0; s < s_count; ++s)
            for (std::size_t r = 0; r < r_count; ++r) {
                const std::size_t i = s * r_count + r;
                double y = static_cast<double>(data.x[v * s_count * r_count + i]) - shift;
                if (square) y *= y;
                const double weight = w ? (*w)[i] : 1.0;
                top[r] += weight * y;
                bottom[r] += weight;
            }
        double t = 0, b = 0;
        for (std::size_t r = 0; r < r_count; ++r) {
            t += top[r];
            b += bottom[r];
        }
        const double mean = t / b;
        double error = 0;
        for (std::size_t r = 0; r < r_count; ++r) {
            const double d = (top[r] - mean * bottom[r]) / b;
            error += d * d;
        }
        const double n = static_cast<double>(r_count);
        return Estimate{mean, error * n / (n - 1)};
    };
    double worst = 0;
    for (std::size_t v = 0; v < static_cast<std::size_t>(later.variables); ++v) {
        double shift = 0;
        for (int square = 0; square < 2; ++square) {
            const Estimate a = estimate(earlier, nullptr, v, square, shift);
            const Estimate b = estimate(later, &weight, v, square, shift);
            const double error = std::sqrt(a.squared_error + b.squared_error);
            if (error > 0) worst = std::max(worst, std::fabs(a.mean - b.mean) / error);
            if (!square) shift = b.mean;
        }
    }
    return worst;
}

}  // namespace microlift
