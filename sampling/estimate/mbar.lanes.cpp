#include "sampling/estimate/mbar.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/at.h"
#include "engine/stop.h"
#include "kernels/lane/math.h"
#include "sampling/estimate/estimators.h"
#include "sampling/numerics/statistics.h"

namespace microlift {

namespace {

constexpr double kNegligible = 44.0;  // terms below e^-44 of the largest are left out
constexpr double kListSlack = 2.0;    // a may move this far before the lists are made anew
// Added to the Hessian's diagonal, relative to the windows' populations: where windows share
// nothing, their difference stays where the start put it.
constexpr double kLeastDamping = 1e-12;
constexpr int kListCells1 = 512, kListCells2 = 48;

double residual_of(const std::vector<double>& gradient, const std::vector<double>& population) {
    double r = 0.0;
    for (std::size_t w = 0; w < gradient.size(); ++w)
        r = std::max(r, std::fabs(gradient[w]) / population[w]);
    return r;
}

// Free energies matter up to a constant: a_0 is the one to hold.
double largest_change(const std::vector<double>& step) {
    double most = 0.0;
    for (const double s : step) most = std::max(most, std::fabs(s - step[0]));
    return most;
}

}  // namespace

double Mixture::terms(const std::vector<double>& a, const double* x, std::vector<Term>& out) const {
    check_stop();
    out.clear();
    thread_local std::vector<double> t;
    t.resize(a.size());
    const index n = windows;
    for (index w = 0; w < n; ++w) {
        const double d = nearest_image(x[0] - center[at(w)], period[0]);
        t[at(w)] = a[at(w)] - half_stiffness[at(w)] * d * d;
    }
    if (dims == 2)
        for (index w = 0; w < n; ++w) {
            const double d = nearest_image(x[1] - center[at(n + w)], period[1]);
            t[at(w)] -= half_stiffness[at(n + w)] * d * d;
        }
    double top = t[0];
    for (index w = 1; w < n; ++w) top = std::max(top, t[at(w)]);
    double sum = 0.0;
    for (index w = 0; w < n; ++w)
        if (t[at(w)] > top - kNegligible) {
            const double e = exp<Portable>(t[at(w)] - top);
            out.push_back({w, e});
            sum += e;
        }
    for (Term& term : out) term.p /= sum;
    return top + log<Portable>(sum);
}

MixtureDerivatives mixture_derivatives(const Mixture& mixture, const GatheredSamples& samples,
                                       const std::vector<double>& a) {
    const index n = mixture.windows;
    MixtureDerivatives r;
    r.gradient.assign(at(n), 0.0);
    r.hessian.assign(at(n * n), 0.0);
    std::vector<Mixture::Term> terms;
    for (index m = 0; m < samples.points(); ++m) {
        const double c = samples.count[at(m)];
        r.objective += c * mixture.terms(a, &samples.x[at(m * mixture.dims)], terms);
        for (std::size_t i = 0; i < terms.size(); ++i) {
            const double cp = c * terms[i].p;
            r.gradient[at(terms[i].window)] += cp;
            double* row = &r.hessian[at(terms[i].window * n)];
            for (std::size_t j = i + 1; j < terms.size(); ++j)
                row[terms[j].window] -= cp * terms[j].p;
        }
    }
    // The diagonal as minus the sum of the row: P(1 − P) = Σ P P', without cancellation.
    for (index w = 0; w < n; ++w)
        for (index v = w + 1; v < n; ++v) {
            const double h = r.hessian[at(w * n + v)];
            r.hessian[at(v * n + w)] = h;
            r.hessian[at(w * n + w)] -= h;
            r.hessian[at(v * n + v)] -= h;
        }
    for (index w = 0; w < n; ++w) {
        r.objective -= mixture.population[at(w)] * a[at(w)];
        r.gradient[at(w)] -= mixture.population[at(w)];
    }
    return r;
}

std::vector<double> factor_hessian(std::vector<double> hessian, index n, double damping,
                                   const std::vector<double>& population) {
    const std::vector<double> original = hessian;
    double trace = 0.0;
    for (index w = 0; w < n; ++w) trace += hessian[at(w * n + w)];
    const double gauge = std::max(trace, 1e-300) / static_cast<double>(n * n);
    for (;; damping = std::max(10.0 * damping, 1e-12)) {
        hessian = original;
        for (double& h : hessian) h += gauge;
        for (index w = 0; w < n; ++w) hessian[at(w * n + w)] += damping * population[at(w)];
        if (cholesky_factor(hessian, n)) return hessian;
    }
}

// --- the start -----------------------------------------------------------------------------------

namespace {

// f_b − f_a = −ln⟨exp(u_a − u_b)⟩_a for one CV, window a being N(m, v).
double gaussian_difference(double m, double v, double ca, double sa, double cb, double sb) {
    const double curvature = 1.0 / v + sb - sa;
    if (!(curvature > 0.0))
        return 0.5 * (sb * ((m - cb) * (m - cb) + v) - sa * ((m - ca) * (m - ca) + v));
    // Relative to m, so that large coordinates do not cancel.
    const double b = sb * (cb - m) - sa * (ca - m);
    const double c = sb * (cb - m) * (cb - m) - sa * (ca - m) * (ca - m);
    return 0.5 * std::log(v * curvature) + 0.5 * (c - b * b / curvature);
}

}  // namespace

std::vector<double> gaussian_start(const Mixture& mixture, const std::vector<double>& mean,
                                   const std::vector<double>& variance) {
    const index n = mixture.windows;
    const int dims = mixture.dims;
    const auto distance = [&](index a, index b) {  // Bhattacharyya
        double d = 0.0;
        for (int k = 0; k < dims; ++k) {
            const double va = variance[at(a * dims + k)], vb = variance[at(b * dims + k)];
            const double delta =
                nearest_image(mean[at(a * dims + k)] - mean[at(b * dims + k)], mixture.period[k]);
            d += 0.25 * delta * delta / (va + vb) +
                 0.5 * std::log(0.5 * (va + vb) / std::sqrt(va * vb));
        }
        return d;
    };
    std::vector<double> f(at(n), 0.0), best(at(n), std::numeric_limits<double>::infinity());
    std::vector<index> parent(at(n), 0);
    std::vector<char> done(at(n), 0);
    index last = 0;
    done[0] = 1;
    for (index added = 1; added < n; ++added) {
        check_stop();
        index next = -1;
        for (index w = 0; w < n; ++w) {
            if (done[at(w)]) continue;
            const double d = distance(last, w);
            if (d < best[at(w)]) {
                best[at(w)] = d;
                parent[at(w)] = last;
            }
            if (next < 0 || best[at(w)] < best[at(next)]) next = w;
        }
        const index a = parent[at(next)];
        double df = 0.0;
        for (int k = 0; k < dims; ++k) {
            const double ca = mixture.center[at(k * n + a)], cb = mixture.center[at(k * n + next)];
            const double sa = 2.0 * mixture.half_stiffness[at(k * n + a)];
            const double sb = 2.0 * mixture.half_stiffness[at(k * n + next)];
            const double turns = whole_turns(cb - ca, mixture.period[k]);  // the two side by side
            df += 0.5 * gaussian_difference(mean[at(a * dims + k)], variance[at(a * dims + k)], ca,
                                            sa, cb - turns, sb) -
                  0.5 * gaussian_difference(mean[at(next * dims + k)],
                                            variance[at(next * dims + k)], cb, sb, ca + turns, sa);
        }
        f[at(next)] = f[at(a)] + df;
        done[at(next)] = 1;
        last = next;
    }
    std::vector<double> a(at(n));
    for (index w = 0; w < n; ++w) a[at(w)] = f[at(w)] + std::log(mixture.population[at(w)]);
    return a;
}

// --- Newton on the gathered samples --------------------------------------------------------------

MixtureSolution solve_gathered(const Mixture& mixture, const GatheredSamples& samples,
                               std::vector<double> start, double tolerance, index max_iterations) {
    const index n = mixture.windows;
    MixtureSolution s;
    s.a = std::move(start);
    double damping = kLeastDamping;
    MixtureDerivatives here = mixture_derivatives(mixture, samples, s.a);
    while (s.iterations < max_iterations) {
        ++s.iterations;
        const std::vector<double> factor =
            factor_hessian(here.hessian, n, damping, mixture.population);
        std::vector<double> step = here.gradient;
        cholesky_solve(factor, n, step.data(), 1);
        double expected = 0.0;
        std::vector<double> trial = s.a;
        for (index w = 0; w < n; ++w) {
            expected += 0.5 * step[at(w)] * here.gradient[at(w)];
            trial[at(w)] -= step[at(w)];
        }
        const double change = largest_change(step);
        MixtureDerivatives there = mixture_derivatives(mixture, samples, trial);
        // Near the minimum the gain drowns in rounding: then the gradient judges.
        const bool drowned = expected <= 1e-12 * std::fabs(here.objective);
        const double old_residual = residual_of(here.gradient, mixture.population);
        const double new_residual = residual_of(there.gradient, mixture.population);
        const bool better = drowned ? new_residual <= std::max(old_residual, 1e-12)
                                    : here.objective - there.objective > 0.1 * expected;
        if (better) {
            s.a = trial;
            here = std::move(there);
            damping = std::max(0.1 * damping, kLeastDamping);
        } else {
            damping = std::max(10.0 * damping, 1e-8);
            if (damping > 1e8) break;
        }
        s.residual = residual_of(here.gradient, mixture.population);
        if (s.residual <= 1e-13 || (better && change <= tolerance)) {
            s.converged = true;
            break;
        }
    }
    return s;
}

// --- all samples ---------------------------------------------------------------------------------

namespace {

// The windows on the device, sorted so that groups are compact, with the lists of groups that count
// in each cell of ξ.
class DeviceMixture {
public:
    DeviceMixture(Stream& stream, const Mixture& mixture, const double* range)
        : stream_(stream),
          mixture_(mixture),
          n_(mixture.windows),
          dims_(mixture.dims),
          padded_((mixture.windows + kWindowGroup - 1) / kWindowGroup * kWindowGroup) {
        sort_windows();
        for (int k = 0; k < dims_; ++k) {
            low_[k] = range[2 * k];
            const double spread = range[2 * k + 1] - range[2 * k];
            const double width = spread > 0 ? spread : 1.0;
            lists_.cells[k] = dims_ == 1 ? kListCells1 : kListCells2;
            lists_.from[k] = range[2 * k];
            cell_width_[k] = width / lists_.cells[k];
            lists_.inverse_width[k] = lists_.cells[k] / width;
        }
        lists_.dims = dims_;
        std::vector<double> c(at(dims_ * padded_), 0.0), h(at(dims_ * padded_), 0.0);
        for (int k = 0; k < dims_; ++k)
            for (index i = 0; i < n_; ++i) {
                c[at(k * padded_ + i)] = mixture.center[at(k * n_ + order_[at(i)])];
                h[at(k * padded_ + i)] = mixture.half_stiffness[at(k * n_ + order_[at(i)])];
            }
        center_ = Buffer<double>(stream.device(), dims_ * padded_);
        half_ = Buffer<double>(stream.device(), dims_ * padded_);
        a_ = Buffer<double>(stream.device(), padded_);
        sums_ = Buffer<double>(stream.device(), padded_ + 1);
        copy_to_device(stream, center_.span(), c.data());
        copy_to_device(stream, half_.span(), h.data());
    }

