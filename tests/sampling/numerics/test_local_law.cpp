// Quantiles of the conditional law at a value, from samples around it: where a law is shifted by ξ, and
// where its two parts trade weight; and their shares' errors against the spread over repeats.
#include <cmath>
#include <doctest/doctest.h>
#include <random>

#include "sampling/numerics/local_law.h"

namespace microlift {

namespace {

struct Found {
    std::vector<double> share, error;  // of the true law below each found quartile; repeats
};

// `law(x, rng)` is a sample of y at ξ = x, `below(b)` the share below b at ξ = 0. Samples come in blocks
// of `same` equal ones, unevenly spread about the value.
template <class Law, class Below>
Found repeats(int dims, double p, int same, const Law& law, const Below& below) {
    std::mt19937_64 rng(7);
    std::uniform_real_distribution<double> uniform(0, 1);
    constexpr int kRepeats = 200, kBlocks = 32, kEach = 60;
    Found found;
    for (int r = 0; r < kRepeats; ++r) {
        const std::size_t n = kBlocks * kEach;
        std::vector<double> z(static_cast<std::size_t>(dims) * n), y(n);
        std::vector<index> block(n);
        for (std::size_t i = 0; i < n; ++i) {
            block[i] = static_cast<index>(i / kEach);
            if (i % static_cast<std::size_t>(same) == 0) {
                for (int k = 0; k < dims; ++k)
                    z[static_cast<std::size_t>(k) * n + i] = 1.2 * std::pow(uniform(rng), 1.3) - 0.5;
                y[i] = law(z[i], dims == 2 ? z[n + i] : 0.0, rng);
                continue;
            }
            for (int k = 0; k < dims; ++k)
                z[static_cast<std::size_t>(k) * n + i] = z[static_cast<std::size_t>(k) * n + i - 1];
            y[i] = y[i - 1];
        }
        const LocalLaw local(dims, z, block, kBlocks);
        const double q = local.quantiles(y, {p})[0];
        found.share.push_back(below(q));
        found.error.push_back(local.share_error(y, q));
    }
    return found;
}

void check(const Found& f, double p) {
    double mean = 0, square = 0, reported = 0;
    const double n = static_cast<double>(f.share.size());
    for (std::size_t i = 0; i < f.share.size(); ++i) {
        mean += (f.share[i] - p) / n;
        square += (f.share[i] - p) * (f.share[i] - p) / n;
        reported += f.error[i] * f.error[i] / n;
    }
    CHECK(std::fabs(mean) < 4 * std::sqrt(square / n));
    // The spread of 200 repeats is known to 5 per cent.
    CHECK(square / reported == doctest::Approx(1).epsilon(0.4));
}

double normal_below(double b) { return 0.5 * std::erfc(-b / std::sqrt(2.0)); }

}  // namespace

TEST_CASE("quartiles at a value of a law that ξ shifts") {
    const auto law = [](double a, double b, auto& rng) {
        return 0.2 * a - 0.1 * b + std::normal_distribution<double>()(rng);
    };
    for (int dims : {1, 2})
        for (double p : {0.25, 0.75}) check(repeats(dims, p, 1, law, normal_below), p);
}

TEST_CASE("quartiles at a value of a law whose parts trade weight, from correlated samples") {
    // Parts at −1 and 1 of width 0.1; the upper one's share is 0.6 + 0.7 ξ.
    const auto law = [](double a, double, auto& rng) {
        const bool up = std::uniform_real_distribution<double>()(rng) < 0.6 + 0.7 * a;
        return (up ? 1 : -1) + 0.1 * std::normal_distribution<double>()(rng);
    };
    const auto below = [](double b) {
        return 0.4 * normal_below((b + 1) / 0.1) + 0.6 * normal_below((b - 1) / 0.1);
    };
    for (double p : {0.25, 0.75}) check(repeats(1, p, 6, law, below), p);
}

}  // namespace microlift
