// First passages and committors, of the full model by direct simulation and of reduced models by the
// same.
#include <algorithm>
#include <cmath>

#include "sampling/closure/observed_passages.h"
#include "sampling/run/stages/close/close.h"

namespace microlift {

namespace {

constexpr index kTable = 2048;            // points of a simulated reduced model
constexpr index kCommittorRuns = 48 * 1024;  // from all values between the sets
constexpr index kReducedPassages = 4096;  // at most, of each reduced model: a check of its quadrature

}  // namespace

PassageOptions ClosureStage::passage_options(uint64 part) {
    PassageOptions options;
    options.dt = dt_;
    options.seed = derived_seed(config_.seed, part);
    options.max_steps = static_cast<uint64>(c_.passage_steps);
    options.after = [this](double share) {
        progress_.update(share);
        throw_if_stopped();
    };
    return options;
}

CvValue ClosureStage::passage_from() const {
    return {c_.passage_from[0], K_ == 2 ? c_.passage_from[1] : 0.0};
}

CvValue ClosureStage::passage_to(std::size_t target) const {
    if (K_ == 1) return {c_.passage_to[target], 0.0};
    return {c_.passage_to[2 * target], c_.passage_to[2 * target + 1]};
}

std::array<PassageSet, 2> ClosureStage::passage_sets(std::size_t target) const {
    const CvValue to = passage_to(target);
    const double from = c_.passage_from[0];
    if (K_ == 2) return {PassageSet{}, ellipse(to, c_.passage_radius, rings())};
    if (!ring(0)) return {PassageSet{}, to[0] >= from ? above(0, to[0]) : below(0, to[0])};
    const double period = config_.cv.variables[0].period;
    const double left = to[0] + period * std::floor((from - to[0]) / period);
    return {below(0, left), above(0, left + period)};
}

Json ClosureStage::json_of(const CvValue& value) const {
    return K_ == 1 ? Json(value[0]) : Json{value[0], value[1]};
}

std::string ClosureStage::text_of(const CvValue& value) const {
    return K_ == 1 ? number(value[0]) : "(" + number(value[0]) + ", " + number(value[1]) + ")";
}

bool ClosureStage::covers(const ReducedModel& m, double to) const {
    const double from = c_.passage_from[0];
    return m.ring() || (std::min(from, to) >= m.from() && std::max(from, to) <= m.to());
}

bool ClosureStage::covers(const ReducedModelOfTwo& m, const EllipseSet& set) const {
    constexpr index side = ReducedModelOfTwo::kSide;
    EllipseSet reach = set;  // a set that is smaller than a cell lies in one
    for (std::size_t k = 0; k < 2; ++k)
        reach.radius[k] += (m.to()[k] - m.from()[k]) / static_cast<double>(side);
    for (index cell = 0; cell < side * side; ++cell)
        if (m.inside(cell) && reach.level(m.centre(cell)) <= 0) return true;
    return false;
}

void ClosureStage::warn_beyond() {
    for (std::size_t i = 0; i < targets(); ++i) {
        std::string names;
        each_source([&](const ClosureFigures& s) {
            if (!std::isfinite(s.times[i].value)) names += (names.empty() ? "" : ", ") + s.name;
        });
        if (names.empty()) continue;
        add_warning("closure: the passage from " + text_of(passage_from()) + " to " +
                    text_of(passage_to(i)) + " leads beyond the end of the reduced model (" + names +
                    "), which knows nothing there; its time is null: sample further (umbrella.from, "
                    "umbrella.to), or ask for a nearer value");
    }
}

void ClosureStage::passages() {
    if (c_.passage_to.empty()) return;
    const index n = c_.passages;
    each_source([&](auto& s) {
        if (s.name == "conditional" || s.name == "burst") simulate(s);
    });
    if (!free_runs_) return;
    Buffer<float> start;
    if (!c_.passage_state.empty()) {
        std::vector<float> host;
        for (double v : c_.passage_state)
            host.insert(host.end(), static_cast<std::size_t>(n), static_cast<float>(v));
        start = Buffer<float>(stream_.device(), model_.dim() * n);
        copy_to_device(stream_, start.span(), host.data());
    } else {
        spacing_ = {grid_.width(0), K_ == 2 ? grid_.width(1) : 1.0};
        start = starts({passage_from()}, n, 5030);
    }
    const auto kernel = model_.molecule()
                            ? nullptr
                            : passage_kernel(model_, model_.path_setup(config_.integrator));
    for (std::size_t i = 0; i < targets(); ++i) {
        progress_.begin("first passages to " + text_of(passage_to(i)), 1, "of them");
        const auto sets = passage_sets(i);
        const PassageOptions options = passage_options(5040 + i);
        const PassageResult r =
            kernel ? run_passages(stream_, *kernel, start.span(), n, sets[0], sets[1], options)
                   : run_observed_passages(stream_, model_, config_.integrator, start.span(), n, sets[0],
                                           sets[1], options);
        meter_.work(r.steps, r.force_evaluations);
        progress_.end();
        direct_.push_back(mean_passage_time(r));
        if (direct_.back().unfinished > 0)
            add_warning(std::to_string(direct_.back().unfinished) + " of " + std::to_string(n) +
                  " first passages to " + text_of(passage_to(i)) +
                  " were not over after closure.passage_steps; the mean takes them for "
                  "exponential");
    }
}

void ClosureStage::simulate(ClosureSource& s) {
    // A ring: a turn to both sides, which no passage leaves.
    const double margin = (s.model.ring() ? 1.0 : 0.25) * (s.model.to() - s.model.from());
    const double low = s.model.from() - margin, high = s.model.to() + margin;
    std::vector<float> drift, sigma;
    for (index i = 0; i < kTable; ++i) {
        const double x =
            low + (high - low) * static_cast<double>(i) / static_cast<double>(kTable - 1);
        // A drift that would lead out beyond the ends is turned back.
        double b = s.model.drift(x);
        if (x > s.model.to() && !s.model.ring()) b = std::min(b, s.model.diffusion(x) / margin * -20);
        if (x < s.model.from() && !s.model.ring()) b = std::max(b, s.model.diffusion(x) / margin * 20);
        drift.push_back(static_cast<float>(b));
        sigma.push_back(static_cast<float>(std::sqrt(2 * s.model.diffusion(x))));
    }
    Buffer<float> drift_table(stream_.device(), kTable), sigma_table(stream_.device(), kTable);
    copy_to_device(stream_, drift_table.span(), drift.data());
    copy_to_device(stream_, sigma_table.span(), sigma.data());
    simulate(s, *table_passage_kernel(low, high, drift_table.span(), sigma_table.span(),
                                      config_.integrator.portable_math));
}

void ClosureStage::simulate(ClosureFigures& s, const PassageKernel& kernel) {
    const index n = std::min(c_.passages, kReducedPassages);
    const CvValue from = passage_from();
    const Buffer<float> start = conditions(run_, {from}, n);
    for (std::size_t i = 0; i < targets(); ++i) {
        if (!std::isfinite(s.times[i].value)) {
            s.simulated.push_back({s.times[i].value, s.times[i].value});
            continue;
        }
        progress_.begin("reduced model, " + s.name, 1, "of its passages");
        const auto sets = passage_sets(i);
        const PassageResult r = run_passages(stream_, kernel, start.span(), n, sets[0], sets[1],
                                             passage_options(5060 + i));
        progress_.end();
        s.simulated.push_back(mean_passage_time(r));
        const MeanTime& steps = s.simulated.back();
        const double apart = std::fabs(steps.mean - s.times[i].value);
        if (apart > 5 * steps.error && apart > 0.1 * s.times[i].value)
            add_warning("closure, " + s.name + ": to " + text_of(passage_to(i)) +
                        " the reduced model takes " + number(s.times[i].value) +
                        " by quadrature and " + number(steps.mean) + " +- " + number(steps.error) +
                        " by steps of " + number(dt_) +
                        ": choose a smaller closure.dt");
    }
}

std::vector<Figure> ClosureStage::committor_at(const ClosureSource& s,
                                               const std::vector<CvValue>& x) const {
    const double from = c_.passage_from[0], to = c_.passage_to.back();
    const bool known = covers(s.model, to);
    return s.figures([&](const ReducedModel& m) {
        std::vector<double> q;
        for (const CvValue& v : x)
            q.push_back(known ? m.committor(v[0], std::min(from, to), std::max(from, to)) : kUnknown);
        return q;
    });
}

void ClosureStage::committor_of_bursts() {
    // Of one variable the second set lies to the right, of two it is where passages end.
    PassageSet sets[2];
    std::function<bool(const CvValue&)> between;
    if (K_ == 1) {
        const double a = std::min(c_.passage_from[0], c_.passage_to.back());
        const double b = std::max(c_.passage_from[0], c_.passage_to.back());
        sets[0] = below(0, a);
        sets[1] = above(0, b);
        between = [a, b](const CvValue& x) { return x[0] > a && x[0] < b; };
    } else {
        const EllipseSet a = near(passage_from()), b = near(passage_to(targets() - 1));
        sets[0] = ellipse(a.centre, a.radius, a.period);
        sets[1] = ellipse(b.centre, b.radius, b.period);
        between = [a, b](const CvValue& x) { return a.level(x) > 0 && b.level(x) > 0; };
    }
    std::vector<index> inside;
    std::vector<CvValue> values;
    for (std::size_t v = 0; v < burst_values_.size(); ++v)
        if (between(burst_values_[v])) {
            inside.push_back(static_cast<index>(v));
            values.push_back(burst_values_[v]);
        }
    if (inside.empty()) return;
    const index each = std::min(
        burst_replicas_,
        std::max<index>(64, kCommittorRuns / static_cast<index>(inside.size())));
    const index n = static_cast<index>(inside.size()) * each;
    Buffer<float> start(stream_.device(), model_.dim() * n);
    const index all = static_cast<index>(burst_values_.size()) * burst_replicas_;
    for (int d = 0; d < model_.dim(); ++d)
        for (std::size_t i = 0; i < inside.size(); ++i)
            copy(stream_, start.span().subspan(d * n + static_cast<index>(i) * each, each),
                 Span<const float>(
                     starts_.span().subspan(d * all + inside[i] * burst_replicas_, each)));
    const auto kernel = passage_kernel(model_, model_.path_setup(config_.integrator));
    progress_.begin("committor", 1, "of the trajectories");
    const PassageResult r = run_passages(stream_, *kernel, start.span(), n, sets[0], sets[1],
                                         passage_options(5080));
    meter_.work(r.steps, r.force_evaluations);
    progress_.end();
    Json list = Json::array();
    for (std::size_t i = 0; i < inside.size(); ++i) {
        const index first = static_cast<index>(i) * each;
        const SecondFirst q = second_before_first(r, first, first + each);
        list.push_back({{"cv", json_of(values[i])}, {"direct", q.value}, {"direct_error", q.error}});
    }
    each_source([&](const auto& s) {
        const std::vector<Figure> q = committor_at(s, values);
        for (std::size_t i = 0; i < q.size(); ++i) {
            list[i][s.name] = q[i].value;
            list[i][s.name + "_error"] = q[i].error;
        }
    });
    metrics_["committor"] = list;
}

void ClosureStage::committors() {
    if (!free_runs_ || model_.molecule()) return;  // whose runs take longer
    // On a ring there is a way round on both sides: left out.
    if (!c_.passage_to.empty() && burst_replicas_ > 0 && !(K_ == 1 && ring(0)))
        committor_of_bursts();
    if (c_.committor_points.empty()) return;
    const auto D = static_cast<std::size_t>(model_.dim());
    const std::size_t points = c_.committor_points.size() / D;
    const index each = c_.committor_runs, n = static_cast<index>(points) * each;
    std::vector<float> host(D * static_cast<std::size_t>(n));
    for (std::size_t d = 0; d < D; ++d)
        for (index j = 0; j < n; ++j)
            host[d * static_cast<std::size_t>(n) + static_cast<std::size_t>(j)] =
                static_cast<float>(
                    c_.committor_points[static_cast<std::size_t>(j / each) * D + d]);
    Buffer<float> start(stream_.device(), static_cast<index>(host.size()));
    copy_to_device(stream_, start.span(), host.data());
    const auto set = [&](const std::vector<double>& numbers) {
        return ball(std::span<const double>(numbers.data(), D), numbers.back());
    };
    const auto kernel = passage_kernel(model_, model_.path_setup(config_.integrator));
    progress_.begin("committor of given states", 1, "of the trajectories");
    const PassageResult r =
        run_passages(stream_, *kernel, start.span(), n, set(c_.committor_a),
                     set(c_.committor_b), passage_options(5090));
    meter_.work(r.steps, r.force_evaluations);
    progress_.end();
    Json list = Json::array();
    for (std::size_t p = 0; p < points; ++p) {
        const index first = static_cast<index>(p) * each;
        const SecondFirst q = second_before_first(r, first, first + each);
        Json j;
        for (std::size_t d = 0; d < D; ++d) j["state"].push_back(c_.committor_points[p * D + d]);
        j["committor"] = q.value;
        j["error"] = q.error;
        list.push_back(j);
    }
    metrics_["committor_points"] = list;
}

}  // namespace microlift