    // Σ_n P_w, by window.
    std::vector<double> pass(const BiasedSamples& samples, const std::vector<double>& a,
                             float* log_weight) {
        std::vector<double> sorted(at(padded_), -1e300);
        for (index i = 0; i < n_; ++i) sorted[at(i)] = a[at(order_[at(i)])];
        copy_to_device(stream_, a_.span(), sorted.data());
        double moved = listed_.empty() ? kListSlack + 1.0 : 0.0;
        for (std::size_t w = 0; w < listed_.size(); ++w)
            moved = std::max(moved, std::fabs((a[w] - listed_[w]) - (a[0] - listed_[0])));
        if (moved > kListSlack) make_lists(a);
        if (scratch_.size() == 0)
            scratch_ = Buffer<double>(stream_.device(), mixture_scratch(samples.n, padded_));
        MixtureTables t;
        t.dims = dims_;
        t.padded = static_cast<int32>(padded_);
        t.log_population = a_.data();
        t.center = center_.data();
        t.half_stiffness = half_.data();
        for (int k = 0; k < dims_; ++k) t.period[k] = mixture_.period[k];
        t.lists = lists_;
        t.list_start = start_.data();
        t.list_groups = groups_.data();
        mixture_pass(stream_, samples, t, scratch_.span(), sums_.span(), log_weight);
        const std::vector<double> sums = to_host(stream_, sums_.span());
        std::vector<double> by_window(at(n_));
        for (index i = 0; i < n_; ++i) by_window[at(order_[at(i)])] = sums[at(i)];
        return by_window;
    }

private:
    // One CV: by centre. Two: along a Z-curve, so that a group is a compact tile.
    void sort_windows() {
        std::vector<uint64> key(at(n_), 0);
        double low[kMaxCvs], high[kMaxCvs];
        for (int k = 0; k < dims_; ++k) {
            const double* c = &mixture_.center[at(k * n_)];
            low[k] = *std::min_element(c, c + n_);
            high[k] = *std::max_element(c, c + n_);
        }
        const int bits = dims_ == 1 ? 30 : 15;
        for (index w = 0; w < n_; ++w)
            for (int k = 0; k < dims_; ++k) {
                const double span = std::max(high[k] - low[k], 1e-300);
                const double u = (mixture_.center[at(k * n_ + w)] - low[k]) / span;
                const uint64 level = static_cast<uint64>(u * ((1 << bits) - 1));
                for (int b = 0; b < bits; ++b)
                    key[at(w)] |= ((level >> b) & 1) << (b * dims_ + (dims_ - 1 - k));
            }
        order_.resize(at(n_));
        std::iota(order_.begin(), order_.end(), index{0});
        std::stable_sort(order_.begin(), order_.end(),
                         [&](index x, index y) { return key[at(x)] < key[at(y)]; });
    }

