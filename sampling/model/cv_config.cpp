#include "sampling/model/cv_config.h"

#include <algorithm>
#include <filesystem>

#include "engine/config/section.h"
#include "sampling/formula/substitute.h"
#include "sampling/model/cv_geometry.h"
#include "sampling/model/model.h"
#include "sampling/molecule/files/coordinates.h"
#include "sampling/molecule/files/read_molecule.h"

namespace microlift {
namespace {

void read_reference(CvVariable& variable, const ConfigValue& value) {
    if (value.kind == ConfigValue::Kind::text)
        variable.reference_file = value.text;
    else
        assign(variable.reference, value);
}

}  // namespace

const Section<CvVariable> cv_section{"cv.variables[]", {
    key(&CvVariable::kind, "kind", "formula", "how the collective variable is computed")
        .one_of({"formula", "distance", "angle", "dihedral", "coordination", "gyration", "rmsd",
                "diffusion_map"}),
    optional(&CvVariable::formula, "formula", "\"x - y\"",
             "formula in the system's variables and in names of cv.where and of the variables before it"),
    optional(&CvVariable::atoms, "atoms", "[4, 6, 8, 14]",
             "the two atoms of a distance, the three of an angle or the four of a dihedral angle (in "
             "radians), counted from 0; atom i is variables 3i, 3i + 1 and 3i + 2; of a molecule also the "
             "atoms of a radius of gyration or of an rmsd, or the first group of a coordination number"),
    optional(&CvVariable::others, "others", "[20, 24]",
             "the second group of a coordination number, the sum over pairs of (1 - (r/range)^6)/(1 - "
             "(r/range)^12); left out: pairs within the first"),
    key(&CvVariable::range, "range", 0.3, "of a coordination number: the distance that counts a half")
        .above(0).unit("nm"),
    key(&CvVariable::by_mass, "by_mass", false,
        "whether a radius of gyration or an rmsd weighs atoms by their mass"),
    optional_read_by<CvVariable>(read_reference, KeyType::state, "reference", "\"folded.pdb\"",
             "what an rmsd measures from, after the best rotation: a file of the molecule's coordinates, or x, y, z "
             "of each of its atoms in turn; the system's coordinates if left out").unit("nm"),
    optional(&CvVariable::file, "file", "\"out/diffusion_map.json\"",
             "what `microlift learn` wrote, for kind = \"diffusion_map\""),
    optional(&CvVariable::checksum, "checksum", "\"ef46db3751d8e999\"",
             "XXH64 of that file; a run writes it into its own configuration, and another file is "
             "refused"),
    optional(&CvVariable::coordinate, "coordinate", "1",
             "number of the learned coordinate; 1 if left out").from(1).to(48),
    optional(&CvVariable::name, "name", "\"phi\"",
             "name in file headers and pictures; the formula if left out"),
    optional(&CvVariable::unit, "unit", "\"rad\"", "unit, for files and pictures"),
    key(&CvVariable::period, "period", 0.0,
        "period of a periodic collective variable; 0: not periodic").from(0),
}};

namespace {

// Keys that an entry of cv.where has, too.
bool is_of_where(const std::string& key) {
    for (const char* other : {"file", "checksum", "coordinate", "unit", "period"})
        if (key == other) return false;
    return true;
}

}  // namespace

void add_cv_keys(Schema& schema) {
    KeySpec variables;
    variables.path = "cv.variables";
    variables.type = KeyType::entries;
    variables.example = "[\"x\"]";
    variables.help = "the collective variables xi, one or two: formulas in the system's variables, or "
                     "tables { formula = \"x\", period = 6.283185307179586 }";
    variables.required = true;
    schema.keys.push_back(std::move(variables));
    cv_section.add_to(schema);
    KeySpec where;
    where.path = "cv.where";
    where.type = KeyType::entries;
    where.example = "[{ name = \"psi\", kind = \"dihedral\", atoms = [6, 8, 14, 16] }]";
    where.help = "quantities by name, for the formulas of collective variables";
    schema.keys.push_back(std::move(where));
    for (const Key<CvVariable>& key : cv_section.keys()) {
        KeySpec spec = key.spec;
        const std::string name = last_part(spec.path);
        if (!is_of_where(name)) continue;
        spec.path = "cv.where[]." + name;
        spec.help = name == "name" ? "by which formulas know it" : "as of cv.variables";
        std::erase(spec.choices, "diffusion_map");
        schema.keys.push_back(std::move(spec));
    }
}

namespace {

void name_learned(CvVariable& variable) {
    const char* path = "cv.variables";
    if (variable.file.empty()) {
        throw KeyError(path, "key 'cv.variables[].file' is missing",
                       "give what 'microlift learn' wrote, for example file = "
                       "\"out/diffusion_map.json\"");
    }
    if (variable.coordinate == 0) variable.coordinate = 1;
    variable.formula = "phi_" + std::to_string(variable.coordinate);
}

// A formula, a dihedral angle, or a coordinate that was learned.
void resolve_cv(const ModelConfig& model, CvVariable& variable) {
    const SystemConfig& system = model.system;
    const struct {
        const char *key, *kind;
        bool given;
    } owners[] = {{"formula", "formula", !variable.formula.empty()},
                  {"atoms", atoms_of(variable.kind) > 0 || of_group(variable.kind) ? variable.kind.c_str() : "dihedral",
                   !variable.atoms.empty()},
                  {"others", "coordination", !variable.others.empty()},
                  {"file", "diffusion_map", !variable.file.empty()},
                  {"reference", "rmsd", !variable.reference.empty() || !variable.reference_file.empty()},
                  {"checksum", "diffusion_map", !variable.checksum.empty()},
                  {"coordinate", "diffusion_map", variable.coordinate != 0}};
    for (const auto& owner : owners) {
        if (owner.given && variable.kind != owner.kind) {
            throw KeyError("cv.variables",
                           "key 'cv.variables[]." + std::string(owner.key) +
                               "' does not go with kind = \"" + variable.kind + "\"",
                           "leave it out, or set kind = \"" + std::string(owner.kind) + "\"");
        }
    }
    if (atoms_of(variable.kind) > 0) {
        name_geometry(system, variable);
    } else if (of_group(variable.kind)) {
        name_group(model, variable);
    } else if (variable.kind == "diffusion_map") {
        name_learned(variable);
    } else if (variable.formula.empty()) {
        throw KeyError("cv.variables", "key 'cv.variables[].formula' is missing",
                       "give a formula in the system's variables, for example formula = \"x - y\"");
    }
    if (variable.name.empty()) variable.name = variable.formula;
}

// Quantities that formulas may name, in the order in which they are told.
class NamedQuantities {
public:
    explicit NamedQuantities(Symbols symbols) : symbols_(std::move(symbols)) {}

