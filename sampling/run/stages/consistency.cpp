// May the generator be used, and where not? At a few values of ξ: how far lifted states are from
// physics, and how long short runs held on ξ take to forget where they started: from lifted states,
// from reweighted ones, from the nearest stored sample, from a minimised state.
//
// "Within error": at that time and all later ones, mean, variance and the shares below the reference's
// quartiles, of every generated variable over kEach states, differ from the reference by less than z
// joint standard errors (of kEach independent states, and of the reference), where z is such that kEach
// perfect states would fail somewhere in the run in one of a hundred cases at most.
#include "sampling/run/run.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "kernels/random/streams.h"
#include "sampling/numerics/distances.h"
#include "sampling/numerics/local_law.h"
#include "sampling/estimate/sample_kernels.h"
#include "sampling/lift/relax.h"

namespace microlift {

namespace {

constexpr index kValues = 9, kEach = 512;
constexpr double kWork = 3e8;      // trajectory-steps in all, and no more than twice what was sampled
constexpr double kFalseAlarm = 0.01;
// Runs take a fraction of the integrator's steps: one that starts from an exact sample is off by a
// fraction k dt of the variance of a mode of stiffness k in its first steps (Leimkuhler-Matthews).
constexpr index kFraction = 4;
constexpr index kCompared = 2000;  // states for distances
constexpr int kProjections = 32;
constexpr index kMinimise = 3000;  // steps down the gradient, of dt each

// |z| that the largest of `count` standard normal numbers exceeds with probability p at most.
double largest_deviation(double count, double p) {
    double low = 0, high = 40;
    for (int i = 0; i < 60; ++i) {
        const double middle = 0.5 * (low + high);
        (std::erfc(middle / std::sqrt(2.0)) > p / count ? low : high) = middle;
    }
    return high;
}

}  // namespace

void Pipeline::consistency() {
    if (model_.observed() || !model_.gradient() || free_.empty()) return;
    StageMeter meter(metrics_["stages"], "consistency");
    progress_.begin("consistency", 1, "pass");
    const auto values = some_of(judged_values(), kValues);
    const auto V = values.size();
    const auto F = free_.size(), D = static_cast<std::size_t>(model_.dim());
    const auto E = static_cast<std::size_t>(kEach);

    const std::vector<float> xi = stored_cvs();

    // What physics says: quadrature where there is one, else the samples.
    index row = 0;
    const Span<const float> y = targets(row);
    const ConditionalMoments m =
        conditional_moments(stream_, samples_.biased(), y, row, static_cast<index>(F), grid_,
                            error_blocks_);
    const std::optional<ExactModel> exact = model_.exact();
    const bool has_exact = exact && model_.dim() == 2 && F == 1;
    struct Moment {
        double value, error;
    };
    std::vector<Moment> mean(V * F), variance(V * F);
    for (std::size_t c = 0; c < V; ++c)
        for (std::size_t f = 0; f < F; ++f) {
            const auto v = static_cast<index>(f);
            if (has_exact) {
                const ExactConditional law = exact->at(values[c][0]);
                mean[c * F + f] = {law.mean, 0};
                variance[c * F + f] = {law.variance, 0};
            } else {
                mean[c * F + f] = {m.mean_at(v, values[c][0], values[c][1]),
                                   m.mean_error_at(v, values[c][0], values[c][1])};
                variance[c * F + f] = {m.variance_at(v, values[c][0], values[c][1]),
                                       m.variance_error_at(v, values[c][0], values[c][1])};
            }
        }

    // (κ − 1) of each law, κ its kurtosis: the variance of a variance of n states is var² (κ − 1) / n. Not
    // below a Gaussian's, which is on the safe side for laws of several narrow peaks.
    std::vector<double> excess(V * F, 2.0);
    // And its quartiles, with the errors of the shares below them: where the weights of two parts change
    // fast with ξ, samples moved by the mean would lie between the parts.
    using Quartiles = std::array<Moment, 3>;
    constexpr double kNotKnown = std::numeric_limits<double>::quiet_NaN();
    std::vector<Quartiles> quartiles(V * F);
    for (Quartiles& q : quartiles) q.fill({kNotKnown, 0});
    {
        std::vector<float> column(static_cast<std::size_t>(samples_.n));
        std::vector<std::vector<index>> near_value;
        std::vector<LocalLaw> laws;  // empty where quadrature gives the quartiles
        for (std::size_t c = 0; c < V; ++c) {
            near_value.push_back(samples_near(xi, values[c], 0.5, 10 * kCompared));
            if (has_exact) continue;
            const std::vector<index>& close = near_value.back();
            std::vector<double> away;
            for (int k = 0; k < grid_.dims; ++k)
                for (index j : close)
                    away.push_back(
                        static_cast<double>(xi[static_cast<std::size_t>(k * samples_.n + j)]) -
                        values[c][static_cast<std::size_t>(k)]);
            std::vector<index> blocks;
            std::size_t run = 0;
            for (index j : close) {
                while (j >= samples_.blocks[run].first + samples_.blocks[run].size()) ++run;
                blocks.push_back(block_division(samples_.blocks[run], error_blocks_)
                                     .block(j - samples_.blocks[run].first));
            }
            laws.emplace_back(grid_.dims, std::move(away), std::move(blocks), error_blocks_.count());
        }
        for (std::size_t f = 0; f < F; ++f) {
            copy_to_host(stream_, column.data(),
                         y.subspan(static_cast<index>(f) * row, samples_.n));
            for (std::size_t c = 0; c < V; ++c) {
                const std::vector<index>& close = near_value[c];
                if (close.size() < 1000) continue;
                double first = 0, second = 0, fourth = 0;
                const double count = static_cast<double>(close.size());
                for (index j : close) first += static_cast<double>(column[static_cast<std::size_t>(j)]);
                for (index j : close) {
                    const double d =
                        static_cast<double>(column[static_cast<std::size_t>(j)]) - first / count;
                    second += d * d;
                    fourth += d * d * d * d;
                }
                excess[c * F + f] = std::max(2.0, count * fourth / (second * second) - 1);
                if (has_exact) continue;
                std::vector<double> found;
                for (index j : close)
                    found.push_back(static_cast<double>(column[static_cast<std::size_t>(j)]));
                const std::vector<double> bounds = laws[c].quantiles(found, {0.25, 0.5, 0.75});
                for (std::size_t q = 0; q < 3; ++q)
                    quartiles[c * F + f][q] = {bounds[q], laws[c].share_error(found, bounds[q])};
            }
        }
    }

    if (has_exact)
        for (std::size_t c = 0; c < V; ++c) {
            const ExactConditional law = exact->at(values[c][0]);
            for (std::size_t q = 0; q < 3; ++q)
                quartiles[c][q] = {law.quantile(0.25 * static_cast<double>(q + 1)), 0};
        }

    // Starting states, source by source: (dim, source, value, replica).
    Lifter lifter(stream_, model_, Generator(stream_, dir_ / "generator.safetensors"),
                  run_.generator.project);
    LiftedMoves moves(stream_, model_, lifter, values, moves_config(derived_seed(run_.seed, 9000)));
    std::vector<std::string> sources{"lifted"};
    if (moves.coordinates()) sources.push_back("reweighted");
    sources.insert(sources.end(), {"nearest", "minimised"});
    const std::size_t S = sources.size(), block = V * E, n = S * block;
    const auto N = static_cast<index>(n);
    std::vector<float> start(D * n), aim(static_cast<std::size_t>(grid_.dims) * n);
    const Buffer<float> s = conditions(values, kEach);
    const auto put = [&](std::size_t source, const std::vector<float>& x) {  // (dim, value, replica)
        for (std::size_t d = 0; d < D; ++d)
            std::copy_n(x.begin() + static_cast<std::ptrdiff_t>(d * block), block,
                        start.begin() + static_cast<std::ptrdiff_t>(d * n + source * block));
    };
    Buffer<float> x(device_, static_cast<index>(D * block));
    lifter.lift(s.span(), static_cast<index>(block), derived_seed(run_.seed, 9001), 0, x.span());
    const double lifted_residual = residual(x, s, static_cast<index>(block));
    const std::vector<float> as_lifted = to_host(stream_, Span<const float>(x.span()));
    // As healing begins: outliers that no integrator bears are led back first.
    calm(stream_, model_, run_.integrator, s.span(), static_cast<index>(block), x.span());
    const std::vector<float> calmed = to_host(stream_, Span<const float>(x.span()));
    index outliers = 0;
    for (std::size_t i = 0; i < block; ++i) {
        double moved = 0;
        for (std::size_t d = 0; d < D; ++d)
            moved = std::max(moved, std::fabs(static_cast<double>(calmed[d * block + i]) -
                                              static_cast<double>(as_lifted[d * block + i])));
        outliers += moved > 1e-4;
    }
    put(0, calmed);
    if (moves.coordinates()) {
        moves.start(kEach, x.span(), true);
        put(1, to_host(stream_, Span<const float>(x.span())));
    }
    // The stored sample whose ξ is nearest, moved onto the value; and the same, minimised.
    std::vector<float> near(D * V);
    for (std::size_t c = 0; c < V; ++c) {
        index best = 0;
        double least = 1e300;
        for (index j = 0; j < samples_.n; ++j) {
            double apart = 0;
            for (int k = 0; k < grid_.dims; ++k) {
                const double d = (static_cast<double>(xi[static_cast<std::size_t>(k * samples_.n + j)]) -
                                  values[c][static_cast<std::size_t>(k)]) / grid_.width(k);
                apart += d * d;
            }
            if (apart < least) {
                least = apart;
                best = j;
            }
        }
        for (std::size_t d = 0; d < D; ++d)
            copy_to_host(stream_, near.data() + d * V + c,
                         Span<const float>(samples_.x.span().subspan(
                             static_cast<index>(d) * samples_.row + best, 1)));
    }
    const auto count = static_cast<index>(V);
    Buffer<float> few(device_, static_cast<index>(D) * count);
    const Buffer<float> few_s = conditions(values, 1);
    const auto spread = [&](std::size_t source) {
        const std::vector<float> host = to_host(stream_, Span<const float>(few.span()));
        std::vector<float> all(D * block);
        for (std::size_t d = 0; d < D; ++d)
            for (std::size_t i = 0; i < block; ++i) all[d * block + i] = host[d * V + i / E];
        put(source, all);
    };
    copy_to_device(stream_, few.span(), near.data());
    model_.project(stream_, few_s.span(), count, count, few.span(), count, 10);
    spread(S - 2);
    {
        // Noiseless: the drift at infinite β is the force; held on ξ by Newton steps.
        const ColumnProgram force(device_, model_.formulas().force);
        Buffer<float> f(device_, force.outputs() * count);
        for (index step = 0; step < kMinimise; ++step) {
            force.run(stream_, few.span(), count, count, f.span(), count);
            descend(stream_, f.span(), static_cast<float>(run_.integrator.dt),
                    few.span().subspan(0, static_cast<index>(D) * count));
            if (step % 10 == 9 || step + 1 == kMinimise)
                model_.project(stream_, few_s.span(), count, count, few.span(), count, 1);
        }
        spread(S - 1);
    }

    // Runs held on ξ, all sources at once; moments after 0, 1, 2, 3, 4, 6, 9, … steps of the integrator.
    const index most = std::clamp<index>(
        static_cast<index>(std::min(kWork, 2 * force_evaluations_spent()) /
                           static_cast<double>(kFraction * N)), 200,
        std::max<index>(10000, 5 * run_.lifting.heal_steps));
    std::vector<index> times{0};
    for (index t = 1; t < most; t = std::max(t + 1, t * 3 / 2)) times.push_back(t);
    times.push_back(most);
    const double within =
        largest_deviation(static_cast<double>(5 * F * times.size()), kFalseAlarm);
    IntegratorConfig integrator = run_.integrator;
    integrator.dt /= static_cast<double>(kFraction);
    PathSetup setup = model_.path_setup(integrator);
    setup.constrained = true;
    const std::shared_ptr<const PathKernel> kernel = model_.path_kernel(setup);
    Ensemble ensemble(stream_, kernel, N, derived_seed(run_.seed, 9002), kStreamHeal);
    copy_to_device(stream_, ensemble.x(), start.data());
    for (int k = 0; k < grid_.dims; ++k)
        for (std::size_t i = 0; i < n; ++i)
            aim[static_cast<std::size_t>(k) * n + i] =
                static_cast<float>(values[i % block / E][static_cast<std::size_t>(k)]);
    copy_to_device(stream_, ensemble.center(), aim.data());
    // z[time][source][value]: the worst moment, in joint standard errors.
    std::vector<std::vector<double>> z;
    for (index t : times) {
        ensemble.advance(static_cast<uint64>(kFraction * t) - ensemble.step());
        throw_if_stopped();
        const std::vector<float> now = to_host(stream_, Span<const float>(ensemble.x()));
        std::vector<double> worst(S * V, 0.0);
        for (std::size_t source = 0; source < S; ++source)
            for (std::size_t c = 0; c < V; ++c)
                for (std::size_t f = 0; f < F; ++f) {
                    const float* first = now.data() + static_cast<std::size_t>(free_[f]) * n +
                                         source * block + c * E;
                    const Moment mu = mean[c * F + f], var = variance[c * F + f];
                    const Quartiles& bound = quartiles[c * F + f];
                    double a = 0, b = 0, below[3] = {0, 0, 0};
                    for (std::size_t i = 0; i < E; ++i) {
                        const double d = static_cast<double>(first[i]) - mu.value;
                        a += d;
                        b += d * d;
                        for (std::size_t q = 0; q < 3; ++q)
                            below[q] += static_cast<double>(first[i]) < bound[q].value;
                    }
                    const double size = static_cast<double>(E);
                    const double a_z =
                        std::fabs(a / size) / std::hypot(std::sqrt(var.value / size), mu.error);
                    const double b_z =
                        std::fabs(b / size - var.value) /
                        std::hypot(var.value * std::sqrt(excess[c * F + f] / size), var.error);
                    double& w = worst[source * V + c];
                    // A state that blew up is as far off as can be; a reference that is not known
                    // says nothing.
                    if (!std::isfinite(a) || !std::isfinite(b)) w = 1e30;
                    for (double v : {a_z, b_z})
                        if (std::isfinite(v)) w = std::max(w, v);
                    for (std::size_t q = 0; q < 3; ++q) {
                        const double p = 0.25 * static_cast<double>(q + 1);
                        const double q_z = std::fabs(below[q] / size - p) /
                                           std::hypot(std::sqrt(p * (1 - p) / size), bound[q].error);
                        if (std::isfinite(bound[q].value) && std::isfinite(q_z)) w = std::max(w, q_z);
                    }
                }
        z.push_back(worst);
    }
    meter.work(0, ensemble.force_evaluations());

    // Distances in conditional deviations, and the floor between two halves of the physics samples.
    Buffer<float> lifted(device_, static_cast<index>(D) * kCompared);
    Json& record = metrics_["consistency"];
    record = Json::object();
    record["against"] = has_exact ? "exact" : "physics";
    record["steps"] = times;
    record["most_steps"] = most;
    record["states"] = kEach;
    record["within"] = within;  // standard errors
    record["outliers"] = static_cast<double>(outliers) / static_cast<double>(block);
    record["constraint_residual"] = lifted_residual;
    std::vector<double> ratios;
    for (std::size_t c = 0; c < V; ++c) {
        Json j;
        for (int k = 0; k < grid_.dims; ++k) j["cv"].push_back(values[c][static_cast<std::size_t>(k)]);
        std::vector<double> settled(S);
        for (std::size_t source = 0; source < S; ++source) {
            // After the last time outside.
            index steps = 0;
            bool never = false;
            Json curve = Json::array();
            for (std::size_t t = 0; t < times.size(); ++t) {
                const double value = z[t][source * V + c];
                curve.push_back(value);
                if (value > within) {
                    never = t + 1 == times.size();
                    if (!never) steps = times[t + 1];
                }
            }
            j["relaxation"][sources[source]] = never ? Json() : Json(steps);
            j["curve"][sources[source]] = curve;
            settled[source] = never ? 1e300 : static_cast<double>(steps);
        }
        const double after = S == 4 ? std::min(settled[0], settled[1]) : settled[0];
        const double naive =
            std::min({settled[S - 2], settled[S - 1], static_cast<double>(most)});
        j["share_of_naive"] = after > 1e200 ? Json() : Json(naive > 0 ? after / naive : 1.0);

        const std::vector<index> close = samples_near(xi, values[c], 0.5, 2 * kCompared);
        const auto half = static_cast<index>(close.size() / 2);
        if (half >= 200) {
            std::vector<float> halves(F * close.size()), made(F * static_cast<std::size_t>(half));
            const std::vector<std::array<double, kMaxCvs>> here{values[c]};
            const Buffer<float> at = conditions(here, half);
            lifter.lift(at.span(), half, derived_seed(run_.seed, 9100 + c), 0,
                        lifted.span().subspan(0, static_cast<index>(D) * half));
            const std::vector<float> states = to_host(
                stream_, Span<const float>(lifted.span().subspan(0, static_cast<index>(D) * half)));
            std::vector<float> column(static_cast<std::size_t>(samples_.n));
            for (std::size_t f = 0; f < F; ++f) {
                copy_to_host(stream_, column.data(),
                             y.subspan(static_cast<index>(f) * row, samples_.n));
                const double unit = 1 / std::sqrt(variance[c * F + f].value);
                const double middle = mean[c * F + f].value;
                const auto scaled = [&](float v) {
                    return static_cast<float>((static_cast<double>(v) - middle) * unit);
                };
                for (index i = 0; i < half; ++i) {
                    // Even and odd ones, (variable, half).
                    for (index h = 0; h < 2; ++h)
                        halves[(static_cast<std::size_t>(h) * F + f) * static_cast<std::size_t>(half) +
                               static_cast<std::size_t>(i)] =
                            scaled(column[static_cast<std::size_t>(close[static_cast<std::size_t>(2 * i + h)])]);
                    made[f * static_cast<std::size_t>(half) + static_cast<std::size_t>(i)] =
                        scaled(states[static_cast<std::size_t>(free_[f]) * static_cast<std::size_t>(half) +
                                      static_cast<std::size_t>(i)]);
                }
            }
            const index size = static_cast<index>(F) * half;
            Buffer<float> physics(device_, 2 * size), generated(device_, size);
            copy_to_device(stream_, physics.span(), halves.data());
            copy_to_device(stream_, generated.span(), made.data());
            const SampleView a{physics.span().subspan(0, size), half, half},
                b{physics.span().subspan(size, size), half, half}, g{generated.span(), half, half};
            const int variables = static_cast<int>(F);
            j["compared"] = half;
            j["energy_distance"] = energy_distance(stream_, variables, g, a);
            j["energy_floor"] = std::fabs(energy_distance(stream_, variables, b, a));
            j["sliced_w1"] = sliced_wasserstein(stream_, variables, g, a, kProjections, 1, 1);
            j["sliced_floor"] = sliced_wasserstein(stream_, variables, b, a, kProjections, 1, 1);
        }
        record["values"].push_back(j);
    }
    progress_.end();
}

}  // namespace microlift