    void make_lists(const std::vector<double>& a) {
        listed_ = a;
        const index cells = lists_.size();
        std::vector<int32> start{0}, groups;
        std::vector<double> upper(at(n_)), lower(at(n_));
        for (index cell = 0; cell < cells; ++cell) {
            check_stop();
            const index part[2] = {dims_ == 1 ? cell : cell / lists_.cells[1],
                                   dims_ == 1 ? 0 : cell % lists_.cells[1]};
            for (index i = 0; i < n_; ++i) upper[at(i)] = lower[at(i)] = a[at(order_[at(i)])];
            for (int k = 0; k < dims_; ++k) {
                // A hair wider than the cell: rounding may put a sample next door.
                const double x0 = low_[k] + (static_cast<double>(part[k]) - 0.01) * cell_width_[k];
                const double x1 = x0 + 1.02 * cell_width_[k];
                for (index i = 0; i < n_; ++i) {
                    const double c = mixture_.center[at(k * n_ + order_[at(i)])];
                    const double h = mixture_.half_stiffness[at(k * n_ + order_[at(i)])];
                    double near = std::max({x0 - c, c - x1, 0.0});
                    double far = std::max(std::fabs(x0 - c), std::fabs(x1 - c));
                    if (const double period = mixture_.period[k]; period > 0.0) {
                        const double half = 0.5 * (x1 - x0);
                        const double away = std::fabs(nearest_image(x0 + half - c, period));
                        near = std::max(away - half, 0.0);
                        far = std::min(away + half, 0.5 * period);
                    }
                    upper[at(i)] -= h * near * near;
                    lower[at(i)] -= h * far * far;
                }
            }
            const double top = *std::max_element(lower.begin(), lower.end());
            for (index g = 0; g < padded_ / kWindowGroup; ++g)
                for (index i = g * kWindowGroup; i < std::min((g + 1) * kWindowGroup, n_); ++i)
                    if (upper[at(i)] > top - kNegligible - 2.0 * kListSlack) {
                        groups.push_back(static_cast<int32>(g));
                        break;
                    }
            start.push_back(static_cast<int32>(groups.size()));
        }
        if (start_.size() == 0) start_ = Buffer<int32>(stream_.device(), cells + 1);
        if (groups_.size() < static_cast<index>(groups.size()))
            groups_ = Buffer<int32>(stream_.device(), static_cast<index>(groups.size()));
        copy_to_device(stream_, start_.span(), start.data());
        copy_to_device(stream_, groups_.span().subspan(0, static_cast<index>(groups.size())),
                       groups.data());
    }

