#include "sampling/run/stages/distributions.h"

#include <algorithm>

#include "engine/stop.h"
#include "sampling/run/places.h"
#include "sampling/run/targets.h"

namespace microlift {

namespace {

constexpr index kPictures = 6;       // conditional densities shown in the report
constexpr index kShown = 20000;      // states of each
constexpr std::size_t kCurveStep = 16;  // of the points of an exact density
constexpr double kFar = 0.1;         // W1/σ that is worth a warning

std::string label(const std::string& name, index number) {
    char text[16];
    std::snprintf(text, sizeof text, "_%03d", static_cast<int>(number));
    return name + text;
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
    const float* states(const std::vector<float>& x, std::size_t value, std::size_t variable) const {
        return x.data() + rows_[variable] * sets_.count() + static_cast<index>(value) * sets_.each;
    }
    void judge_source(const std::string& source, const std::vector<float>& sorted,
                      const ReferenceLaw& reference, std::size_t value, std::size_t variable,
                      std::vector<double>& sink);
    template <class F>
    void put_states(const std::string& source, index count, const F& state);
    void record_compared();

    Run& run_;
    const LiftedSets& sets_;
    const std::vector<std::string> names_;
    const std::vector<int> rows_;
    std::optional<ExactModel> exact_;  // where it gives the law of the one generated variable
    std::vector<std::vector<float>> physics_;  // (variable, sample)
    std::vector<float> xi_;
    std::vector<index> near_;  // samples near the value at hand
    std::vector<ReferenceLaw> references_;  // of the value at hand, by variable
    Json list_ = Json::array();
    std::vector<double> physics_w1_, generated_w1_, healed_w1_;
    std::vector<std::vector<double>> other_w1_;
    Store pictures_;
    std::vector<double> picture_cv_;
    index picture_ = 0;
};

Judgement::Judgement(Run& run, const LiftedSets& sets)
    : run_(run), sets_(sets), names_(target_names(run)), rows_(generated_rows(run)),
      xi_(stored_cvs(run)), other_w1_(sets.others.size()) {
    if (!run.model.observed() && run.model.dim() == 2 && rows_.size() == 1)
        exact_ = run.model.exact();
    const Targets y = targets(run);
    for (index v = 0; v < y.count; ++v) physics_.push_back(host_column(run, y, v));
}

ReferenceLaw Judgement::reference_of(std::size_t value, std::size_t variable) const {
    std::vector<float> nearby;
    for (index j : near_) nearby.push_back(physics_[variable][static_cast<std::size_t>(j)]);
    std::optional<ExactConditional> law;
    if (exact_) law = exact_->at(sets_.values[value][0]);
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
        if (!reference.known()) continue;
        if (reference.exact() && reference.samples().size() >= ReferenceLaw::kLeastSamples)
            judge_source("physics", reference.samples(), reference, value, v, physics_w1_);
        judge_source("generator", sorted(sets_.generated, value, v), reference, value, v,
                     generated_w1_);
        if (!sets_.healed.empty())
            judge_source("healed", sorted(sets_.healed, value, v), reference, value, v, healed_w1_);
        for (std::size_t o = 0; o < sets_.others.size(); ++o)
            other_w1_[o].push_back(reference.distance(sorted(sets_.others[o], value, v)));
    }
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
        for (std::size_t i = 0; i < law->y.size(); i += kCurveStep)
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
    if (!physics_w1_.empty()) lifting["physics_w1"] = median_and_worst(physics_w1_);
    if (!generated_w1_.empty()) lifting["generator_w1"] = median_and_worst(generated_w1_);
    if (!healed_w1_.empty()) lifting["healed_w1"] = median_and_worst(healed_w1_);
    record_compared();
    lifting["against"] = exact_ ? "exact" : "physics";
    const double worst =
        generated_w1_.empty() ? 0 : *std::max_element(generated_w1_.begin(), generated_w1_.end());
    if (worst > kFar)
        run_.warn("the generator is far from physics somewhere: worst W1/sigma " + number(worst) +
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
