#include "sampling/rates/rates_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/at.h"
#include "engine/config/method_keys.h"
#include "sampling/dynamics/limits.h"
#include "sampling/model/model.h"
#include "sampling/rates/methods.h"

namespace microlift {

namespace {

using Rates = RatesConfig;

std::vector<std::string> method_names() {
    std::vector<std::string> names;
    for (const RateMethodEntry& entry : rate_methods()) names.emplace_back(entry.name);
    return names;
}

template <StateOfRates Rates::* State>
void read_state(Rates& rates, const ConfigValue& value) {
    if (value.kind == ConfigValue::Kind::text)
        (rates.*State).formula = value.text;
    else
        (rates.*State).value = value.as_number();
}

void read_initial(Rates& rates, const ConfigValue& value) {
    if (value.kind == ConfigValue::Kind::array) assign(rates.initial, value);
}

}  // namespace

const Section<RatesConfig> rates_section{"rates", {
    enabled(&Rates::enabled, "whether to compute how long it takes from one state to another"),
    key(&Rates::method, "method", "splitting", "how").one_of(method_names()),
    optional_read_by<Rates>(read_state<&Rates::from>, KeyType::place, "from", "-1.0",
        "the state that is left: up to this value of the progress coordinate, or a formula of the collective "
        "variables that is true inside, such as \"x < -0.9 and y > 0\""),
    optional_read_by<Rates>(read_state<&Rates::to>, KeyType::place, "to", "1.0", "the state that is reached, likewise"),
    optional(&Rates::progress, "progress", "\"cos(phi)\"",
             "formula of the collective variables along which trajectories are counted; the first of them if left out"),
    optional(&Rates::levels, "levels", "[-0.8, -0.4, 0.0, 0.5]",
             "its values between `from` and `to` where trajectories are split; left out: `bins` of one width"),
    key(&Rates::bins, "bins", 40, "parts of the way, where no levels are given").from(2).to(10000),
    key(&Rates::replicas, "replicas", 0,
        "splitting: replicas of a repeat; weighted ensemble: walkers in a bin; milestoning: trajectories from a "
        "milestone; 0: 512, 16, 64").from(0).to(1e8),
    key(&Rates::repeats, "repeats", 32, "independent repeats, in one batch: errors are from their spread").from(4).to(10000),
    key(&Rates::discard, "discard", 0.1, "splitting: share of the replicas that a level ends, at least").above(0).below(1),
    key(&Rates::loops, "loops", 8,
        "splitting: ways out of `from` of each walker there; they are timed, and replicas begin at their ends")
        .from(1).to(1e6),
    key(&Rates::interval, "interval", 10, "weighted ensemble: steps between splits").from(1).to(1e9),
    key(&Rates::steps, "steps", 10000, "weighted ensemble: steps of every walker").from(10).to(kMostSteps),
    key(&Rates::iterations, "iterations", 10, "milestoning: times that all milestones are left").from(1).to(1e6),
    key(&Rates::relax, "relax", 0.3,
        "weighted ensemble, milestoning: share of steps or iterations that is left out, until they are steady")
        .from(0).below(1),
    key(&Rates::stride, "stride", 1, "steps between looks at where trajectories are").from(1).to(1e6),
    key(&Rates::equilibrate, "equilibrate", 1000, "steps in `from` before it is left").from(0).to(kMostSteps),
    key(&Rates::longest, "longest", 100000000, "steps after which no trajectory is waited for").from(1).to(kMostSteps),
    key(&Rates::dt, "dt", 0.0, "time step; 0: the integrator's").from(0).unit("time"),
    key_read_by<Rates>(read_initial, KeyType::state, "initial", "\"line\"",
        "where trajectories begin: a state, or `\"line\"` (the state zero, moved to `from` along grad xi; a molecule's "
        "coordinates)"),
}};

namespace {

std::string text_of(const StateOfRates& state) {
    return state.value ? toml_number(*state.value) : toml_string(state.formula);
}

void check_states(const Rates& r) {
    for (const auto& [name, state] : {std::pair{"from", &r.from}, std::pair{"to", &r.to}})
        if (!state->given())
            throw KeyError("rates", "key 'rates." + std::string(name) + "' is missing",
                           "give the state that is " + std::string(name == std::string("from") ? "left" : "reached") +
                               ", for example " + name + " = " + (name == std::string("from") ? "-1.0" : "1.0"));
    if (r.from.value == r.to.value && r.from.formula == r.to.formula)
        throw KeyError("rates.to", "keys 'rates.from' and 'rates.to' are both " + text_of(r.to),
                       "give two states that lie apart");
    const bool by_value = r.from.value && r.to.value;
    if (!by_value && r.levels.empty())
        throw KeyError("rates.levels", "key 'rates.levels' is missing, and a state is given by a formula",
                       "give values of the progress coordinate between the two states, in the order in which they are "
                       "met");
    for (const auto& [name, state] : {std::pair{"rates.from", &r.from}, std::pair{"rates.to", &r.to}})
        if (!state->formula.empty()) (void)distance_formula(name, state->formula);
}

void check_levels(const Rates& r) {
    const bool by_value = r.from.value && r.to.value;
    const double sign = by_value && *r.to.value < *r.from.value ? -1 : 1;
    const auto before = [&](double a, double b) { return sign * a < sign * b; };
    for (std::size_t i = 0; i < r.levels.size(); ++i) {
        const double level = r.levels[i];
        // A weighted ensemble may have bins within `from`, too.
        const bool late = r.from.value && !before(*r.from.value, level) &&
                          (r.method != "weighted_ensemble" || i + 1 == r.levels.size());
        if (late || (r.to.value && !before(level, *r.to.value)))
            throw KeyError("rates.levels", "key 'rates.levels' has " + toml_number(level) +
                                               ", which does not lie between 'from' = " + text_of(r.from) +
                                               " and 'to' = " + text_of(r.to),
                           "give values between them");
        if (i > 0 && !before(r.levels[i - 1], level))
            throw KeyError("rates.levels", "key 'rates.levels' has " + toml_number(level) + " after " +
                                               toml_number(r.levels[i - 1]),
                           by_value ? "give each value once, from 'from' to 'to'"
                                    : "give each value once, in ascending order: the progress coordinate grows from "
                                      "'from' to 'to'");
    }
    if (!r.levels.empty() && r.levels.size() < 2)
        throw KeyError("rates.levels", "key 'rates.levels' has one value", "give two at least");
}

void check_numbers(const Rates& r) {
    if (r.method == "splitting" && replicas_of(r) < 8)
        throw KeyError("rates.replicas", "key 'rates.replicas' is " + std::to_string(replicas_of(r)) +
                                             ", too few to split", "give 100 or more");
    if (r.method == "splitting" && r.discard * static_cast<double>(replicas_of(r)) < 1)
        throw KeyError("rates.discard",
                       "key 'rates.discard' is " + toml_number(r.discard) + " of " + std::to_string(replicas_of(r)) +
                           " replicas, less than one of them",
                       "give a larger share, or more replicas");
    if (r.method == "weighted_ensemble" && (r.interval % r.stride != 0 || r.steps < 10 * r.interval))
        throw KeyError("rates.interval", "key 'rates.interval' is " + std::to_string(r.interval) +
                                             ", not a multiple of 'stride' = " + std::to_string(r.stride) +
                                             ", or more than a tenth of 'steps' = " + std::to_string(r.steps),
                       "give a smaller multiple");
    if (r.method == "weighted_ensemble" && replicas_of(r) < 2)
        throw KeyError("rates.replicas", "key 'rates.replicas' is 1, and one walker in a bin is never split",
                       "give 4 or more");
    constexpr double kMost = 1e9;
    if (trajectories_of(r) > kMost)
        throw KeyError("rates.replicas", "there are " + toml_number(trajectories_of(r)) + " trajectories at a time",
                       "give fewer replicas, repeats or levels");
    if (r.longest < r.equilibrate)
        throw KeyError("rates.longest", "key 'rates.longest' is less than 'rates.equilibrate'", "give a larger one");
}

}  // namespace

RatesConfig read_rates(Config& config, const ModelConfig& model) {
    RatesConfig r = rates_section.read(config);
    if (!config.enabled("rates")) return RatesConfig{};
    r.enabled = true;
    config.with({"rates.from", "rates.to", "rates.levels"}, [&] { check_states(r); });
    config.with({"rates.from", "rates.to", "rates.levels", "rates.bins", "rates.method"}, [&] {
        if (r.from.given() && r.to.given() && (r.from.value != r.to.value || r.from.formula != r.to.formula) &&
            ((r.from.value && r.to.value) || !r.levels.empty()))
            check_levels(r);
    });
    config.with({"rates.method", "rates.discard", "rates.replicas", "rates.repeats", "rates.interval", "rates.steps",
                 "rates.stride", "rates.longest", "rates.equilibrate", "rates.levels", "rates.bins"},
                [&] { check_numbers(r); });
    config.with({"rates.initial", "system"}, [&] {
        const ConfigValue* value = config.find("rates.initial");
        if (value != nullptr && value->kind == ConfigValue::Kind::text && value->text != "line")
            throw KeyError("rates.initial", "key 'rates.initial' is " + toml_string(value->text),
                           "give a state as numbers, or \"line\"");
        if (!r.initial.empty()) check_count("rates.initial", r.initial.size(), at(variable_count(model.system)), "variable");
    });
    std::vector<MethodKeys> methods;
    for (const RateMethodEntry& entry : rate_methods()) methods.push_back({entry.name, entry.keys});
    refuse_keys_of_others(config, rates_section, methods);
    return r;
}

LevelLadder ladder_of(const RatesConfig& r) {
    LevelLadder ladder;
    ladder.sign = r.from.value && r.to.value && *r.to.value < *r.from.value ? -1 : 1;
    for (const double level : r.levels) ladder.levels.push_back(ladder.sign * level);
    if (r.levels.empty() && r.from.value && r.to.value)
        for (index i = 1; i < r.bins; ++i)
            ladder.levels.push_back(ladder.sign * (*r.from.value + (*r.to.value - *r.from.value) *
                                                                       static_cast<double>(i) / static_cast<double>(r.bins)));
    while (r.from.value && ladder.first + 1 < std::ssize(ladder.levels) &&
           ladder.levels[at(ladder.first)] <= ladder.sign * *r.from.value)
        ++ladder.first;
    return ladder;
}

index replicas_of(const RatesConfig& r) {
    if (r.replicas > 0) return r.replicas;
    for (const RateMethodEntry& entry : rate_methods())
        if (r.method == entry.name) return entry.replicas;
    return 1;
}

double trajectories_of(const RatesConfig& r) {
    const double all = static_cast<double>(replicas_of(r)) * static_cast<double>(r.repeats);
    const auto levels = static_cast<double>(ladder_of(r).levels.size());
    return r.method == "splitting" ? all : all * (levels + 1);
}

RatesCost rates_cost(const RatesConfig& r, int variables, bool velocities) {
    const double trajectories = trajectories_of(r), levels = static_cast<double>(ladder_of(r).levels.size());
    const double numbers = static_cast<double>(variables) * (velocities ? 2 : 1);
    RatesCost cost;
    const double way = static_cast<double>(std::max<index>(r.equilibrate, 1));
    if (r.method == "weighted_ensemble")
        cost.force_evaluations = trajectories * static_cast<double>(r.steps);
    else if (r.method == "milestoning")
        cost.force_evaluations = trajectories * static_cast<double>(r.iterations) * way / 10;
    else
        cost.force_evaluations = trajectories * way * 4;
    cost.memory_bytes = trajectories * (4 * (3 * numbers + 12));
    if (r.method == "splitting") cost.memory_bytes += trajectories * levels * 4 * (numbers + 1);
    return cost;
}

std::string describe_rates(const RatesConfig& r) {
    const index levels = std::ssize(ladder_of(r).levels);
    return r.method + ": from " + text_of(r.from) + " to " + text_of(r.to) + " by " +
           std::to_string(replicas_of(r)) +
           (r.method == "splitting" ? " replicas" : r.method == "milestoning" ? " trajectories from each milestone"
                                                                              : " walkers in each bin") +
           ", " + std::to_string(levels) + " levels, " + std::to_string(r.repeats) + " repeats";
}

// --- formulas -----------------------------------------------------------------------------------------

namespace {

std::vector<std::string> split_at_word(const std::string& text, const std::string& word) {
    std::vector<std::string> parts;
    std::size_t from = 0;
    const std::string between = " " + word + " ";
    for (std::size_t at; (at = text.find(between, from)) != std::string::npos; from = at + between.size())
        parts.push_back(text.substr(from, at - from));
    parts.push_back(text.substr(from));
    return parts;
}

// Parentheses that are open at its end, or −1 where one closes that was not open.
int open_at_end(const std::string& text) {
    int open = 0;
    for (const char c : text) {
        open += c == '(' ? 1 : c == ')' ? -1 : 0;
        if (open < 0) return -1;
    }
    return open;
}

std::string comparison(const std::string& key, const std::string& text) {
    const std::size_t at = text.find_first_of("<>");
    const auto fail = [&](const std::string& wrong) {
        throw KeyError(key, "key '" + key + "' has " + wrong + ": " + toml_string(text),
                       "write comparisons joined by and, or, such as \"x < -0.9 and y > 0.5\"; parentheses only within a side of one");
    };
    if (at == std::string::npos) fail("a part without < or >");
    std::size_t after = at + 1;
    if (after < text.size() && text[after] == '=') ++after;
    if (text.find_first_of("<>=", after) != std::string::npos) fail("a part with two comparisons");
    if (open_at_end(text.substr(0, at)) != 0 || open_at_end(text.substr(after)) != 0)
        fail("parentheses about a comparison, or some that do not match");
    const std::string left = "(" + text.substr(0, at) + ")", right = "(" + text.substr(after) + ")";
    return text[at] == '<' ? left + " - " + right : right + " - " + left;
}

std::string folded(const char* function, const std::vector<std::string>& parts) {
    std::string all = parts[0];
    for (std::size_t i = 1; i < parts.size(); ++i) all = std::string(function) + "(" + all + ", " + parts[i] + ")";
    return all;
}

}  // namespace

std::string distance_formula(const std::string& key, const std::string& text) {
    std::vector<std::string> any;
    for (const std::string& alternative : split_at_word(text, "or")) {
        std::vector<std::string> all;
        for (const std::string& part : split_at_word(alternative, "and")) all.push_back(comparison(key, part));
        any.push_back(folded("max", all));
    }
    return folded("min", any);
}

}  // namespace microlift