    void add(const CvVariable& variable) { known_.push_back(variable); }
    // What is wrong with a quantity is told once, not in each formula that names it.
    void add_unknown(const std::string& name) {
        if (name.empty() || find(name)) return;
        CvVariable stand_in;
        stand_in.kind = "formula";
        stand_in.name = name;
        stand_in.formula = stand_in.text = "1";
        known_.push_back(stand_in);
    }
    // KeyError of `entry` for a formula that is none.
    void check(const std::string& entry, const std::string& formula) const {
        Symbols all = symbols_;
        for (const CvVariable& other : known_) all.variables.push_back(other.name);
        try {
            Expressions graph;
            (void)parse_formula(graph, formula, all);
        } catch (const FormulaError& error) {
            throw of_formula(error.with_key(entry));
        }
    }
    // Of cv.where: KeyError for a name that is none, or that is taken.
    void add_named(const CvVariable& variable) {
        Symbols all = symbols_;
        for (const CvVariable& other : known_) all.variables.push_back(other.name);
        all.variables.push_back(variable.name);
        try {
            check_names(all);
        } catch (const FormulaError& error) {
            throw KeyError("cv.where", error.message(), "give each quantity a name of its own");
        }
        add(variable);
    }

    // A formula with what the names in it stand for.
    void expand(CvVariable& formula) const {
        formula.text = formula.formula;
        for (const CvVariable& other : known_) formula.known.push_back(other.name);
        const std::string written = formula.formula;
        formula.formula = with_names(written, [&](std::string_view name, bool called) {
            const CvVariable* other = called ? nullptr : find(name);
            return other ? "(" + other->formula + ")" : std::string();
        });
        // Formulas are written out in both; other quantities keep their names in the text.
        formula.text = with_names(written, [&](std::string_view name, bool called) -> std::string {
            const CvVariable* other = called ? nullptr : find(name);
            if (!other) return {};
            if (other->kind != "formula") return take(formula, *other), std::string();
            for (const CvVariable& own : other->of) take(formula, own);
            return "(" + other->text + ")";
        });
    }

private:
    const CvVariable* find(std::string_view name) const {
        if (std::ranges::find(symbols_.variables, name) != symbols_.variables.end()) return nullptr;
        for (const CvVariable& other : known_) {
            if (other.name != name) continue;
            if (other.kind == "diffusion_map")
                throw KeyError("cv.variables", "the formula names '" + other.name + "', a learned coordinate",
                               "learned coordinates stand for themselves: take it as the variable");
            return &other;
        }
        return nullptr;
    }
    static void take(CvVariable& formula, const CvVariable& other) {
        const auto same = [&](const CvVariable& own) { return own.name == other.name; };
        if (!std::ranges::any_of(formula.of, same)) formula.of.push_back(other);
    }

