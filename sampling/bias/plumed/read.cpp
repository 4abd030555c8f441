#include "sampling/bias/plumed/read.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/config/names.h"
#include "engine/config/schema.h"
#include "engine/error.h"
#include "engine/files/files.h"
#include "sampling/bias/plumed/state.h"
#include "sampling/bias/plumed/windows.h"

namespace microlift {

namespace {

constexpr std::size_t kMostBytes = std::size_t{1} << 24, kMostActions = 100000;

struct ReaderEntry {
    const char* action;
    PlumedReader read;
};

constexpr ReaderEntry kReaders[] = {
    {"UNITS", read_plumed_units},
    {"MOLINFO", read_plumed_molecule},
    {"GROUP", read_plumed_group},
    {"TORSION", read_plumed_geometry},
    {"DISTANCE", read_plumed_geometry},
    {"ANGLE", read_plumed_geometry},
    {"GYRATION", read_plumed_gyration},
    {"COORDINATION", read_plumed_coordination},
    {"RMSD", read_plumed_rmsd},
    {"CUSTOM", read_plumed_custom},
    {"MATHEVAL", read_plumed_custom},
    {"COMBINE", read_plumed_combine},
    {"METAD", read_plumed_metad},
    {"OPES_METAD", read_plumed_opes},
    {"OPES_METAD_EXPLORE", read_plumed_opes},
    {"DRR", read_plumed_drr},
    {"RESTRAINT", read_plumed_restraint},
    {"MOVINGRESTRAINT", read_plumed_moving},
    {"UPPER_WALLS", read_plumed_walls},
    {"LOWER_WALLS", read_plumed_walls},
    {"PRINT", read_plumed_print},
    {"RESTART", read_plumed_restart},
    {"ENERGY", read_plumed_nothing},
    {"FLUSH", read_plumed_nothing},
    {"WHOLEMOLECULES", read_plumed_nothing},
};

void check_label(const PlumedState& state, const PlumedAction& action) {
    if (action.label.empty()) return;
    if (const PlumedQuantity* other = state.find(action.label))
        refuse(action.label_origin,
               "the label '" + printable(action.label, 40) + "' stands in line " + std::to_string(other->origin.line) +
                   ", too",
               "give each action its own");
    if (action.label.find_first_of(".,*=") != std::string::npos || action.label[0] == '@')
        refuse(action.label_origin,
               "the label '" + printable(action.label, 40) + "' has characters that PLUMED keeps for itself",
               "use letters, digits and _");
}

void read_action(PlumedState& state, const PlumedAction& action) {
    const PlumedActionInfo* info = find_plumed_action(action.name);
    if (!info) {
        std::vector<std::string> names;
        for (const PlumedActionInfo& known : plumed_actions()) names.push_back(known.name);
        const std::string near = nearest_name(action.name, names);
        refuse(action.origin, "the action '" + printable(action.name, 40) + "' is not read here",
               near.empty() ? "read are " + join(names, ", ") : "did you mean '" + near + "'?");
    }
    check_label(state, action);
    const PlumedSettings settings(action, *info);
    for (const ReaderEntry& entry : kReaders)
        if (entry.action == action.name) return entry.read(state, settings);
}

// What others may name.
void add_bias_label(PlumedState& state, const PlumedAction& action, PlumedQuantity::Kind kind) {
    if (action.label.empty() || state.find(action.label)) return;
    PlumedQuantity quantity;
    quantity.kind = kind;
    quantity.label = action.label;
    quantity.origin = action.label_origin;
    state.quantities.push_back(std::move(quantity));
}

}  // namespace

ConfigValue at_place(ConfigValue value, const ConfigOrigin& origin) {
    set_origin(value, origin);
    return value;
}

ConfigValue plumed_table(const ConfigOrigin& origin) {
    ConfigValue table;
    table.kind = ConfigValue::Kind::table;
    table.origin = origin;
    return table;
}

ConfigValue plumed_list(const std::vector<double>& values, const ConfigOrigin& origin) {
    return at_place(values.size() == 1 ? ConfigValue::of(values[0]) : ConfigValue::of(values), origin);
}

const PlumedQuantity* PlumedState::find(std::string_view label) const {
    const auto found =
        std::ranges::find_if(quantities, [&](const PlumedQuantity& quantity) { return quantity.label == label; });
    return found == quantities.end() ? nullptr : &*found;
}

const PlumedQuantity& PlumedState::variable(const PlumedSettings& settings, std::string_view key,
                                            const std::string& label) const {
    const PlumedQuantity* quantity = find(label);
    const std::string shown = "'" + printable(label, 40) + "'";
    if (quantity && quantity->kind == PlumedQuantity::Kind::broken) throw PlumedSilence{};
    if (quantity && quantity->kind == PlumedQuantity::Kind::variable) return *quantity;
    if (quantity) settings.wrong(key, shown + " is no collective variable", "give the label of one");
    for (const PlumedAction& action : actions)
        if (action.label == label)
            settings.wrong(key,
                           shown + " is defined in line " + std::to_string(action.label_origin.line) +
                               (&action == &settings.action() ? ", by itself" : ", behind its use"),
                           "let actions stand before those that use them");
    settings.wrong(key, "no action has the label " + shown,
                   label.find('.') == std::string::npos ? "give that of a collective variable"
                                                        : "components of actions are not read as variables");
}

std::vector<std::string> PlumedState::variables(const PlumedSettings& settings, std::string_view key) const {
    const std::vector<std::string> labels = settings.parts(key);
    for (const std::string& label : labels) {
        variable(settings, key, label);
        if (std::ranges::count(labels, label) > 1)
            settings.wrong(key, "'" + printable(label, 40) + "' stands twice in '" + std::string(key) + "'",
                           "give each once");
    }
    return labels;
}

double PlumedState::unit_of(const std::string& label) const {
    const PlumedQuantity* quantity = find(label);
    return quantity && quantity->length ? units.length : 1;
}

namespace {

std::string plumed_content(const std::filesystem::path& file) {
    return read_file(file, kMostBytes);
}

// Actions of other inputs stand where INCLUDE stood.
std::vector<PlumedAction> with_included(std::vector<PlumedAction> actions, const std::filesystem::path& folder,
                                        int depth) {
    constexpr int kDeepest = 8;
    std::vector<PlumedAction> all;
    for (PlumedAction& action : actions) {
        if (action.name != "INCLUDE") {
            all.push_back(std::move(action));
            continue;
        }
        const PlumedSettings settings(action, *find_plumed_action("INCLUDE"));
        if (depth == kDeepest)
            refuse(action.origin, "inputs include one another more than " + std::to_string(kDeepest) + " deep",
                   "let none include itself");
        const std::filesystem::path file = plumed_file(settings, "FILE", folder);
        for (PlumedAction& own :
             with_included(read_plumed_actions(plumed_content(file), file.string()), folder, depth + 1))
            all.push_back(std::move(own));
        if (all.size() > kMostActions) refuse(action.origin, "there are too many actions", "include fewer");
    }
    return all;
}

}  // namespace

PlumedState read_plumed_state(const std::string& text, const std::string& name, const std::filesystem::path& folder,
                              const PlumedEngine& engine) {
    PlumedState state;
    state.folder = folder;
    state.engine = engine;
    state.actions = with_included(read_plumed_actions(text, name), folder, 0);
    std::vector<std::string> faults;
    for (const PlumedAction& action : state.actions) {
        const std::size_t before = state.quantities.size();
        bool good = false;
        try {
            read_action(state, action);
            good = true;
        } catch (const InputError& error) {
            faults.emplace_back(error.what());
        } catch (const PlumedSilence&) {
        }
        // Without a label nobody can name a variable.
        if (good && state.quantities.size() > before && action.label.empty()) state.quantities.pop_back();
        add_bias_label(state, action, good ? PlumedQuantity::Kind::bias : PlumedQuantity::Kind::broken);
    }
    if (!faults.empty()) throw InputError(join(faults, "\n"));
    return state;
}

namespace {

void add_named(const PlumedState& state, const std::string& label, ConfigValue& where) {
    const PlumedQuantity& quantity = *state.find(label);
    for (const std::string& other : quantity.of) add_named(state, other, where);
    const bool known =
        std::ranges::any_of(where.items, [&](const ConfigValue& entry) { return entry.find("name")->text == label; });
    if (known) return;
    ConfigValue entry = quantity.entry;
    // Periods are of variables alone.
    for (std::size_t i = 0; i < entry.keys.size(); ++i) {
        if (entry.keys[i] != "period") continue;
        entry.keys.erase(entry.keys.begin() + static_cast<std::ptrdiff_t>(i));
        entry.items.erase(entry.items.begin() + static_cast<std::ptrdiff_t>(i));
        break;
    }
    where.items.push_back(std::move(entry));
}

}  // namespace

ConfigValue plumed_cv_table(const PlumedState& state, const std::vector<std::string>& labels,
                            const std::vector<std::string>& others) {
    const ConfigOrigin& place = state.find(labels[0])->origin;
    ConfigValue variables, where;
    variables.kind = where.kind = ConfigValue::Kind::array;
    variables.origin = where.origin = place;
    for (const std::string& label : labels) {
        variables.items.push_back(state.find(label)->entry);
        for (const std::string& other : state.find(label)->of) add_named(state, other, where);
    }
    for (const std::string& other : others)
        if (std::ranges::find(labels, other) == labels.end()) add_named(state, other, where);
    ConfigValue cv = plumed_table(place);
    cv.put("variables", std::move(variables));
    if (!where.items.empty()) cv.put("where", std::move(where));
    return cv;
}

PlumedTables read_plumed_text(const std::string& text, const std::string& name, const std::filesystem::path& folder,
                              const PlumedEngine& engine) {
    return plumed_tables(read_plumed_state(text, name, folder, engine), name);
}

PlumedTables read_plumed_bias(const std::filesystem::path& file, const PlumedEngine& engine) {
    return read_plumed_text(plumed_content(file), file.string(), file.parent_path(), engine);
}

PlumedTables read_plumed_umbrella(const std::vector<std::filesystem::path>& files, const PlumedEngine& engine) {
    std::vector<PlumedState> states;
    for (const std::filesystem::path& file : files)
        states.push_back(read_plumed_state(plumed_content(file), file.string(), file.parent_path(), engine));
    return plumed_windows(states);
}

}  // namespace microlift
