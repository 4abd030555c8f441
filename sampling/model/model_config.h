// [system], [cv] and [integrator]: what a model is made of and how it moves.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/lane/lane.h"

namespace microlift {

class Config;
class Schema;
struct LoadedMolecule;
template <class Struct>
class Section;

// [system].
struct SystemConfig {
    std::string kind;                    // molecule, or empty
    std::string name;                    // a built-in, or empty for the user's own formulas
    std::optional<double> beta;          // inverse temperature, 1/energy
    std::vector<std::string> variables;  // of a formula system
    std::string potential;               // formula; empty if drift is given
    std::vector<std::string> drift;
    std::vector<std::vector<std::string>> diffusion;  // one row: diagonal; else a matrix, by rows
    bool diffusion_is_matrix = false;
    std::vector<std::pair<std::string, double>> parameters;  // of the formulas, or the built-in
    std::vector<std::string> observe;  // what the generator learns instead of the state

    // States are all there is: no force, no step; kT and its unit are of [samples].
    bool states_alone = false;
    std::string energy_unit;

    // Whether it is the user's own formulas; whether it is a molecule.
    bool is_formula() const { return name.empty(); }
    bool is_molecule() const { return kind == "molecule"; }
};

// One of cv.variables.
struct CvVariable {
    std::string kind;  // formula | distance | angle | dihedral | coordination | gyration | rmsd | diffusion_map
    std::string formula;       // or, of a learned one, what stands for it in files and pictures
    std::vector<index> atoms;  // of a distance two, an angle three, a dihedral angle four; else a group
    std::vector<index> others;  // of a coordination number: the other group; empty: pairs within one
    double range = 0;           // of a coordination number, in the unit of the variables
    bool by_mass = false;       // of a radius of gyration, an rmsd
    std::vector<double> reference;  // of an rmsd: the places of its atoms, (atom, 3)
    std::string reference_file;     // where they stand, until they are read
    std::string text;               // of a formula, as written: `formula` has no names but the system's
    std::vector<CvVariable> of;     // what names in `text` stand for
    std::vector<std::string> known;  // names that it may have
    std::string file;          // of a learned one: what `microlift learn` wrote
    std::string checksum;      // of that file; empty: any
    int coordinate = 0;        // its number there, from 1
    std::string name;          // for file headers and pictures; the formula itself by default
    std::string unit;          // empty: none
    double period = 0;         // 0: not periodic
    bool round = false;        // windows all round it: not a key, umbrella.from and to say it
    double middle = 0;         // of the period that values are told in, where they are
};

// [cv]: one or two variables.
struct CvConfig {
    std::vector<CvVariable> variables;
    int count() const { return static_cast<int>(variables.size()); }  // of collective variables
};

// [integrator]: dt in the unit of time (of molecules ps).
struct IntegratorConfig {
    std::string scheme;
    double dt = 0;
    double mass = 0;           // baoab only
    double friction = 0;       // baoab only, 1/time
    int philox_rounds = 0;     // of the noise: 10 or 7
    double compile_after = 0;  // trajectory-steps; formula systems on the CPU; below 0: never
    bool portable_math = false;  // on CUDA; not a key: of the command (sampling/dynamics/mathematics.h)
};

// What Model is made from.
struct ModelConfig {
    SystemConfig system;
    CvConfig cv;
    IntegratorConfig integrator;
    std::vector<double> start;  // a state that is not improbable; empty: 0
    std::shared_ptr<const LoadedMolecule> molecule;  // of kind = "molecule"
};

extern const Section<SystemConfig> system_section;
extern const Section<CvVariable> cv_section;
extern const Section<IntegratorConfig> integrator_section;

// All keys of the three tables. A built-in system's own parameters are keys of [system], too, and so are
// those of a molecule.
void add_model_keys(Schema& schema, const std::string& system_name, bool molecule);
// Fills what a built-in leaves open, and keeps what is wrong.
// Without a [system] `states` gives the model its variables; with one it is called all the same, before [cv] is read.
using StatesOfModel = std::function<void(ModelConfig&)>;
ModelConfig read_model(Config& config, const StatesOfModel& states = {});
// [system] and, where it is there, [cv].
ModelConfig read_system_and_cvs(Config& config, const StatesOfModel& states = {});
// KeyError for a name that no built-in system has.
void check_system_name(const std::string& name);

// The number of fine-scale variables.
int variable_count(const SystemConfig& system);

}  // namespace microlift