    Symbols symbols_;
    std::vector<CvVariable> known_;
};

std::vector<CvVariable> entries(const Config& config, const char* path) {
    std::vector<CvVariable> all;
    if (!config.has(path)) return all;
    for (const ConfigValue& entry : config.at(path).items) {
        CvVariable variable = cv_section.defaults();
        if (entry.kind == ConfigValue::Kind::text)
            variable.formula = entry.text;
        else
            variable = cv_section.read(entry);
        all.push_back(std::move(variable));
    }
    return all;
}

// A file of places becomes the places of the variable's atoms, here and in the configuration.
void read_reference_file(Config& config, const ModelConfig& model, const std::string& path, std::size_t k,
                         CvVariable& variable) {
    if (variable.reference_file.empty() || !model.molecule) return;
    const Molecule& molecule = model.molecule->molecule;
    const std::filesystem::path file =
        std::filesystem::path(config.file()).parent_path() / variable.reference_file;
    std::vector<double> all;
    of_key("cv.variables[].reference", [&] {
        const Coordinates read = read_coordinates(TextFile(file), molecule.size());
        check_order(file, read.atoms, molecule);
        all = read.position;
    });
    variable.reference_file.clear();
    for (const index atom : variable.atoms)
        for (index d = 0; d < 3 && atom >= 0 && atom < molecule.size(); ++d)
            variable.reference.push_back(all[static_cast<std::size_t>(3 * atom + d)]);
    ConfigValue list = config.at(path);
    list.items[k].put("reference", ConfigValue::of(variable.reference));
    config.set(path, std::move(list));
}

class Reader {
public:
    Reader(Config& config, const ModelConfig& model)
        : config_(config), model_(model), known_(symbols_of(model.system)) {}

    void read(const char* path, std::vector<CvVariable>& variables) {
        for (std::size_t k = 0; k < variables.size(); ++k) {
            // What has atoms is one of the system's variables.
            const std::string entry = std::string(path) + "[" + std::to_string(k) + "]";
            const bool of_system = atoms_of(variables[k].kind) > 0;
            config_.with({entry, of_system ? "system.variables" : std::string_view(entry),
                          of_system ? "system.name" : std::string_view(entry)}, [&] {
                try {
                    resolve(path, k, variables[k]);
                } catch (const KeyError& error) {
                    known_.add_unknown(variables[k].name);
                    throw KeyError(entry, of(path, error.wrong()), error.right());
                }
            });
        }
    }

private:
    // What is wrong with an entry is said of the list that it stands in.
    static std::string of(const std::string& path, std::string wrong) {
        const std::string_view usual = "cv.variables[]";
        if (const auto at = wrong.find(usual); at != std::string::npos) wrong.replace(at, usual.size(), path + "[]");
        return wrong;
    }

    void resolve(const std::string& path, std::size_t k, CvVariable& variable) {
        read_reference_file(config_, model_, path, k, variable);
        const bool named = path == "cv.where";
        if (named && variable.name.empty())
            throw KeyError(path, "a quantity of 'cv.where' has no name",
                           "give it one, by which formulas of collective variables know it");
        resolve_cv(model_, variable);
        if (variable.kind == "formula") {
            // Formulas of variables are judged with all the others that a model has.
            if (named) known_.check(path + "[" + std::to_string(k) + "]", variable.formula);
            known_.expand(variable);
            check_invariant(model_, variable);
        }
        if (named)
            known_.add_named(variable);
        else
            known_.add(variable);
    }

    Config& config_;
    const ModelConfig& model_;
    NamedQuantities known_;
};

}  // namespace

KeyError of_formula(const FormulaError& error) {
    const std::string name = error.key().starts_with("cv[") ? "cv.variables" + error.key().substr(2)
                                                            : error.key();
    const std::string where = error.column() > 0
                                  ? "at character " + std::to_string(error.column()) +
                                        " of the formula"
                                  : "in the formula";
    return KeyError(name, "key '" + name + "': " + where + ": " + error.message(),
                    "correct the formula");
}

CvConfig read_cv(Config& config, const ModelConfig& model) {
    CvConfig cv;
    std::vector<CvVariable> where;
    config.with({"cv.variables"}, [&] {
        cv.variables = entries(config, "cv.variables");
        if (cv.count() > 2) {
            throw KeyError("cv.variables",
                           "key 'cv.variables' has " + std::to_string(cv.count()) +
                               " collective variables",
                           "give one or two");
        }
    });
    config.with({"cv.where"}, [&] { where = entries(config, "cv.where"); });
    Reader reader(config, model);
    reader.read("cv.where", where);
    reader.read("cv.variables", cv.variables);
    return cv;
}

}  // namespace microlift
