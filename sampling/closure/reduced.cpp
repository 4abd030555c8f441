#include "sampling/closure/reduced.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/error.h"
#include "sampling/numerics/band_matrix.h"

namespace microlift {

namespace {

constexpr int kFixedPointRounds = 30;
constexpr double kPi = 3.14159265358979323846;

// Cells of a ring, folded so that the first and the last lie side by side: the number of a cell, and the
// angle of a numbered one.
index folded(index cell, index cells) {
    return cell < cells / 2 ? 2 * cell : 2 * (cells - 1 - cell) + 1;
}
double angle(index number, index cells) {
    const index cell = number % 2 ? cells - 1 - number / 2 : number / 2;
    return 2 * kPi * static_cast<double>(cell) / static_cast<double>(cells);
}

// Integrals from the first of evenly spaced points to each, by cubics through four points. Those of
// positive functions grow, where a function leaps, too.
std::vector<double> running_integral(const std::vector<double>& f, double h, bool positive) {
    const std::size_t n = f.size();
    std::vector<double> sum(n, 0.0);
    for (std::size_t i = 0; i + 1 < n; ++i) {
        double mean = (13 * (f[i] + f[i + 1]) - (i > 0 ? f[i - 1] : 0.0) -
                       (i + 2 < n ? f[i + 2] : 0.0)) / 24;
        if (i == 0) mean = (9 * f[0] + 19 * f[1] - 5 * f[2] + f[3]) / 24;
        if (i + 2 == n) mean = (9 * f[n - 1] + 19 * f[n - 2] - 5 * f[n - 3] + f[n - 4]) / 24;
        if (positive)
            mean = std::clamp(mean, 0.5 * std::min(f[i], f[i + 1]), 2 * std::max(f[i], f[i + 1]));
        sum[i + 1] = sum[i] + h * mean;
    }
    return sum;
}

// What a finite-volume rate, off by the square of the cells' width, is on cells of no width.
void extrapolate(std::vector<double>& rates, const std::vector<double>& on_half_the_cells) {
    for (std::size_t i = 0; i < rates.size(); ++i) rates[i] += (rates[i] - on_half_the_cells[i]) / 3;
}

}  // namespace

// --- the model -----------------------------------------------------------------------------------

ReducedModel::Known ReducedModel::take(const ClosureEstimate& e, const char* name,
                                       const std::vector<double>& y,
                                       const std::vector<double>& y_error,
                                       double diffusion_lambda) {
    Known known;
    std::vector<double> log_d, log_error;
    for (std::size_t i = 0; i < e.x.size(); ++i) {
        const bool good = std::isfinite(y[i]) && std::isfinite(y_error[i]) &&
                          std::isfinite(e.diffusion_error[i]) && e.diffusion[i] > 0 &&
                          std::isfinite(e.diffusion[i]);
        if (!good) continue;
        known.x.push_back(e.x[i]);
        known.y.push_back(y[i]);
        known.y_error.push_back(y_error[i]);
        log_d.push_back(std::log(e.diffusion[i]));
        log_error.push_back(e.diffusion_error[i] / e.diffusion[i]);
    }
    if (known.x.size() < 4)
        throw NumericError(std::string("closure: ") + name +
                           " and diffusion are known at fewer than four values of the collective "
                           "variable");
    const double begin = known.x.front(), end = known.x.back();
    const double spacing = (end - begin) / static_cast<double>(known.x.size() - 1);
    if (e.period > 0 && e.period - (end - begin) < 2.5 * spacing) {
        // A turn before, one after, and its first value once more.
        period_ = e.period;
        std::size_t n = known.x.size();
        while (known.x[n - 1] > begin + period_ - 0.25 * spacing) --n;
        const auto turns = [n](const std::vector<double>& one, double step) {
            std::vector<double> all;
            for (std::size_t i = 0; i <= 3 * n; ++i)
                all.push_back(one[i % n] + step * (static_cast<double>(i / n) - 1));
            return all;
        };
        known = {turns(known.x, period_), turns(known.y, 0), turns(known.y_error, 0)};
        log_d = turns(log_d, 0);
        log_error = turns(log_error, 0);
    }
    from_ = first_ = known.x.front();
    to_ = last_ = known.x.back();
    log_diffusion_ = SmoothingSpline(known.x, log_d, log_error, diffusion_lambda);
    return known;
}

ReducedModel::ReducedModel(const ClosureEstimate& e, double drift_lambda, double diffusion_lambda) {
    const Known known = take(e, "drift", e.drift, e.drift_error, diffusion_lambda);
    drift_ = SmoothingSpline(known.x, known.y, known.y_error, drift_lambda);
    tabulate();
}

ReducedModel::ReducedModel(const ClosureEstimate& e, const std::vector<double>& log_density,
                           double diffusion_lambda) {
    const std::vector<double> exactly(log_density.size(), 0.0);
    const Known known = take(e, "density", log_density, exactly, diffusion_lambda);
    reversible_ = true;
    std::vector<double> x = known.x, y = known.y;
    double bin = 1e300;
    for (std::size_t i = 1; i < e.x.size(); ++i) bin = std::min(bin, e.x[i] - e.x[i - 1]);
    if (!ring()) {
        // Bins may hold samples, even the most of all, where D is not known.
        x.clear();
        y.clear();
        for (std::size_t i = 0; i < e.x.size(); ++i) {
            if (!std::isfinite(log_density[i])) continue;
            x.push_back(e.x[i]);
            y.push_back(log_density[i]);
        }
        from_ = x.front() - 0.5 * bin;
        to_ = x.back() + 0.5 * bin;
    }
    // A curve through the bins misses the mass of peaks that are narrower than one: times a factor,
    // it holds over every bin what the bin holds.
    const SmoothingSpline curve(x, y, std::vector<double>(x.size(), 0.0), 0);
    std::vector<double> factor;
    for (std::size_t i = 0; i < x.size(); ++i) {
        constexpr int kParts = 32;
        double held = 0;
        for (int j = 0; j < kParts; ++j)
            held += std::exp(curve(x[i] + bin * ((j + 0.5) / kParts - 0.5)) - y[i]) / kParts;
        factor.push_back(-std::log(held));
    }
    tabulate([&](double at_x) {
        const auto above = std::lower_bound(x.begin(), x.end(), at_x - 0.5 * bin);
        const auto i = std::min<std::ptrdiff_t>(above - x.begin(), std::ssize(x) - 1);
        return curve(at_x) + factor[static_cast<std::size_t>(i)];
    });
    std::vector<double> drift;
    for (const double c : known.x) {
        const double low = std::max(from_, c - width_), high = std::min(to_, c + width_);
        drift.push_back(-diffusion(c) *
                        (cumulative(potential_, high) - cumulative(potential_, low)) / (high - low));
    }
    drift_ = SmoothingSpline(known.x, drift, known.y_error, 0);
}

double ReducedModel::diffusion(double x) const {
    return std::exp(log_diffusion_(std::clamp(x, first_, last_)));
}

void ReducedModel::tabulate(const std::function<double(double)>& log_density) {
    width_ = (to_ - from_) / static_cast<double>(points_ - 1);
    potential_.resize(at(points_));
    d_.resize(at(points_));
    for (index i = 0; i < points_; ++i) {
        const double x = from_ + width_ * static_cast<double>(i);
        d_[at(i)] = diffusion(x);
        potential_[at(i)] =
            log_density ? -log_density(x) - std::log(d_[at(i)]) : -drift(x) / d_[at(i)];
    }
    if (!log_density) potential_ = running_integral(potential_, width_, false);
    const double least = *std::min_element(potential_.begin(), potential_.end());
    for (double& p : potential_) p -= least;
    integrate();
}

void ReducedModel::integrate() {
    // e^−Φ/D integrated from each end.
    std::vector<double> weight(at(points_));
    for (index i = 0; i < points_; ++i)
        weight[at(i)] = std::exp(-potential_[at(i)]) / d_[at(i)];
    mass_left_ = running_integral(weight, width_, true);
    mass_right_ = running_integral({weight.rbegin(), weight.rend()}, width_, true);
    std::reverse(mass_right_.begin(), mass_right_.end());
    if (!ring()) return;
    // p ~ e^−Φ/D ∫ e^Φ over the turn before, which holds for a tilted Φ too.
    const double highest = *std::max_element(potential_.begin(), potential_.end());
    ring_density_.assign(at(points_), 0.0);
    double sum = 0;
    for (index i = 0; i < points_; ++i) {
        const double x = from_ + width_ * static_cast<double>(i);
        if (x < from()) continue;
        ring_density_[at(i)] = weight[at(i)] * integral(x - period_, x, highest, nullptr);
        if (x < to()) sum += width_ * ring_density_[at(i)];
    }
    for (double& p : ring_density_) p /= sum;
}

double ReducedModel::wrapped(double x) const {
    return x - period_ * std::floor((x - from()) / period_);
}

ReducedModel::Exit ReducedModel::exit(double x, double left, double right) const {
    // Scale S = ∫ e^Φ and speed m = e^−Φ/D: T = (1 − q) ∫_l^x (S − S_l) m + q ∫_x^r (S_r − S) m.
    const index steps = 5 * (points_ - 1) / 4;
    const double h = (right - left) / static_cast<double>(steps);
    double highest = 0;
    for (index i = 0; i <= steps; ++i)
        highest = std::max(highest, cumulative(potential_, left + h * static_cast<double>(i)));
    std::vector<double> scale(at(steps + 1), 0.0), speed;
    double before = 0;
    for (index i = 0; i <= steps; ++i) {
        const double y = left + h * static_cast<double>(i);
        const double phi = cumulative(potential_, y), now = std::exp(phi - highest);
        if (i > 0) scale[at(i)] = scale[at(i - 1)] + 0.5 * h * (before + now);
        before = now;
        speed.push_back(std::exp(highest - phi) / cumulative(d_, y));
    }
    const double t = std::clamp((x - left) / h, 0.0, static_cast<double>(steps));
    const index c = std::min(static_cast<index>(t), steps - 1);
    const double all = scale.back(),
                 here = scale[at(c)] + (t - static_cast<double>(c)) * (scale[at(c + 1)] - scale[at(c)]);
    const double q = here / all;
    double time = 0;
    for (index i = 0; i <= steps; ++i) {
        const double s = scale[at(i)];
        time += h * (i == 0 || i == steps ? 0.5 : 1.0) * speed[at(i)] *
                (s < here ? (1 - q) * s : q * (all - s));
    }
    return {time, q};
}

// ∫_a^b e^(Φ − shift) f, by Simpson's rule.
double ReducedModel::integral(double a, double b, double shift,
                              const std::vector<double>* f) const {
    const auto value = [&](double x) {
        return std::exp(cumulative(potential_, x) - shift) * (f ? cumulative(*f, x) : 1.0);
    };
    a = std::clamp(a, from_, to_);
    b = std::clamp(b, from_, to_);
    const index pairs = std::max<index>(1, static_cast<index>(std::ceil(0.5 * (b - a) / width_)));
    const double h = 0.5 * (b - a) / static_cast<double>(pairs);
    double sum = value(b) - value(a);
    for (index i = 0; i < pairs; ++i) {
        const double x = a + 2 * h * static_cast<double>(i);
        sum += 2 * value(x) + 4 * value(x + h);
    }
    return sum * h / 3;
}

// By a cubic through four points, between the values at the two beside x: tables may leap.
double ReducedModel::cumulative(const std::vector<double>& table, double x) const {
    const double t = std::clamp((x - from_) / width_, 0.0, static_cast<double>(points_ - 1));
    const index i = std::min(static_cast<index>(t), points_ - 2);
    const double s = t - static_cast<double>(i), a = table[at(i)], b = table[at(i + 1)];
    const double line = a + s * (b - a);
    if (i == 0 || i + 2 == points_) return line;
    const double before = table[at(i - 1)], after = table[at(i + 2)];
    // Newton's form, about the line.
    const double second = 0.5 * (before - 2 * a + b), third = (after - 3 * b + 3 * a - before) / 6;
    return std::clamp(line + s * (s - 1) * (second + (s + 1) * third), std::min(a, b),
                      std::max(a, b));
}

double ReducedModel::density(double x) const {
    // A turn later, where the nodes on either side are known: none is below from().
    if (ring()) return cumulative(ring_density_, wrapped(x) + period_);
    if (x < from_ || x > to_) return 0;
    return std::exp(-cumulative(potential_, x)) / diffusion(x) / mass_left_.back();
}

double ReducedModel::mean_time(double start, double target) const {
    if (ring()) {
        const double x = wrapped(start), left = x - wrapped(x - target + from()) + from();
        return exit(x, left, left + period_).time;
    }
    return target >= start ? integral(start, target, 0, &mass_left_)
                           : integral(target, start, 0, &mass_right_);
}

double ReducedModel::committor(double x, double a, double b) const {
    if (ring()) {
        // How far behind x either lies, and how far ahead.
        const double u = wrapped(x - a + from()) - from(), v = wrapped(x - b + from()) - from();
        if (!(u > 0) || !(v > 0)) return u > 0 ? 1.0 : 0.0;
        const double here = wrapped(x);
        const Exit e = exit(here, here - std::min(u, v), here + period_ - std::max(u, v));
        // Behind the nearest one lies the other, ahead.
        return u < v ? e.right : 1 - e.right;
    }
    if (x <= a || x >= b) return x <= a ? 0.0 : 1.0;
    double shift = 0;
    for (index i = 0; i < points_; ++i) {
        const double y = from_ + width_ * static_cast<double>(i);
        if (y >= a && y <= b) shift = std::max(shift, potential_[at(i)]);
    }
    return integral(a, x, shift, nullptr) / integral(a, b, shift, nullptr);
}

// Finite volumes for L = π⁻¹ d(D π d): the off-diagonal is D/h².
ReducedModel::Generator ReducedModel::generator(index cells) const {
    Generator g{(to_ - from_) / static_cast<double>(cells), std::vector<double>(at(cells)),
                std::vector<double>(at(cells), 0.0), std::vector<double>(at(cells), 0.0)};
    for (index i = 0; i < cells; ++i) {
        const double x = from_ + g.h * (static_cast<double>(i) + 0.5);
        g.log_pi[at(i)] = -cumulative(potential_, x) - std::log(diffusion(x));
    }
    for (index i = 0; i + 1 < cells; ++i) {
        const double d = diffusion(from_ + g.h * static_cast<double>(i + 1)) / (g.h * g.h);
        const double half = 0.5 * (g.log_pi[at(i + 1)] - g.log_pi[at(i)]);
        g.diag[at(i)] += d * std::exp(half);
        g.diag[at(i + 1)] += d * std::exp(-half);
        g.off[at(i)] = d;  // with its sign turned
    }
    return g;
}

std::vector<std::vector<double>> ReducedModel::eigenfunctions(int count,
                                                              const std::vector<double>& x) const {
    if (ring()) {
        std::vector<double> start, values;
        for (index i = 0; i < cells_; ++i)
            start.push_back(std::cos(angle(i, cells_)) + 0.6 * std::sin(angle(i, cells_)));
        const std::vector<double> slow = ring_chain(cells_).slowest(std::move(start));
        for (const double at_x : x) {
            const index cell = std::min(
                cells_ - 1, static_cast<index>((wrapped(at_x) - from()) / period_ *
                                               static_cast<double>(cells_)));
            values.push_back(slow[at(folded(cell, cells_))]);
        }
        return {values};  // the slowest alone
    }
    const Generator g = generator(cells_);
    std::vector<std::vector<double>> out;
    const std::size_t n = at(cells_);
    for (const double rate : rates_on(cells_, count)) {
        // Inverse iteration, a little off the eigenvalue; the symmetric form's vector is ψ sqrt(π).
        std::vector<double> sub(n), diag(n), super(n), v(n);
        for (std::size_t i = 0; i < n; ++i) {
            sub[i] = i > 0 ? -g.off[i - 1] : 0.0;
            super[i] = -g.off[i];
            diag[i] = g.diag[i] - rate * (1 + 1e-7);
            v[i] = std::exp(0.5 * g.log_pi[i]) * (i < n / 2 ? -1.0 : 1.0) +
                   1e-3 * std::sin(static_cast<double>(i) + 1.0);
        }
        for (int round = 0; round < 4; ++round) {
            solve_tridiagonal(sub, diag, super, v);
            double norm = 0;
            for (double a : v) norm += a * a * g.h;
            for (double& a : v) a /= std::sqrt(norm);
        }
        // Where next to nothing ever is, the nearest value that means something.
        const double most = *std::max_element(g.log_pi.begin(), g.log_pi.end());
        std::size_t first = n, last = 0;
        for (std::size_t i = 0; i < n; ++i)
            if (g.log_pi[i] > most - 40) {
                first = std::min(first, i);
                last = i;
            }
        for (std::size_t i = 0; i < n; ++i) v[i] *= std::exp(-0.5 * g.log_pi[i]);
        for (std::size_t i = 0; i < n; ++i) v[i] = v[std::clamp(i, first, last)];
        std::vector<double> values;
        for (const double at_x : x) {
            const double t = std::clamp((at_x - from_) / g.h - 0.5, 0.0, static_cast<double>(n - 1));
            const std::size_t i = std::min(static_cast<std::size_t>(t), n - 2);
            const double f = t - static_cast<double>(i);
            values.push_back(v[i] + f * (v[i + 1] - v[i]));
        }
        out.push_back(std::move(values));
    }
    return out;
}

CellChain ReducedModel::ring_chain(index cells) const {
    const double h = period_ / static_cast<double>(cells);
    const auto log_pi = [&](double x) {
        return -cumulative(potential_, x) - std::log(cumulative(d_, x));
    };
    std::vector<CellChain::Edge> edges;
    double slow = diffusion(from()) / (period_ * period_);
    for (index i = 0; i < cells; ++i) {
        const double x = from() + h * (static_cast<double>(i) + 0.5), d = diffusion(x + 0.5 * h);
        edges.push_back({folded(i, cells), folded((i + 1) % cells, cells), d / (h * h),
                         log_pi(x + h) - log_pi(x)});
        slow = std::min(slow, d / (period_ * period_));
    }
    return CellChain(cells, std::move(edges), slow);
}

std::vector<double> ReducedModel::rates(int count) const {
    std::vector<double> found = rates_on(cells_, count);
    extrapolate(found, rates_on(cells_ / 2, count));
    return found;
}

std::vector<double> ReducedModel::rates_on(index cells, int count) const {
    if (ring()) {
        std::vector<std::vector<double>> waves(4, std::vector<double>(at(cells)));
        for (index i = 0; i < cells; ++i)
            for (int k = 0; k < 4; ++k)
                waves[static_cast<std::size_t>(k)][at(i)] =
                    k % 2 ? std::sin((k / 2 + 1) * angle(i, cells))
                          : std::cos((k / 2 + 1) * angle(i, cells));
        return ring_chain(cells).rates(count, std::move(waves));
    }
    const Generator g = generator(cells);
    const std::vector<double>&diag = g.diag, &off = g.off;
    double most = 0;
    for (index i = 0; i < cells; ++i) most = std::max(most, 2 * diag[at(i)]);
    // Eigenvalues below s, by Sturm's sequence.
    const auto below = [&](double s) {
        index n = 0;
        double p = 1;
        for (index i = 0; i < cells; ++i) {
            const double o = i > 0 ? off[at(i - 1)] : 0.0;
            p = diag[at(i)] - s - (i > 0 ? o * o / p : 0.0);
            if (std::fabs(p) < 1e-280) p = -1e-280;
            n += p < 0;
        }
        return n;
    };
    std::vector<double> found;
    for (int k = 1; k <= count; ++k) {
        double low = 0, high = most;
        for (int i = 0; i < 200 && high - low > 1e-13 * high; ++i) {
            const double middle = low > 0 ? std::sqrt(low * high) : high * 1e-3;
            if (below(middle) > k)
                high = middle;
            else if (middle < 1e-14 * most)
                break;
            else
                low = middle;
        }
        found.push_back(high);
    }
    return found;
}

ClosureEstimate invert_displacements(const std::vector<double>& x, double tau,
                                     const std::vector<double>& mean,
                                     const std::vector<double>& mean_error,
                                     const std::vector<double>& variance,
                                     const std::vector<double>& variance_error,
                                     ReducedModel& model, const ReducedModel* guess,
                                     double drift_lambda, double diffusion_lambda,
                                     double period, index steps, bool finer) {
    ClosureEstimate e;
    e.period = period;
    e.x = x;
    for (std::size_t i = 0; i < x.size(); ++i) {
        e.drift.push_back(mean[i] / tau);
        e.drift_error.push_back(mean_error[i] / tau);
        e.diffusion.push_back(variance[i] / (2 * tau));
        e.diffusion_error.push_back(variance_error[i] / (2 * tau));
    }
    // How much to smooth is read off what was measured: its errors are independent, those of the
    // estimates are not.
    if (drift_lambda < 0 || diffusion_lambda < 0) {
        model = ReducedModel(e);
        drift_lambda = model.drift_lambda();
        diffusion_lambda = model.diffusion_lambda();
    }
    if (steps == 1) {  // what one step shows is b and D, whatever lies between the values
        model = ReducedModel(e, drift_lambda, diffusion_lambda);
        return e;
    }
    if (guess) {
        for (std::size_t i = 0; i < x.size(); ++i) {
            const double d = guess->diffusion(x[i]);
            e.diffusion_error[i] *= d / e.diffusion[i];
            e.diffusion[i] = d;
            e.drift[i] = guess->drift(x[i]);
        }
        model = *guess;
    } else {
        model = ReducedModel(e, drift_lambda, diffusion_lambda);
    }
    std::vector<double> m, v;
    for (int round = 0; round < kFixedPointRounds; ++round) {
        (finer ? model.with_finer_curves() : model).displacement(x, tau, m, v, steps);
        double change = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const double drift = model.drift(x[i]) + (mean[i] - m[i]) / tau;
            const double ratio = std::clamp(variance[i] / std::max(v[i], 1e-300), 0.5, 2.0);
            const double diffusion = model.diffusion(x[i]) * ratio;
            change = std::max({change, std::fabs(drift - e.drift[i]) / e.drift_error[i],
                               std::fabs(diffusion - e.diffusion[i]) / e.diffusion_error[i]});
            // Errors grow with the estimates' distance from what was measured.
            e.diffusion_error[i] *= diffusion / e.diffusion[i];
            e.drift[i] = drift;
            e.diffusion[i] = diffusion;
        }
        model = ReducedModel(e, drift_lambda, diffusion_lambda);
        if (change < 0.02) break;
    }
    return e;
}

