#include "sampling/run/stages/distributions.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/stop.h"
#include "sampling/run/checks.h"
#include "sampling/run/places.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

constexpr index kPictures = 6;       // conditional densities shown in the report
constexpr index kShown = 20000;      // states of each
constexpr std::size_t kCurvePoints = 500;  // of an exact density
constexpr double kFar = 0.1;         // W1/σ that is worth a warning
constexpr double kExplained = 0.9;   // share of the variance near a value that ξ makes by itself

std::string label(const std::string& name, index number) {
    char text[16];
    std::snprintf(text, sizeof text, "_%03d", static_cast<int>(number));
    return name + text;
}

template <class T>
double variance_of(const T& x) {
    const double n = static_cast<double>(x.size());
    double mean = 0, square = 0;
    for (const auto v : x) mean += static_cast<double>(v);
    for (const auto v : x) square += std::pow(static_cast<double>(v) - mean / n, 2);
    return square / n;
}

// y less what a linear function of the regressors makes of it. The last entry of each is a place of its own,
// not a sample: there y is 0, and what is left is minus the function's value.
std::vector<double> unexplained(std::vector<double> y, std::vector<std::vector<double>> regressors) {
    const auto take_out = [](std::vector<double>& from, const std::vector<double>& along) {
        double product = 0, square = 0;
        for (std::size_t i = 0; i + 1 < from.size(); ++i) {
            product += from[i] * along[i];
            square += along[i] * along[i];
        }
        if (!(square > 0)) return;
        for (std::size_t i = 0; i < from.size(); ++i) from[i] -= product / square * along[i];
    };
    for (std::size_t k = 0; k < regressors.size(); ++k) {
        for (std::size_t l = 0; l < k; ++l) take_out(regressors[k], regressors[l]);
        take_out(y, regressors[k]);
    }
    return y;
}

class Judgement {
public:
    Judgement(Run& run, const LiftedSets& sets);
    void judge(std::size_t value);
    void draw(std::size_t value);
    void finish();

private:
    ReferenceLaw reference_of(std::size_t value, std::size_t variable) const;
    std::vector<float> sorted(const std::vector<float>& x, std::size_t value,
                              std::size_t variable) const;
    // Where the samples near the value differ mostly because their ξ does, they are moved to it along a
    // smooth function of ξ, and distances are in deviations of all samples.
    std::optional<ReferenceLaw> determined_at(std::size_t value, std::size_t variable) const;
    const float* states(const std::vector<float>& x, std::size_t value, std::size_t variable) const {
        return x.data() + rows_[variable] * sets_.count() + static_cast<index>(value) * sets_.each;
    }
    void judge_source(const std::string& source, const std::vector<float>& sorted,
                      const ReferenceLaw& reference, std::size_t value, std::size_t variable,
                      std::vector<double>& sink);
    void name_special();
    template <class F>
    void put_states(const std::string& source, index count, const F& state);
    void record_compared();

    Run& run_;
    const LiftedSets& sets_;
    const std::vector<std::string> names_;
    const std::vector<int> rows_;
    std::optional<ExactModel> exact_;  // where it gives the law of the one generated variable
    std::vector<HostView<float>> physics_;     // (variable, sample)
    std::vector<double> deviations_;           // of all samples
    const StoredCvs xi_;
    std::vector<index> near_;  // samples near the value at hand
    std::vector<ReferenceLaw> references_;  // of the value at hand, by variable
    Json list_ = Json::array();
    double worst_ = 0;  // of the generator
    std::vector<double> physics_w1_, generated_w1_, healed_w1_;
    std::set<std::string> determined_, constant_;  // variables
    std::vector<std::vector<double>> other_w1_;
    Store pictures_;
    std::vector<double> picture_cv_;
    index picture_ = 0;
};

Judgement::Judgement(Run& run, const LiftedSets& sets)
    : run_(run), sets_(sets), names_(target_names(run)), rows_(generated_rows(run)),
      xi_(run), other_w1_(sets.others.size()) {
    if (!run.model.observed() && run.model.dim() == 2 && rows_.size() == 1)
        exact_ = run.model.exact();
    const Targets y = targets(run);
    for (index v = 0; v < y.count; ++v) {
        physics_.push_back(host_column(run, y, v));
        deviations_.push_back(std::sqrt(variance_of(physics_.back())));
    }
}

