// States lifted at every bin and at chosen values, and how far they are from physics.
#include "sampling/run/run.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/random/streams.h"
#include "sampling/lift/proposals.h"

namespace microlift {

namespace {

constexpr index kHealedPerBin = 4096, kGeneratedPerBin = 20000;
constexpr index kPictures = 6;  // conditional densities shown in the report
constexpr double kIntegralError = 0.01;  // of a density that is believed

// Fewer states of many variables: each of them costs more, and tells more.
double share_of_states(int dim) {
    const double share = 10.0 / std::max(10, dim);
    return share * share * share;
}

}  // namespace

void Pipeline::write_conditional(const std::vector<Moments>& rows, const std::vector<std::string>& names) {
    std::vector<std::string> columns;
    for (int k = 0; k < grid_.dims; ++k) columns.push_back("cv_" + std::to_string(k + 1));
    columns.insert(columns.end(), {"variable", "mean", "mean_se", "variance", "source"});
    CsvWriter csv(dir_ / "conditional.csv", columns);
    for (const Moments& m : rows)
        for (std::size_t v = 0; v < names.size(); ++v)
            for (index b = 0; b < grid_.size(); ++b) {
                const std::size_t i = v * static_cast<std::size_t>(grid_.size()) + static_cast<std::size_t>(b);
                std::vector<CsvWriter::Cell> cells;
                for (int k = 0; k < grid_.dims; ++k) cells.emplace_back(grid_.centre(k, b));
                cells.insert(cells.end(), {names[v], m.mean[i], m.error[i], m.variance[i], m.source});
                csv.row(cells);
            }
    csv.finish();
}

Pipeline::Moments Pipeline::bin_moments(const std::string& source, const std::vector<float>& x, index n,
                    index per_bin, const std::vector<int>& which) const {
    Moments out{source, {}, {}, {}};
    for (int d : which)
        for (index b = 0; b < grid_.size(); ++b) {
            double sum = 0, squares = 0;
            const float* first = x.data() + d * n + b * per_bin;
            const double shift = static_cast<double>(first[0]);
            for (index i = 0; i < per_bin; ++i) {
                const double v = static_cast<double>(first[i]) - shift;
                sum += v;
                squares += v * v;
            }
            const double count = static_cast<double>(per_bin);
            const double variance = (squares - sum * sum / count) / (count - 1);
            out.mean.push_back(shift + sum / count);
            out.variance.push_back(variance);
            out.error.push_back(std::sqrt(std::max(variance, 0.0) / count));
        }
    return out;
}

std::vector<std::array<double, kMaxCvs>> some_of(
    const std::vector<std::array<double, kMaxCvs>>& all, index most) {
    std::vector<std::array<double, kMaxCvs>> some;
    const std::size_t count = std::min(static_cast<std::size_t>(most), all.size());
    for (std::size_t i = 0; i < count; ++i)
        some.push_back(all[count == 1 ? all.size() / 2 : i * (all.size() - 1) / (count - 1)]);
    return some;
}

std::vector<float> Pipeline::stored_cvs() {
    std::vector<float> xi(static_cast<std::size_t>(grid_.dims * samples_.n));
    for (int k = 0; k < grid_.dims; ++k)
        copy_to_host(stream_, xi.data() + k * samples_.n,
                     Span<const float>(samples_.xi.span().subspan(k * samples_.row, samples_.n)));
    return xi;
}

std::vector<std::array<double, kMaxCvs>> Pipeline::judged_values() const {
    const UmbrellaConfig& u = run_.umbrella;
    std::vector<std::array<double, kMaxCvs>> values;
    const auto at = [&](std::size_t k, double i) {
        return u.from[k] + (u.to[k] - u.from[k]) * i / std::max(1.0, static_cast<double>(u.windows[k] - 1));
    };
    if (grid_.dims == 1) {
        // Window centres and the points midway between them, in turn, without the two ends.
        const index places = std::max<index>(1, 2 * u.windows[0] - 3);
        const index count = std::min(run_.lifting.values, places);
        for (index i = 0; i < count; ++i) {
            const index place = 1 + (count == 1 ? places / 2 : i * (places - 1) / (count - 1));
            values.push_back({at(0, 0.5 * static_cast<double>(place)), 0.0});
        }
        return values;
    }
    const index side = std::max<index>(1, static_cast<index>(std::sqrt(static_cast<double>(run_.lifting.values))));
    for (index i = 0; i < side; ++i)
        for (index j = 0; j < side; ++j)
            values.push_back({at(0, (static_cast<double>(i) + 0.5) / static_cast<double>(side) * static_cast<double>(u.windows[0] - 1)),
                              at(1, (static_cast<double>(j) + 0.5) / static_cast<double>(side) * static_cast<double>(u.windows[1] - 1))});
    return values;
}

Buffer<float> Pipeline::conditions(const std::vector<std::array<double, kMaxCvs>>& values, index each) {
    const index n = static_cast<index>(values.size()) * each;
    std::vector<float> host(static_cast<std::size_t>(grid_.dims * n));
    for (int k = 0; k < grid_.dims; ++k)
        for (index j = 0; j < n; ++j)
            host[static_cast<std::size_t>(k * n + j)] =
                static_cast<float>(values[static_cast<std::size_t>(j / each)][static_cast<std::size_t>(k)]);
    Buffer<float> s(device_, grid_.dims * n);
    copy_to_device(stream_, s.span(), host.data());
    return s;
}

void Pipeline::warn_outside_data(const std::vector<double>& mean) {
    // Runs of neighbouring bins without a sample.
    std::string where;
    index missing = 0;
    const auto known = [&](index b) { return std::isfinite(mean[static_cast<std::size_t>(b)]); };
    for (index b = 0; b < grid_.size(); ++b) {
        if (known(b)) continue;
        ++missing;
        if (grid_.dims == 2 || (b > 0 && !known(b - 1))) continue;
        index last = b;
        while (last + 1 < grid_.size() && !known(last + 1)) ++last;
        where += (where.empty() ? " at " : ", ") + model_.cv_names()[0] + " = " +
                 number(grid_.centre(0, b)) +
                 (last > b ? " to " + number(grid_.centre(0, last)) : std::string());
    }
    if (missing > 0)
        warn("the generator was asked outside its data: " + std::to_string(missing) + " of " +
             std::to_string(grid_.size()) + " bins hold no samples" + where +
             "; lifted states there are extrapolated, add windows or narrow umbrella.from and to");
}

std::vector<int> Pipeline::generated_rows() const {
    if (!model_.observed()) return free_;
    std::vector<int> rows(static_cast<std::size_t>(model_.target_dim()));
    std::iota(rows.begin(), rows.end(), 0);
    return rows;
}

void Pipeline::lift(std::vector<Moments>& rows, const std::vector<std::string>& names) {
    StageMeter meter(metrics_["stages"], "lift");
    Lifter lifter(stream_, model_, Generator(stream_, dir_ / "generator.safetensors"),
                  run_.generator.project);
    const index heal_steps = healing_steps();
    const std::vector<int> which = generated_rows();
    const uint64 seed = derived_seed(run_.seed, 4000);

    // Moments at every bin.
    std::vector<std::array<double, kMaxCvs>> centers;
    for (index b = 0; b < grid_.size(); ++b)
        centers.push_back({grid_.centre(0, b), grid_.dims == 2 ? grid_.centre(1, b) : 0.0});
    const double share = share_of_states(model_.dim());
    const index budget = static_cast<index>(4000000 * share) / grid_.size();
    const index generated = std::clamp<index>(budget, 100, kGeneratedPerBin);
    progress_.begin("lift", 2, "passes");
    {
        const index n = grid_.size() * generated;
        const Buffer<float> s = conditions(centers, generated);
        Buffer<float> x(device_, lifter.dim() * n);
        lifter.lift(s.span(), n, seed, 0, x.span());
        rows.push_back(bin_moments("generator", to_host(stream_, Span<const float>(x.span())), n,
                                   generated, which));
    }
    if (rows.front().source == "physics") warn_outside_data(rows.front().mean);
    if (heal_steps > 0) {
        const index each = std::min(generated, std::clamp<index>(
                                         static_cast<index>(800000 * share) / grid_.size(), 100,
                                         kHealedPerBin));
        const index n = grid_.size() * each;
        const Buffer<float> s = conditions(centers, each);
        Buffer<float> x(device_, lifter.dim() * n);
        lifter.lift(s.span(), n, seed, 1ull << 40, x.span());
        meter.work(0, heal(stream_, model_, run_.integrator, s.span(), n, heal_steps,
                           derived_seed(run_.seed, 4001), 0, x.span(),
                           [](index) { throw_if_stopped(); }));
        rows.push_back(bin_moments("healed", to_host(stream_, Span<const float>(x.span())), n, each, which));
    }
    progress_.update(1);

    // Distributions at chosen values.
    const auto values = judged_values();
    const index each = run_.lifting.states;
    const index n = static_cast<index>(values.size()) * each;
    const Buffer<float> s = conditions(values, each);
    Buffer<float> x(device_, lifter.dim() * n);
    // A kind's rate of lifting, for the comparison.
    const auto timed = [&](Lifter& from, std::size_t kind) {
        const auto start = Clock::now();
        from.lift(s.span(), n, seed, 2ull << 40, x.span());
        stream_.synchronize();
        if (metrics_.contains("compare") && kind < metrics_["compare"].size())
            metrics_["compare"][kind]["states_per_second"] =
                static_cast<double>(n) / seconds_since(start);
    };
    timed(lifter, 0);
    const std::vector<float> before = to_host(stream_, Span<const float>(x.span()));
    metrics_["lifting"]["constraint_residual"] = residual(x, s, n);
    std::vector<float> after;
    if (heal_steps > 0) {
        meter.work(0, heal(stream_, model_, run_.integrator, s.span(), n, heal_steps,
                           derived_seed(run_.seed, 4002), 0, x.span(),
                           [](index) { throw_if_stopped(); }));
        after = to_host(stream_, Span<const float>(x.span()));
        metrics_["lifting"]["healed_constraint_residual"] = residual(x, s, n);
    }
    metrics_["lifting"]["heal_steps"] = heal_steps;
    metrics_["lifting"]["states"] = each;
    Others others;
    for (const std::string& kind : run_.generator.compare) {
        Lifter other(stream_, model_, Generator(stream_, dir_ / ("generator_" + kind + ".safetensors")),
                     run_.generator.project);
        timed(other, others.size() + 1);
        others.emplace_back(kind, to_host(stream_, Span<const float>(x.span())));
    }
    judge_distributions(values, each, before, after, others, which, names);
    progress_.end();
}

index Pipeline::healing_steps() {
    if (model_.observed() || !run_.generator.enabled) return 0;
    if (const std::string remark = healing_remark(run_.integrator);
        run_.lifting.heal_steps != 0 && !remark.empty())
        warn(remark);
    if (run_.lifting.heal_steps >= 0) return run_.lifting.heal_steps;
    if (healing_ >= 0) return healing_;
    constexpr index kValues = 9, kStates = 128;
    constexpr double kTimes = 5;  // e^−5 of a wrong start is left
    StageMeter meter(metrics_["stages"], "relax");
    Lifter lifter(stream_, model_, Generator(stream_, dir_ / "generator.safetensors"),
                  run_.generator.project);
    const auto values = some_of(judged_values(), kValues);
    const auto count = static_cast<index>(values.size());
    const index n = count * kStates;
    const Buffer<float> s = conditions(values, kStates);
    Buffer<float> x(device_, lifter.dim() * n);
    lifter.lift(s.span(), n, derived_seed(run_.seed, 4000), 3ull << 40, x.span());
    double work = 0;
    const auto times =
        relaxation_times(stream_, model_, run_.integrator, s.span(), n, kStates, x.span(),
                         run_.lifting.heal_limit, derived_seed(run_.seed, 4003), &work);
    meter.work(0, work);
    Json list = Json::array();
    double longest = 0;
    std::string slow;
    for (std::size_t v = 0; v < times.size(); ++v) {
        Json entry;
        for (int k = 0; k < grid_.dims; ++k)
            entry["cv"].push_back(values[v][static_cast<std::size_t>(k)]);
        entry["steps"] = times[v].steps;
        entry["resolved"] = times[v].resolved;
        list.push_back(entry);
        longest = std::max(longest, times[v].steps);
        if (!times[v].resolved) slow += (slow.empty() ? "" : ", ") + number(values[v][0]);
    }
    metrics_["lifting"]["relaxation"] = list;
    if (!slow.empty())
        warn("states do not relax within heal_limit = " + std::to_string(run_.lifting.heal_limit) +
             " steps at " + model_.cv_names()[0] + " = " + slow +
             ": healing mends the shape of a well there, not how many states each well holds");
    healing_ = slow.empty() ? std::min<index>(run_.lifting.heal_limit,
                                              static_cast<index>(std::ceil(kTimes * longest)))
                            : run_.lifting.heal_limit;
    return healing_;
}

void Pipeline::weigh_proposals(std::vector<Moments>& rows, const std::vector<std::string>& names) {
    if (run_.lifting.proposals == 0 || run_.generator.kind != "flow") return;
    Generator generator(stream_, dir_ / "generator.safetensors");
    const std::string refusal = proposals_refusal(model_, generator);
    if (!refusal.empty()) {
        warn("no importance weights and no Metropolis averages: " + refusal);
        return;
    }
    progress_.begin("weigh proposals", 1, "pass");
    StageMeter meter(metrics_["stages"], "weigh");
    const index bins = grid_.size(), F = static_cast<index>(names.size());
    const index each = std::max<index>(16, std::min(run_.lifting.proposals, 4000000 / bins));
    const index n = bins * each;
    std::vector<std::array<double, kMaxCvs>> centers;
    for (index b = 0; b < bins; ++b)
        centers.push_back({grid_.centre(0, b), grid_.dims == 2 ? grid_.centre(1, b) : 0.0});
    const Buffer<float> s = conditions(centers, each);
    Buffer<float> x(device_, model_.dim() * n), f(device_, F * n), weight(device_, n);
    Proposer proposer(stream_, model_, generator);
    proposer.propose(s.span(), n, derived_seed(run_.seed, 4004), kStreamProposal, 0, x.span(),
                     weight.span());
    for (index k = 0; k < F; ++k)
        copy(stream_, f.span().subspan(k * n, n),
             Span<const float>(x.span().subspan(free_[static_cast<std::size_t>(k)] * n, n)));
    const WeightedColumns columns{f.span(), n, F, weight.span(), bins, each};
    const ConditionalAverages importance = importance_averages(stream_, columns);
    rows.push_back({"importance", importance.mean, importance.error, importance.variance});
    const index length = each / 32;
    std::vector<double> acceptance;
    if (length >= 8) {
        const ConditionalAverages metropolis =
            metropolis_averages(stream_, columns, length, derived_seed(run_.seed, 4005));
        rows.push_back({"metropolis", metropolis.mean, metropolis.error, metropolis.variance});
        acceptance = metropolis.quality;
    }
    Json list = Json::array();
    double greatest = -1e300;
    for (const double z : importance.log_z)
        if (z > greatest) greatest = z;
    for (index b = 0; b < bins; ++b) {
        const auto i = static_cast<std::size_t>(b);
        Json entry;
        for (int k = 0; k < grid_.dims; ++k) entry["cv"].push_back(centers[i][static_cast<std::size_t>(k)]);
        entry["effective"] = importance.quality[i];
        if (!acceptance.empty()) entry["acceptance"] = acceptance[i];
        entry["unusable"] = importance.unusable[i];
        entry["free_energy"] = model_.kt() * (greatest - importance.log_z[i]);
        entry["free_energy_se"] = model_.kt() * importance.log_z_error[i];
        list.push_back(entry);
    }
    Json& record = metrics_["proposals"];
    record["each"] = each;
    record["values"] = list;
    const auto summarise = [&](const char* name, std::vector<double> values) {
        if (values.empty()) return;
        std::sort(values.begin(), values.end());
        record[name] = {{"median", values[values.size() / 2]}, {"worst", values.front()}};
    };
    summarise("acceptance", acceptance);
    summarise("effective", importance.quality);
    {
        // Is the density one? At some of the bins, the ends of the range among them.
        constexpr index kIntegrals = 9;
        const index points = names.size() == 1 ? 2000 : 160;
        const auto some = some_of(centers, kIntegrals);
        const std::vector<double> integrals = density_integrals(
            stream_, generator, grid_.dims, some, points, derived_seed(run_.seed, 4006));
        double farthest = 0;
        for (std::size_t i = 0; i < integrals.size(); ++i) {
            Json entry;
            for (int k = 0; k < grid_.dims; ++k)
                entry["cv"].push_back(some[i][static_cast<std::size_t>(k)]);
            entry["integral"] = integrals[i];
            record["integrals"].push_back(entry);
            farthest = std::max(farthest, std::fabs(integrals[i] - 1));
        }
        if (!integrals.empty()) record["worst_integral_error"] = farthest;
        if (farthest > kIntegralError)
            warn("the generator's density integrates to 1 only within " + number(100 * farthest) +
                 " %: its steps fold somewhere, and weights are off by as much; raise "
                 "generator.flow_steps or train longer");
    }
    const auto worst = [&](const std::vector<double>& values) {
        return static_cast<std::size_t>(std::min_element(values.begin(), values.end()) -
                                        values.begin());
    };
    const auto place = [&](std::size_t i) {
        return model_.cv_names()[0] + " = " + number(centers[i][0]);
    };
    constexpr double kLeastAcceptance = 0.05, kLeastEffective = 0.01;
    if (!acceptance.empty())
        if (const auto i = worst(acceptance); acceptance[i] < kLeastAcceptance)
            warn("hardly any of the generator's proposals is accepted at " + place(i) + " (" +
                 number(acceptance[i]) + "): the Metropolis averages there rest on few states");
    if (const auto i = worst(importance.quality); importance.quality[i] < kLeastEffective)
        warn("importance weights are uneven at " + place(i) + ": " +
             number(importance.quality[i] * static_cast<double>(each)) + " effective of " +
             std::to_string(each) + " proposals, their error bars cannot be trusted there");
    progress_.update(1);
    progress_.end();
}

std::vector<double> Pipeline::residuals(const Buffer<float>& x, const Buffer<float>& s, index n,
                                        index each) {
    std::vector<double> out(static_cast<std::size_t>(n / each), 0.0);
    if (model_.observed()) return out;  // ξ is not a function of what is generated
    const int outputs = static_cast<int>(model_.formulas().cv.outputs.size());
    Buffer<float> cv(device_, outputs * n);
    model_.evaluate_cvs(stream_, x.span(), n, n, cv.span(), n);
    const auto xi = to_host(stream_, Span<const float>(cv.span().subspan(0, grid_.dims * n)));
    const auto aim = to_host(stream_, Span<const float>(s.span()));
    for (std::size_t j = 0; j < xi.size(); ++j) {
        const double d = static_cast<double>(xi[j]) - static_cast<double>(aim[j]);
        out[j % static_cast<std::size_t>(n) / static_cast<std::size_t>(each)] += d * d;
    }
    for (double& r : out) r = std::sqrt(r / static_cast<double>(each));
    return out;
}

std::vector<index> Pipeline::samples_near(const std::vector<float>& xi, const std::array<double, kMaxCvs>& value,
                                double reach, index most) const {
    std::vector<index> found;
    for (index j = 0; j < samples_.n; ++j) {
        bool near = true;
        for (int k = 0; k < grid_.dims; ++k)
            near &= std::fabs(static_cast<double>(xi[static_cast<std::size_t>(k * samples_.n + j)]) -
                              value[static_cast<std::size_t>(k)]) < reach * grid_.width(k);
        if (near) found.push_back(j);
    }
    if (static_cast<index>(found.size()) <= most) return found;
    std::vector<index> kept;
    for (index i = 0; i < most; ++i)
        kept.push_back(found[static_cast<std::size_t>(i) * found.size() / static_cast<std::size_t>(most)]);
    return kept;
}

void Pipeline::judge_distributions(const std::vector<std::array<double, kMaxCvs>>& values, index each,
                         const std::vector<float>& before, const std::vector<float>& after,
                         const Others& others, const std::vector<int>& which, const std::vector<std::string>& names) {
    const index n = static_cast<index>(values.size()) * each;
    const std::optional<ExactModel> exact =
        model_.observed() ? std::nullopt : model_.exact();
    const bool has_exact = exact && model_.dim() == 2 && which.size() == 1;
    index row = 0;
    const Span<const float> y = targets(row);
    const std::vector<float> xi = stored_cvs();
    std::vector<std::vector<float>> physics;
    for (std::size_t v = 0; v < names.size(); ++v) {
        physics.emplace_back(static_cast<std::size_t>(samples_.n));
        copy_to_host(stream_, physics.back().data(), y.subspan(static_cast<index>(v) * row, samples_.n));
    }
    Json list = Json::array();
    std::vector<double> physics_w1, generator_w1, healed_w1;
    std::vector<std::vector<double>> other_w1(others.size());
    const std::size_t picture_every =
        std::max<std::size_t>(1, (values.size() - 1) / std::max<std::size_t>(1, kPictures - 1));
    Store pictures;
    std::vector<double> picture_cv;
    index picture = 0;
    for (std::size_t c = 0; c < values.size(); ++c) {
        const std::vector<index> near = samples_near(xi, values[c], 0.5, each);
        const bool pictured = c % picture_every == 0 && picture < kPictures;
        for (std::size_t v = 0; v < names.size(); ++v) {
            std::vector<float> nearby;
            for (index j : near) nearby.push_back(physics[v][static_cast<std::size_t>(j)]);
            std::optional<ExactConditional> law;
            if (has_exact) law = exact->at(values[c][0]);
            const ReferenceLaw reference(std::move(nearby), std::move(law));
            const auto judge_source = [&](const std::string& source, const std::vector<float>& sorted,
                                          std::vector<double>& sink, bool listed = true) {
                const double w1 = reference.distance(sorted);
                sink.push_back(w1);
                if (!listed) return;
                Json j;
                for (int k = 0; k < grid_.dims; ++k) j["cv"].push_back(values[c][static_cast<std::size_t>(k)]);
                j["variable"] = names[v];
                j["source"] = source;
                j["against"] = reference.name();
                j["w1_over_sigma"] = w1;
                j["floor"] = reference.floor(sorted.size());
                list.push_back(j);
            };
            const auto sorted_states = [&](const std::vector<float>& x) {
                const float* first = x.data() + which[v] * n + static_cast<index>(c) * each;
                std::vector<float> sorted(first, first + each);
                std::sort(sorted.begin(), sorted.end());
                return sorted;
            };
            if (reference.known()) {
                if (reference.exact() && reference.samples().size() >= ReferenceLaw::kLeastSamples)
                    judge_source("physics", reference.samples(), physics_w1);
                judge_source("generator", sorted_states(before), generator_w1);
                if (!after.empty()) judge_source("healed", sorted_states(after), healed_w1);
                for (std::size_t o = 0; o < others.size(); ++o)
                    judge_source(others[o].first, sorted_states(others[o].second), other_w1[o],
                                 false);
            }
            if (pictured && reference.exact()) {
                const ExactConditional& drawn = *reference.exact();
                std::vector<double> curve;
                for (std::size_t i = 0; i < drawn.y.size(); i += 16) {
                    curve.push_back(drawn.y[i]);
                    curve.push_back(drawn.density[i]);
                }
                const index points = static_cast<index>(curve.size() / 2);
                pictures.put(label("exact_" + names[v], picture), curve, {points, 2});
            }
        }
        if (!pictured) continue;
        const index shown = std::min<index>(each, 20000);
        const index dims = static_cast<index>(names.size());
        const auto put = [&](const std::string& source, index count, const auto& value_of) {
            if (count == 0) return;
            std::vector<float> table(static_cast<std::size_t>(count * dims));
            for (index i = 0; i < count; ++i)
                for (index v = 0; v < dims; ++v)
                    table[static_cast<std::size_t>(i * dims + v)] = value_of(i, static_cast<std::size_t>(v));
            pictures.put(label(source, picture), std::move(table), {count, dims});
        };
        put("physics", static_cast<index>(near.size()), [&](index i, std::size_t v) {
            return physics[v][static_cast<std::size_t>(near[static_cast<std::size_t>(i)])];
        });
        put("generator", shown, [&](index i, std::size_t v) {
            return before[static_cast<std::size_t>(which[v] * n + static_cast<index>(c) * each + i)];
        });
        if (!after.empty())
            put("healed", shown, [&](index i, std::size_t v) {
                return after[static_cast<std::size_t>(which[v] * n + static_cast<index>(c) * each + i)];
            });
        for (int k = 0; k < grid_.dims; ++k) picture_cv.push_back(values[c][static_cast<std::size_t>(k)]);
        ++picture;
    }
    pictures.put("cv", picture_cv, {picture, grid_.dims});
    std::string joined;
    for (const std::string& name : names) joined += (joined.empty() ? "" : ",") + name;
    pictures.attributes["variables"] = joined;
    pictures.save(dir_ / "lifted.h5", "lifted");

    Json& lifting = metrics_["lifting"];
    lifting["w1"] = list;
    const auto summarise = [&](const char* name, std::vector<double>& w1) {
        if (w1.empty()) return;
        std::sort(w1.begin(), w1.end());
        lifting[name] = {{"median", w1[w1.size() / 2]}, {"worst", w1.back()}};
    };
    const double worst = generator_w1.empty() ? 0 : *std::max_element(generator_w1.begin(), generator_w1.end());
    summarise("physics_w1", physics_w1);
    summarise("generator_w1", generator_w1);
    summarise("healed_w1", healed_w1);
    if (metrics_.contains("compare")) {
        Json& compared = metrics_["compare"];
        for (std::size_t k = 0; k < compared.size() && k <= others.size(); ++k) {
            std::vector<double>& w1 = k == 0 ? generator_w1 : other_w1[k - 1];
            if (w1.empty()) continue;
            std::sort(w1.begin(), w1.end());
            compared[k]["median"] = w1[w1.size() / 2];
            compared[k]["worst"] = w1.back();
        }
    }
    lifting["against"] = has_exact ? "exact" : "physics";
    if (worst > 0.1)
        warn("the generator is far from physics somewhere: worst W1/sigma " + number(worst) +
             "; see the conditional densities before using it there, or heal");
}

std::string Pipeline::label(const std::string& name, index number) {
    char text[16];
    std::snprintf(text, sizeof text, "_%03d", static_cast<int>(number));
    return name + text;
}

void Pipeline::write_exact() {
    const std::optional<ExactModel> exact = model_.observed() ? std::nullopt : model_.exact();
    if (!exact) return;
    std::vector<std::string> columns{"cv_1", "free_energy"};
    const bool other = model_.dim() == 2;
    if (other) {
        const std::string& name = model_.variables()[static_cast<std::size_t>(exact->other())];
        columns.insert(columns.end(), {"mean_" + name, "variance_" + name});
    }
    std::vector<ExactConditional> at;
    double least = 1e300;
    for (index b = 0; b < grid_.size(); ++b) {
        at.push_back(exact->at(grid_.centre(0, b)));
        least = std::min(least, -at.back().log_z * model_.kt());
    }
    CsvWriter csv(dir_ / "exact.csv", columns);
    for (index b = 0; b < grid_.size(); ++b) {
        const ExactConditional& e = at[static_cast<std::size_t>(b)];
        std::vector<CsvWriter::Cell> cells{grid_.centre(0, b), -e.log_z * model_.kt() - least};
        if (other) cells.insert(cells.end(), {e.mean, e.variance});
        csv.row(cells);
    }
    csv.finish();
}

}  // namespace microlift
