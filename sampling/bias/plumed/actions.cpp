#include "sampling/bias/plumed/actions.h"

#include <algorithm>
#include <sstream>

namespace microlift {

namespace {

// Behind "STEP#" or "CALC_RCT!" the name alone.
std::string plain_key(std::string name) {
    if (!name.empty() && (name.back() == '!' || name.back() == '#')) name.pop_back();
    return name;
}

bool names_key(const std::string& entry, std::string_view key) {
    if (entry.back() != '#') return plain_key(entry) == key;
    const std::string stem = plain_key(entry);
    if (key.size() <= stem.size() || key.substr(0, stem.size()) != stem) return false;
    return std::ranges::all_of(key.substr(stem.size()), [](char c) { return c >= '0' && c <= '9'; });
}

std::vector<std::string> entries_of(const char* list) {
    std::istringstream words(list);
    std::vector<std::string> entries;
    for (std::string word; words >> word;) entries.push_back(word);
    return entries;
}

bool has_key(const char* list, std::string_view key, bool flags_only = false) {
    return std::ranges::any_of(entries_of(list), [&](const std::string& entry) {
        return names_key(entry, key) && (!flags_only || entry.back() == '!');
    });
}

// Of every action.
constexpr const char* kIdleAlways = "NUMERICAL_DERIVATIVES!";
constexpr const char* kReadAlways = "RESTART";
constexpr const char* kRefusedAlways = "UPDATE_FROM UPDATE_UNTIL";

std::string shown_keys(const char* list) {
    std::string text;
    for (const std::string& entry : entries_of(list)) {
        const std::string end = entry.back() == '#' ? "*n*" : "";
        text += (text.empty() ? "`" : ", `") + plain_key(entry) + "`" + end;
    }
    return text;
}

}  // namespace

PlumedUse PlumedActionInfo::use(std::string_view key) const {
    if (has_key(read, key) || has_key(kReadAlways, key)) return PlumedUse::read;
    if (has_key(idle, key) || has_key(kIdleAlways, key)) return PlumedUse::idle;
    if (has_key(refused, key) || has_key(kRefusedAlways, key)) return PlumedUse::refused;
    return PlumedUse::unknown;
}

bool PlumedActionInfo::is_flag(std::string_view key) const {
    return has_key(read, key, true) || has_key(idle, key, true) || has_key(refused, key, true) ||
           has_key(kIdleAlways, key, true);
}

std::vector<std::string> PlumedActionInfo::keys() const {
    std::vector<std::string> names;
    for (const char* list : {read, idle})
        for (const std::string& entry : entries_of(list)) names.push_back(plain_key(entry));
    return names;
}

const std::vector<PlumedActionInfo>& plumed_actions() {
    static const std::vector<PlumedActionInfo> actions{
        {"UNITS", "the units of what follows", "LENGTH ENERGY TIME", "MASS CHARGE", "NATURAL!"},
        {"MOLINFO", "shortcuts such as `@phi-2`, of the residues of a PDB file", "STRUCTURE", "MOLTYPE WHOLE!",
         "PYTHON_BIN"},
        {"GROUP", "atoms by a name", "ATOMS", "", "NDX_FILE NDX_GROUP REMOVE SORT! UNIQUE!"},
        {"TORSION", "`kind = \"dihedral\"`", "ATOMS", "NOPBC!", "COSINE! VECTORA VECTORB VECTOR1 VECTOR2 AXIS ATOMS#"},
        {"DISTANCE", "`kind = \"distance\"`", "ATOMS", "NOPBC!", "COMPONENTS! SCALED_COMPONENTS! ATOMS#"},
        {"ANGLE", "`kind = \"angle\"`", "ATOMS", "NOPBC!", "ATOMS#"},
        {"GYRATION", "`kind = \"gyration\"`", "ATOMS TYPE MASS_WEIGHTED! MASS!", "NOPBC!",
         "WEIGHTS PHASES! UNORMALIZED! ATOMS#"},
        {"COORDINATION", "`kind = \"coordination\"`; a formula where powers are others than 6 and 12",
         "GROUPA GROUPB R_0 NN MM D_0 SWITCH", "NOPBC! NLIST! NL_CUTOFF NL_STRIDE SERIAL!", "PAIR!"},
        {"RMSD", "`kind = \"rmsd\"`", "REFERENCE TYPE", "NOPBC!", "SQUARED! ALIGN DISPLACE ARG NUMBER DISPLACEMENT!"},
        {"CUSTOM", "`kind = \"formula\"`", "ARG FUNC VAR PERIODIC", "", ""},
        {"MATHEVAL", "`kind = \"formula\"`", "ARG FUNC VAR PERIODIC", "", ""},
        {"COMBINE", "`kind = \"formula\"`", "ARG COEFFICIENTS PARAMETERS POWERS PERIODIC", "", "NORMALIZE!"},
        {"METAD", "`method = \"metadynamics\"`",
         "ARG SIGMA HEIGHT TAU PACE BIASFACTOR TEMP GRID_MIN GRID_MAX GRID_BIN GRID_SPACING WALKERS_N "
         "WALKERS_MPI!",
         "FILE FMT STRIDE GRID_SPARSE! GRID_NOSPLINE! GRID_WSTRIDE GRID_WFILE STORE_GRIDS! NLIST! NLIST_PARAMETERS "
         "CALC_RCT! RCT_USTRIDE CALC_WORK! CALC_MAX_BIAS! WALKERS_ID WALKERS_DIR WALKERS_RSTRIDE",
         "ADAPTIVE SIGMA_MIN SIGMA_MAX RECT DAMPFACTOR TARGET INTERVAL GRID_RFILE FLYING_GAUSSIAN! "
         "ACCELERATION! ACCELERATION_RFILE CALC_TRANSITION_BIAS! TRANSITIONWELL# TTBIASFACTOR TTBIASTHRESHOLD TTALPHA "
         "FREQUENCY_ADAPTIVE! FA_UPDATE_FREQUENCY FA_MAX_PACE FA_MIN_ACCELERATION"},
        {"OPES_METAD", "`method = \"opes\"`", "ARG PACE BARRIER SIGMA SIGMA_MIN BIASFACTOR TEMP",
         "FILE FMT STRIDE COMPRESSION_THRESHOLD KERNEL_CUTOFF RECURSIVE_MERGE_OFF! ADAPTIVE_SIGMA_STRIDE NLIST! "
         "NLIST_PARAMETERS NLIST_PACE_RESET! STATE_RFILE STATE_WFILE STATE_WSTRIDE STORE_STATES! CALC_WORK! "
         "WALKERS_MPI! "
         "SERIAL!",
         "EPSILON FIXED_SIGMA! NO_ZED! EXCLUDED_REGION EXTRA_BIAS"},
        {"OPES_METAD_EXPLORE", "`method = \"opes_explore\"`", "ARG PACE BARRIER SIGMA SIGMA_MIN BIASFACTOR TEMP",
         "FILE FMT STRIDE COMPRESSION_THRESHOLD KERNEL_CUTOFF RECURSIVE_MERGE_OFF! ADAPTIVE_SIGMA_STRIDE NLIST! "
         "NLIST_PARAMETERS NLIST_PACE_RESET! STATE_RFILE STATE_WFILE STATE_WSTRIDE STORE_STATES! CALC_WORK! "
         "WALKERS_MPI! "
         "SERIAL!",
         "EPSILON FIXED_SIGMA! NO_ZED! EXCLUDED_REGION"},
        {"DRR", "`method = \"eabf\"`",
         "ARG GRID_MIN GRID_MAX GRID_BIN GRID_SPACING KAPPA FULLSAMPLES TEMP MAXFACTOR REFLECTINGWALL",
         "TAU FRICTION STRIDE OUTPUTFREQ HISTORYFREQ OUTPUTPREFIX ZGRID_MIN ZGRID_MAX ZGRID_BIN ZGRID_SPACING NOCZAR! "
         "UI! "
         "TEXTOUTPUT! MERGEHISTORYFILES! FMT",
         "EXTERNAL_FORCE EXTERNAL_FICT UIRESTARTPREFIX DRR_RFILE NOBIAS! EXTTEMP"},
        {"RESTRAINT", "a window of `[umbrella]`; beside an adaptive bias a parabola of `bias.walls`",
         "ARG AT KAPPA SLOPE", "STRIDE", ""},
        {"MOVINGRESTRAINT", "`method = \"steered\"`", "ARG STEP# AT# KAPPA# VERSE", "STRIDE", ""},
        {"UPPER_WALLS", "`upper` of `bias.walls`", "ARG AT KAPPA EXP EPS OFFSET", "STRIDE", ""},
        {"LOWER_WALLS", "`lower` of `bias.walls`", "ARG AT KAPPA EXP EPS OFFSET", "STRIDE", ""},
        {"PRINT", "`output.plumed`; `stride`, unless the configuration gives it", "ARG STRIDE", "FILE FMT", ""},
        {"INCLUDE", "the lines of another input", "FILE", "", ""},
        {"RESTART", "refused, unless with `NO`", "NO!", "", ""},
        {"ENERGY", "nothing: a column that `COLVAR` leaves out", "", "", ""},
        {"FLUSH", "nothing", "", "STRIDE", ""},
        {"WHOLEMOLECULES", "nothing: there is no box", "", "STRIDE ENTITY# RESIDUES MOLTYPE EMST! ADDREFERENCE!", ""},
    };
    return actions;
}

const PlumedActionInfo* find_plumed_action(std::string_view name) {
    const std::vector<PlumedActionInfo>& all = plumed_actions();
    const auto found = std::ranges::find_if(all, [&](const PlumedActionInfo& action) { return action.name == name; });
    return found == all.end() ? nullptr : &*found;
}

std::string plumed_actions_markdown() {
    std::string out = "| action | here | read | without effect here | refused |\n| --- | --- | --- | --- | --- |\n";
    for (const PlumedActionInfo& action : plumed_actions())
        out += "| `" + std::string(action.name) + "` | " + action.meaning + " | " + shown_keys(action.read) + " | " +
               shown_keys(action.idle) + " | " + shown_keys(action.refused) + " |\n";
    return out;
}

}  // namespace microlift
