#include "sampling/model/exact.h"

#include <algorithm>
#include <cmath>

#include "engine/error.h"
#include "engine/stop.h"

namespace microlift {

ExactModel::ExactModel(int dim, int coordinate, double beta, std::vector<double> start,
                       Potential potential, Bounds bounds)
    : dim_(dim), coordinate_(coordinate), beta_(beta), start_(std::move(start)),
      potential_(std::move(potential)), bounds_(std::move(bounds)) {}

std::optional<ExactConditional> ExactModel::law(double s, std::string* why) const {
    check_stop();
    ExactConditional out;
    if (dim_ == 1) {
        double v = 0;
        potential_(&s, 1, &v);
        out.log_z = -beta_ * v;
        return out;
    }
    const auto o = static_cast<std::size_t>(other()), c = static_cast<std::size_t>(coordinate_);
    std::vector<double> x;
    const LineFunction u{
        [&](const double* y, index n, double* values) {
            x.assign(static_cast<std::size_t>(2 * n), s);
            std::copy(y, y + n, x.begin() + static_cast<std::ptrdiff_t>(o) * n);
            potential_(x.data(), n, values);
            for (index p = 0; p < n; ++p) values[p] *= beta_;
        },
        [&](const Interval& y) {
            Interval box[2];
            box[c] = {s, s};
            box[o] = y;
            const Interval v = bounds_(box);
            return v.empty() ? v : Interval{beta_ * v.low, beta_ * v.high};
        }};
    LineDensity line = integrate_line(u, start_[o]);
    if (!line.refusal.empty()) {
        if (why) *why = line.refusal;
        return std::nullopt;
    }
    out.log_z = line.log_z;
    out.mean = line.mean;
    out.variance = line.variance;
    out.y = std::move(line.y);
    out.density = std::move(line.density);
    out.cdf = std::move(line.cdf);
    return out;
}

ExactConditional ExactModel::at(double s) const {
    std::string why;
    std::optional<ExactConditional> found = law(s, &why);
    if (!found) throw NumericError("quadrature over the other variable: " + why);
    return std::move(*found);
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

ReferenceLaw::ReferenceLaw(std::vector<float> samples, std::optional<ExactConditional> exact,
                           double unit)
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
    unit_ = unit > 0 ? unit : sigma_;
}

double ReferenceLaw::distance(const std::vector<float>& sorted) const {
    if (exact_) return wasserstein_to_exact(sorted, *exact_) / unit_;
    // As many quantiles as there are samples.
    const std::size_t count = samples_.size();
    std::vector<float> quantiles(count);
    for (std::size_t i = 0; i < count; ++i)
        quantiles[i] = sorted[(2 * i + 1) * sorted.size() / (2 * count)];
    return wasserstein_between(quantiles, samples_) / unit_;
}

double ReferenceLaw::floor(std::size_t states) const {
    constexpr double kGaussian = 1.822;  // √n W1/σ of two samples of n
    const double other = exact_ ? 0.0 : 1 / static_cast<double>(samples_.size());
    return sigma_ / unit_ * kGaussian / std::sqrt(2.0) *
           std::sqrt(1 / static_cast<double>(states) + other);
}

}  // namespace microlift