std::vector<double> leading_eigenvalues(const std::vector<double>& matrix, index n, int count) {
    const int p = static_cast<int>(std::min<index>(n, count + 2));
    std::vector<std::vector<double>> q(static_cast<std::size_t>(p), std::vector<double>(at(n)));
    for (int k = 0; k < p; ++k)
        for (index i = 0; i < n; ++i)
            q[static_cast<std::size_t>(k)][at(i)] =
                std::cos(3.14159265358979 * k * (static_cast<double>(i) + 0.5) /
                         static_cast<double>(n)) +
                1e-3 * std::sin(1.0 + static_cast<double>(i * (k + 2)));
    std::vector<double> values(static_cast<std::size_t>(p), 0.0);
    for (int round = 0; round < 2000; ++round) {
        double change = 0;
        std::vector<std::vector<double>> next = q;
        for (std::size_t k = 0; k < q.size(); ++k)
            for (index i = 0; i < n; ++i) {
                double sum = 0;
                for (index j = 0; j < n; ++j) sum += matrix[at(i * n + j)] * q[k][at(j)];
                next[k][at(i)] = sum;
            }
        for (std::size_t k = 0; k < q.size(); ++k) {
            double value = 0;
            for (index i = 0; i < n; ++i) value += q[k][at(i)] * next[k][at(i)];
            for (std::size_t l = 0; l < k; ++l) {
                double along = 0;
                for (index i = 0; i < n; ++i) along += q[l][at(i)] * next[k][at(i)];
                for (index i = 0; i < n; ++i) next[k][at(i)] -= along * q[l][at(i)];
            }
            double norm = 0;
            for (index i = 0; i < n; ++i) norm += next[k][at(i)] * next[k][at(i)];
            norm = std::sqrt(norm);
            if (!(norm > 0)) norm = 1;
            for (index i = 0; i < n; ++i) q[k][at(i)] = next[k][at(i)] / norm;
            if (round > 0 && static_cast<int>(k) < count)
                change = std::max(change, std::fabs(value - values[k]));
            values[k] = value;
        }
        if (round > 8 && change < 1e-13) break;
    }
    values.resize(static_cast<std::size_t>(std::min<int>(count, p)));
    return values;
}

}  // namespace microlift