    Stream& stream_;
    const Mixture& mixture_;
    index n_;
    int dims_;
    index padded_;
    std::vector<index> order_;
    std::vector<double> listed_;
    double low_[kMaxCvs]{}, cell_width_[kMaxCvs]{};
    CellGrid lists_;
    Buffer<double> center_, half_, a_, sums_, scratch_;
    Buffer<int32> start_, groups_;
};

}  // namespace

MixtureSolution solve_streaming(Stream& stream, const Mixture& mixture,
                                const BiasedSamples& samples, const double* range,
                                const GatheredSamples& gathered, std::vector<double> start,
                                double tolerance, index max_iterations, float* log_weight) {
    const index n = mixture.windows;
    DeviceMixture device(stream, mixture, range);
    MixtureSolution s;
    s.a = std::move(start);
    std::vector<double> factor;
    double previous = std::numeric_limits<double>::infinity();
    for (s.iterations = 1;; ++s.iterations) {
        if (factor.empty())
            factor = factor_hessian(mixture_derivatives(mixture, gathered, s.a).hessian, n,
                                    kLeastDamping, mixture.population);
        std::vector<double> step = device.pass(samples, s.a, log_weight);
        for (index w = 0; w < n; ++w) step[at(w)] -= mixture.population[at(w)];
        s.residual = residual_of(step, mixture.population);
        cholesky_solve(factor, n, step.data(), 1);
        const double change = largest_change(step);
        // The weights on the device belong to s.a as it stands now.
        s.converged = change <= tolerance || s.residual <= 1e-13;
        if (s.converged || s.iterations >= max_iterations) return s;
        if (!(change < 0.5 * previous)) factor.clear();  // a has moved: a fresh Hessian
        previous = change;
        for (index w = 0; w < n; ++w) s.a[at(w)] -= step[at(w)];
    }
}

void mixture_log_weights(Stream& stream, const Mixture& mixture, const BiasedSamples& samples,
                         const double* range, const std::vector<double>& a, float* log_weight) {
    DeviceMixture(stream, mixture, range).pass(samples, a, log_weight);
}

std::vector<double> window_overlaps(const Mixture& mixture, const GatheredSamples& samples,
                                    const std::vector<double>& a) {
    const index n = mixture.windows;
    std::vector<double> overlap(at(n * n), 0.0);
    std::vector<Mixture::Term> terms;
    for (index m = 0; m < samples.points(); ++m) {
        mixture.terms(a, &samples.x[at(m * mixture.dims)], terms);
        for (Mixture::Term& t : terms)
            t.p *= samples.count[at(m)] / mixture.population[at(t.window)];
        for (std::size_t i = 0; i < terms.size(); ++i)
            for (std::size_t j = i; j < terms.size(); ++j)
                overlap[at(terms[i].window * n + terms[j].window)] +=
                    std::min(terms[i].p, terms[j].p);
    }
    for (index w = 0; w < n; ++w)
        for (index v = 0; v < w; ++v) overlap[at(w * n + v)] = overlap[at(v * n + w)];
    return overlap;
}

std::vector<double> estimate_mbar(Estimation& e) {
    const EstimateOptions& options = e.options;
    // A start for the exact equations: a looser tolerance is enough.
    const MixtureSolution start = solve_gathered(
        e.mixture, e.cells.at_mean, gaussian_start(e.mixture, e.statistics.mean, e.statistics.variance),
        std::max(options.tolerance, 1e-4), options.max_iterations);
    MixtureSolution solution = solve_streaming(
        e.kept->stream, e.mixture, e.kept->samples, e.kept->range, e.cells.at_mean, start.a,
        options.tolerance, options.max_iterations, e.result.log_weight.data());
    solution.iterations += start.iterations;
    e.second = start.a;
    e.second_name = "WHAM";
    e.second_cause = "the estimate did not converge to one answer; do not trust it";
    return finish_mixture(e, solution);
}

}  // namespace microlift
