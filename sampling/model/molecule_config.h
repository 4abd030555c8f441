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
    std::string topology_checksum, coordinates_checksum;  // of these files; empty: any
};

extern const Section<MoleculeConfig> molecule_section;

// K, where none is given.
inline constexpr double kRoomTemperature = 300;

// The keys of a molecule's files, where each lies (relative to the configuration's folder), and the checksum of
// what was read there.
struct MoleculeFile {
    const char* key;
    std::string file;  // empty: none is given
    std::string checksum;
};
std::vector<MoleculeFile> molecule_files(const Config& config, const LoadedMolecule& molecule);

// The molecule of a configuration; KeyError for keys that do not go together, InputError for what its
// files refuse.
std::shared_ptr<const LoadedMolecule> load_molecule(const Config& config,
                                                    const MoleculeConfig& molecule);

}  // namespace microlift
