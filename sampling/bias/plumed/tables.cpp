// What an input with an adaptive bias says, as tables.
#include <algorithm>

#include "engine/config/schema.h"
#include "sampling/bias/plumed/state.h"

namespace microlift {

namespace {

// Parabolas are walls on both sides of one value.
std::vector<PlumedWall> all_walls(const PlumedState& state) {
    std::vector<PlumedWall> walls = state.walls;
    for (const PlumedRestraint& restraint : state.restraints) {
        if (restraint.at.size() > 1)
            refuse(restraint.origin, "the restraint differs between replicas, and one bias is shared here",
                   "give one value");
        for (std::size_t k = 0; k < restraint.labels.size(); ++k)
            walls.push_back({restraint.labels[k], restraint.origin, restraint.at[0][k], restraint.at[0][k],
                             restraint.stiffness[k]});
    }
    return walls;
}

// Of a variable that goes all round a lower and an upper wall are one.
void pair_walls(const PlumedState& state, std::vector<PlumedWall>& walls) {
    for (std::size_t i = 0; i < walls.size(); ++i) {
        if (!state.find(walls[i].label)->periodic || (walls[i].lower && walls[i].upper)) continue;
        for (std::size_t j = i + 1; j < walls.size(); ++j) {
            if (walls[j].label != walls[i].label || walls[j].lower.has_value() == walls[i].lower.has_value() ||
                (walls[j].lower && walls[j].upper))
                continue;
            if (walls[j].stiffness != walls[i].stiffness)
                refuse(walls[j].origin, "the two walls of '" + printable(walls[i].label, 40) + "' have different KAPPA",
                       "give both the same: it is periodic, and they are one wall");
            (walls[j].lower ? walls[i].lower : walls[i].upper) = walls[j].lower ? walls[j].lower : walls[j].upper;
            walls.erase(walls.begin() + static_cast<std::ptrdiff_t>(j));
            break;
        }
        if (!(walls[i].lower && walls[i].upper))
            refuse(walls[i].origin,
                   "'" + printable(walls[i].label, 40) + "' is periodic, and has a wall on one side alone",
                   "give LOWER_WALLS and UPPER_WALLS");
    }
}

ConfigValue wall_list(const PlumedState& state, const PlumedAdaptive& bias) {
    std::vector<PlumedWall> walls = all_walls(state);
    pair_walls(state, walls);
    ConfigValue list;
    list.kind = ConfigValue::Kind::array;
    for (const PlumedWall& wall : walls) {
        const auto found = std::ranges::find(bias.labels, wall.label);
        if (found == bias.labels.end())
            refuse(
                wall.origin,
                "a wall or restraint of '" + printable(wall.label, 40) + "', which '" + bias.action + "' does not bias",
                "restrain variables of '" + bias.action + "' alone");
        ConfigValue entry = plumed_table(wall.origin);
        const auto number = static_cast<long long>(found - bias.labels.begin()) + 1;
        entry.put("variable", at_place(ConfigValue::of(number), wall.origin));
        if (wall.lower) entry.put("lower", at_place(ConfigValue::of(*wall.lower), wall.origin));
        if (wall.upper) entry.put("upper", at_place(ConfigValue::of(*wall.upper), wall.origin));
        entry.put("stiffness", at_place(ConfigValue::of(wall.stiffness), wall.origin));
        if (list.items.empty()) list.origin = wall.origin;
        list.items.push_back(std::move(entry));
    }
    return list;
}

double entry_of(const ConfigValue& value, std::size_t k) {
    return value.kind == ConfigValue::Kind::array && k < value.items.size() ? value.items[k].as_number()
                                                                            : value.as_number();
}

// Kernels of OPES are a point's distance wide at least.
void check_least_width(const PlumedState& state, const PlumedAdaptive& bias) {
    constexpr index kDefaultBins = 100;
    const auto told = [&](const char* key) {
        const ConfigValue* value = bias.given.find(key);
        return value ? value : bias.fallback.find(key);
    };
    const ConfigValue *from = told("from"), *to = told("to"), *bins = bias.given.find("bins");
    if (!from || !to) return;
    for (std::size_t k = 0; k < bias.sigma_min.size(); ++k) {
        const std::vector<index>& own = state.engine.bins;
        double n = kDefaultBins;
        if (!own.empty())
            n = static_cast<double>(own[std::min(k, own.size() - 1)]);
        else if (bins || (bins = bias.fallback.find("bins")))
            n = entry_of(*bins, k);
        const double spacing = (entry_of(*to, k) - entry_of(*from, k)) / n;
        if (bias.sigma_min[k] <= spacing) continue;
        refuse(bias.sigma_min_place,
               "SIGMA_MIN is " + toml_number(bias.sigma_min[k]) +
                   ", and kernels may become as narrow as the grid's spacing, " + toml_number(spacing),
               "give bias.bins = " +
                   std::to_string(static_cast<long long>((entry_of(*to, k) - entry_of(*from, k)) / bias.sigma_min[k])) +
                   " or fewer, or leave SIGMA_MIN out");
    }
}

// What PRINT names and is known here: variables, and the adaptive bias.
std::vector<std::string> printed_columns(const PlumedState& state, const PlumedAdaptive& bias,
                                         std::vector<std::string>& variables) {
    std::vector<std::string> columns;
    const auto add = [&](const std::string& column) {
        if (std::ranges::find(columns, column) == columns.end()) columns.push_back(column);
    };
    const std::string whole = (bias.label.empty() ? bias.given.find("method")->text : bias.label) + ".bias";
    for (const std::string& word : state.printed) {
        if (word == whole || word == bias.label + ".*" || word == "*.bias") add(whole);
        const PlumedQuantity* quantity = state.find(word);
        if (!quantity || quantity->kind != PlumedQuantity::Kind::variable) continue;
        if (!is_plain_name(word) && std::ranges::find(bias.labels, word) == bias.labels.end()) continue;
        variables.push_back(word);
        add(word);
    }
    return columns;
}

}  // namespace

PlumedTables plumed_tables(const PlumedState& state, const std::string& name) {
    const ConfigOrigin start{name, 1, 1};
    if (!state.adaptive) {
        if (!state.restraints.empty())
            refuse(state.restraints[0].origin, "the input has restraints and no adaptive bias: windows",
                   "name the inputs of all windows by umbrella.plumed");
        refuse(start, "the input has no bias", "give METAD, OPES_METAD, OPES_METAD_EXPLORE or DRR");
    }
    const PlumedAdaptive& bias = *state.adaptive;
    check_least_width(state, bias);
    PlumedTables tables;
    std::vector<std::string> variables;
    const std::vector<std::string> columns = printed_columns(state, bias, variables);
    tables.cv = plumed_cv_table(state, bias.labels, variables);
    // Who is pulled leaves work, and no samples of one law.
    const bool steered = bias.action == "MOVINGRESTRAINT";
    if (!columns.empty() && !steered) tables.columns = at_place(ConfigValue::of(columns), state.printed_place);
    tables.given = bias.given;
    tables.fallback = bias.fallback;
    ConfigValue walls = wall_list(state, bias);
    if (!walls.items.empty()) tables.given.put("walls", std::move(walls));
    if (state.stride.origin.line > 0) tables.fallback.put("stride", state.stride);
    tables.prints = state.prints && !steered;
    return tables;
}

}  // namespace microlift