ReferenceLaw Judgement::reference_of(std::size_t value, std::size_t variable) const {
    std::vector<float> nearby;
    for (index j : near_) nearby.push_back(physics_[variable][static_cast<std::size_t>(j)]);
    std::optional<ExactConditional> law;
    if (exact_) law = exact_->law(sets_.values[value][0]);
    return ReferenceLaw(std::move(nearby), std::move(law));
}

std::vector<float> Judgement::sorted(const std::vector<float>& x, std::size_t value,
                                     std::size_t variable) const {
    const float* first = states(x, value, variable);
    std::vector<float> copy(first, first + sets_.each);
    // Of many states this takes seconds.
    std::sort(copy.begin(), copy.end(), [compared = 0u](float a, float b) mutable {
        if (++compared % 65536 == 0) check_stop();
        return a < b;
    });
    return copy;
}

void Judgement::judge_source(const std::string& source, const std::vector<float>& sorted,
                             const ReferenceLaw& reference, std::size_t value,
                             std::size_t variable, std::vector<double>& sink) {
    sink.push_back(reference.distance(sorted));
    // As far as the samples can tell.
    if (source == "generator" && sink.back() > 2 * reference.floor(sorted.size()))
        worst_ = std::max(worst_, sink.back());
    Json j;
    j["cv"] = cv_json(run_.grid.dims, sets_.values[value]);
    j["variable"] = names_[variable];
    j["source"] = source;
    j["against"] = reference.name();
    j["w1_over_sigma"] = sink.back();
    j["floor"] = reference.floor(sorted.size());
    list_.push_back(j);
}

void Judgement::judge(std::size_t value) {
    near_ = samples_near(run_, xi_, sets_.values[value], 0.5, sets_.each);
    references_.clear();
    for (std::size_t v = 0; v < names_.size(); ++v) {
        const ReferenceLaw& reference = references_.emplace_back(reference_of(value, v));
        if (!reference.exact() && !(deviations_[v] > 0)) {
            constant_.insert(names_[v]);
            continue;
        }
        if (!reference.known()) continue;
        const std::optional<ReferenceLaw> determined =
            reference.exact() ? std::nullopt : determined_at(value, v);
        if (determined) determined_.insert(names_[v]);
        const ReferenceLaw& law = determined ? *determined : reference;
        if (law.exact() && law.samples().size() >= ReferenceLaw::kLeastSamples)
            judge_source("physics", law.samples(), law, value, v, physics_w1_);
        judge_source("generator", sorted(sets_.generated, value, v), law, value, v, generated_w1_);
        if (!sets_.healed.empty())
            judge_source("healed", sorted(sets_.healed, value, v), law, value, v, healed_w1_);
        for (std::size_t o = 0; o < sets_.others.size(); ++o)
            other_w1_[o].push_back(law.distance(sorted(sets_.others[o], value, v)));
    }
}

std::optional<ReferenceLaw> Judgement::determined_at(std::size_t value, std::size_t variable) const {
    const HostView<float>& column = physics_[variable];
    std::vector<double> y, left;
    const auto K = static_cast<std::size_t>(run_.grid.dims);
    // 1, ξ, and its products, from the value.
    std::vector<std::vector<double>> regressors(1 + K + K * (K + 1) / 2);
    const auto add = [&](double state, const CvValue& off) {
        y.push_back(state);
        std::size_t r = 0;
        regressors[r++].push_back(1);
        for (std::size_t k = 0; k < K; ++k) regressors[r++].push_back(off[k]);
        for (std::size_t k = 0; k < K; ++k)
            for (std::size_t l = k; l < K; ++l) regressors[r++].push_back(off[k] * off[l]);
    };
    for (const index j : near_) {
        const auto i = static_cast<std::size_t>(j);
        CvValue off{};
        for (std::size_t k = 0; k < K; ++k)
            off[k] = xi_(static_cast<int>(k), j) - sets_.values[value][k];
        add(static_cast<double>(column[i]), off);
    }
    const double near = variance_of(y);
    add(0, {});
    left = unexplained(std::move(y), std::move(regressors));
    const double there = -left.back();
    left.pop_back();
    if (!(near > 0) || variance_of(left) > (1 - kExplained) * near) return std::nullopt;
    std::vector<float> moved;
    for (const double v : left) moved.push_back(static_cast<float>(there + v));
    return ReferenceLaw(std::move(moved), std::nullopt, deviations_[variable]);
}

