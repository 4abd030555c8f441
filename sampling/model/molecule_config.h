// [system] with kind = "molecule": the files of a molecule, and what is done to it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sampling/molecule/files/read_molecule.h"

namespace microlift {

class Config;
class Schema;
template <class Struct>
class Section;

struct MoleculeConfig {
    std::string topology, coordinates;  // relative to the configuration's folder
    std::string implicit_solvent;       // empty: none
    std::string constraints;            // empty: none
    std::string surface;                // empty: ace
    double hydrogen_mass = 0;           // u; 0: as in the file
    double salt = 0;                    // mol/l
    std::optional<double> temperature;  // K
};

extern const Section<MoleculeConfig> molecule_section;

// K, where none is given.
inline constexpr double kRoomTemperature = 300;

// The keys of a molecule's files, and where each lies: relative to the configuration's folder.
struct MoleculeFile {
    const char* key;
    std::string file;  // empty: none is given
};
std::vector<MoleculeFile> molecule_files(const Config& config);

// The molecule of a configuration; KeyError for keys that do not go together, InputError for what its
// files refuse.
std::shared_ptr<const LoadedMolecule> load_molecule(const Config& config,
                                                    const MoleculeConfig& molecule);

}  // namespace microlift
