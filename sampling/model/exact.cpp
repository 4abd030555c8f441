#include "sampling/model/exact.h"

#include <algorithm>
#include <cmath>

#include "engine/error.h"
#include "engine/stop.h"

namespace microlift {

namespace {

constexpr index kCoarse = 2001, kFine = 8001;
constexpr double kNegligible = 36;  // e^−36 ≈ 2e−16 of the peak

}  // namespace

std::optional<ExactModel> ExactModel::make(int dim, int coordinate, double beta,
                                           std::vector<double> start, Potential potential) {
    if (dim < 1 || dim > 2 || beta <= 0) return std::nullopt;
    ExactModel model;
    model.dim_ = dim;
    model.coordinate_ = coordinate;
    model.beta_ = beta;
    model.start_ = std::move(start);
    model.potential_ = std::move(potential);
    try {
        model.at(model.start_[static_cast<std::size_t>(coordinate)]);
    } catch (const NumericError&) {
        return std::nullopt;
    }
    return model;
}

ExactConditional ExactModel::at(double s) const {
    check_stop();
    ExactConditional out;
    if (dim_ == 1) {
        double v = 0;
        potential_(&s, 1, &v);
        out.log_z = -beta_ * v;
        return out;
    }
    const auto o = static_cast<std::size_t>(other()), c = static_cast<std::size_t>(coordinate_);
    std::vector<double> x, u;
    double low = 0, high = 0, least = 0;
    const auto scan = [&](double from, double to, index n) {
        x.assign(static_cast<std::size_t>(2 * n), s);
        u.resize(static_cast<std::size_t>(n));
        for (index p = 0; p < n; ++p)
            x[o * static_cast<std::size_t>(n) + static_cast<std::size_t>(p)] =
                from + (to - from) * static_cast<double>(p) / static_cast<double>(n - 1);
        (void)c;
        potential_(x.data(), n, u.data());
        least = 1e300;
        for (double& v : u) {
            v *= beta_;
            if (std::isfinite(v)) least = std::min(least, v);
        }
    };
    // Widen until both ends are negligible, then narrow to what is not.
    double reach = 0.5;
    const double middle = start_[o];
    for (;; reach *= 2) {
        if (reach > 1e4)
            throw NumericError("quadrature: the density of the other variable does not decay");
        scan(middle - reach, middle + reach, kCoarse);
        const double edge = least + 4 * kNegligible;
        if (!(u.front() < edge) && !(u.back() < edge)) break;
    }
    index first = 0, last = kCoarse - 1;
    while (!(u[static_cast<std::size_t>(first)] < least + kNegligible)) ++first;
    while (!(u[static_cast<std::size_t>(last)] < least + kNegligible)) --last;
    const double h = 2 * reach / static_cast<double>(kCoarse - 1);
    low = middle - reach + h * static_cast<double>(first - 1);
    high = middle - reach + h * static_cast<double>(last + 1);
    scan(low, high, kFine);

    const std::size_t n = static_cast<std::size_t>(kFine);
    out.y.assign(x.begin() + static_cast<std::ptrdiff_t>(o * n),
                 x.begin() + static_cast<std::ptrdiff_t>((o + 1) * n));
    out.density.resize(n);
    out.cdf.resize(n);
    const double step = (high - low) / static_cast<double>(n - 1);
    double z = 0;
    for (std::size_t p = 0; p < n; ++p) {
        out.density[p] = std::isfinite(u[p]) ? std::exp(least - u[p]) : 0.0;
        if (p > 0) z += 0.5 * step * (out.density[p] + out.density[p - 1]);
        out.cdf[p] = z;
    }
    double first_moment = 0, second_moment = 0;
    for (std::size_t p = 0; p < n; ++p) {
        out.density[p] /= z;
        out.cdf[p] /= z;
        const double weight = step * out.density[p] * (p == 0 || p + 1 == n ? 0.5 : 1.0);
        first_moment += weight * out.y[p];
        second_moment += weight * out.y[p] * out.y[p];
    }
    out.mean = first_moment;
    out.variance = second_moment - first_moment * first_moment;
    out.log_z = std::log(z) - least;
    return out;
}

double ExactConditional::quantile(double p) const {
    const auto at = std::lower_bound(cdf.begin(), cdf.end(), p);
    if (at == cdf.begin()) return y.front();
    if (at == cdf.end()) return y.back();
    const std::size_t i = static_cast<std::size_t>(at - cdf.begin());
    const double t = (p - cdf[i - 1]) / (cdf[i] - cdf[i - 1]);
    return y[i - 1] + t * (y[i] - y[i - 1]);
}

double wasserstein_to_exact(std::span<const float> sorted, const ExactConditional& exact) {
    // W1 = ∫_0^1 |Q_n − Q| dp, the exact quantile taken at four points of every sample's share.
    const std::size_t n = sorted.size();
    double sum = 0;
    std::size_t i = 1;
    for (std::size_t j = 0; j < n; ++j)
        for (int q = 0; q < 4; ++q) {
            const double p = (static_cast<double>(j) + (q + 0.5) / 4) / static_cast<double>(n);
            while (i + 1 < exact.cdf.size() && exact.cdf[i] < p) ++i;
            const double width = exact.cdf[i] - exact.cdf[i - 1];
            const double t = width > 0 ? (p - exact.cdf[i - 1]) / width : 0.5;
            const double y = exact.y[i - 1] + t * (exact.y[i] - exact.y[i - 1]);
            sum += std::fabs(static_cast<double>(sorted[j]) - y);
        }
    return sum / (4 * static_cast<double>(n));
}

double wasserstein_between(std::span<const float> a, std::span<const float> b) {
    double sum = 0;
    for (std::size_t j = 0; j < a.size(); ++j)
        sum += std::fabs(static_cast<double>(a[j]) - static_cast<double>(b[j]));
    return sum / static_cast<double>(a.size());
}

ReferenceLaw::ReferenceLaw(std::vector<float> samples, std::optional<ExactConditional> exact)
    : samples_(std::move(samples)), exact_(std::move(exact)) {
    std::sort(samples_.begin(), samples_.end());
    if (exact_) {
        mean_ = exact_->mean;
        sigma_ = std::sqrt(exact_->variance);
    } else if (samples_.size() > 1) {
        const double count = static_cast<double>(samples_.size());
        double squares = 0;
        for (const float v : samples_) mean_ += static_cast<double>(v) / count;
        for (const float v : samples_)
            squares += (static_cast<double>(v) - mean_) * (static_cast<double>(v) - mean_);
        sigma_ = std::sqrt(squares / (count - 1));
    }
}

double ReferenceLaw::distance(const std::vector<float>& sorted) const {
    if (exact_) return wasserstein_to_exact(sorted, *exact_) / sigma_;
    // As many quantiles as there are samples.
    const std::size_t count = samples_.size();
    std::vector<float> quantiles(count);
    for (std::size_t i = 0; i < count; ++i)
        quantiles[i] = sorted[(2 * i + 1) * sorted.size() / (2 * count)];
    return wasserstein_between(quantiles, samples_) / sigma_;
}

double ReferenceLaw::floor(std::size_t states) const {
    constexpr double kGaussian = 1.822;  // √n W1/σ of two samples of n
    const double other = exact_ ? 0.0 : 1 / static_cast<double>(samples_.size());
    return kGaussian / std::sqrt(2.0) * std::sqrt(1 / static_cast<double>(states) + other);
}

}  // namespace microlift