void Judgement::name_special() {
    const auto listed = [](const std::set<std::string>& names) {
        std::string text;
        for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
        return text;
    };
    Json& lifting = run_.record["lifting"];
    if (!determined_.empty()) lifting["determined"] = listed(determined_);
    if (!constant_.empty())
        run_.warn("the same in every sample: " + listed(constant_) +
                  "; the generator has nothing to learn of it, and its distances mean nothing");
}

template <class F>
void Judgement::put_states(const std::string& source, index count, const F& state) {
    if (count == 0) return;
    const auto dims = static_cast<index>(names_.size());
    std::vector<float> table(static_cast<std::size_t>(count * dims));
    for (index i = 0; i < count; ++i)
        for (index v = 0; v < dims; ++v)
            table[static_cast<std::size_t>(i * dims + v)] = state(i, static_cast<std::size_t>(v));
    pictures_.put(label(source, picture_), std::move(table), {count, dims});
}

// Some of the values, evenly apart; after judge() of the same value.
void Judgement::draw(std::size_t value) {
    const std::size_t every = std::max<std::size_t>(
        1, (sets_.values.size() - 1) / std::max<std::size_t>(1, kPictures - 1));
    if (value % every != 0 || picture_ >= kPictures) return;
    for (std::size_t v = 0; v < names_.size(); ++v) {
        const auto& law = references_[v].exact();
        if (!law) continue;
        std::vector<double> curve;
        const std::size_t step = std::max<std::size_t>(1, law->y.size() / kCurvePoints);
        for (std::size_t i = 0; i < law->y.size(); i += step)
            curve.insert(curve.end(), {law->y[i], law->density[i]});
        const auto points = static_cast<index>(curve.size() / 2);
        pictures_.put(label("exact_" + names_[v], picture_), curve, {points, 2});
    }
    put_states("physics", static_cast<index>(near_.size()), [&](index i, std::size_t v) {
        return physics_[v][static_cast<std::size_t>(near_[static_cast<std::size_t>(i)])];
    });
    const index shown = std::min(sets_.each, kShown);
    put_states("generator", shown,
               [&](index i, std::size_t v) { return states(sets_.generated, value, v)[i]; });
    if (!sets_.healed.empty())
        put_states("healed", shown,
                   [&](index i, std::size_t v) { return states(sets_.healed, value, v)[i]; });
    const CvValue& at = sets_.values[value];
    picture_cv_.insert(picture_cv_.end(), at.begin(), at.begin() + run_.grid.dims);
    ++picture_;
}

void Judgement::finish() {
    pictures_.put("cv", picture_cv_, {picture_, run_.grid.dims});
    std::string joined;
    for (const std::string& name : names_) joined += (joined.empty() ? "" : ",") + name;
    pictures_.attributes["variables"] = joined;
    pictures_.save(run_.dir / "lifted.h5", "lifted");

    Json& lifting = run_.record["lifting"];
    lifting["w1"] = list_;
    const Checking check(run_, "generated");
    if (!physics_w1_.empty()) lifting["physics_w1"] = median_and_worst(physics_w1_);
    if (!generated_w1_.empty()) lifting["generator_w1"] = median_and_worst(generated_w1_);
    if (!healed_w1_.empty()) lifting["healed_w1"] = median_and_worst(healed_w1_);
    record_compared();
    name_special();
    lifting["against"] = exact_ ? "exact" : "physics";
    if (worst_ > kFar)
        run_.warn("the generator is far from physics somewhere: worst W1/sigma " + number(worst_) +
                  "; see the conditional densities before using it there, or heal");
}

void Judgement::record_compared() {
    for (std::size_t k = 0; k < run_.compared.size(); ++k) {
        const std::vector<double>& w1 = k == 0 ? generated_w1_ : other_w1_[k - 1];
        if (!w1.empty()) run_.record["compare"][k].update(median_and_worst(w1));
    }
}

}  // namespace

Json median_and_worst(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return {{"median", values[values.size() / 2]}, {"worst", values.back()}};
}

void judge_distributions(Run& run, const LiftedSets& sets) {
    Judgement judgement(run, sets);
    for (std::size_t value = 0; value < sets.values.size(); ++value) {
        judgement.judge(value);
        judgement.draw(value);
    }
    judgement.finish();
}

}  // namespace microlift
