#include "sampling/model/molecule_config.h"

#include <filesystem>

#include "engine/config/section.h"

namespace microlift {

const Section<MoleculeConfig> molecule_section{"system", {
    optional(&MoleculeConfig::topology, "topology", "\"ala2.prmtop\"",
             "of a molecule: AMBER prmtop (parm7), or an OpenMM System as XML; relative to the "
             "configuration's folder"),
    optional(&MoleculeConfig::coordinates, "coordinates", "\"ala2.inpcrd\"",
             "AMBER inpcrd (rst7), PDB, or an OpenMM State as XML"),
    optional(&MoleculeConfig::implicit_solvent, "implicit_solvent", "\"obc2\"",
             "generalised Born model of a prmtop; none if left out; an XML carries its own")
        .one_of({"none", "hct", "obc1", "obc2", "gbn", "gbn2"}),
    optional(&MoleculeConfig::surface, "surface", "\"ace\"",
             "surface term of the implicit solvent; ace if left out").one_of({"ace", "none"}),
    optional(&MoleculeConfig::salt, "salt", "0.1",
             "concentration of monovalent ions in the implicit solvent; 0 if left out")
        .from(0).to(100).unit("mol/l"),
    optional(&MoleculeConfig::constraints, "constraints", "\"h_bonds\"",
             "bonds with hydrogens are rigid (h_bonds) or not (none, if left out)")
        .one_of({"none", "h_bonds"}),
    optional(&MoleculeConfig::hydrogen_mass, "hydrogen_mass", "3.0",
             "mass of hydrogens, taken from the atoms that they are bound to; as in the file if left "
             "out or 0").from(0).to(10).unit("u"),
    optional(&MoleculeConfig::temperature, "temperature", "300.0",
             "of a molecule; 300 if left out").above(0).to(1e5).unit("K"),
    optional(&MoleculeConfig::topology_checksum, "topology_checksum", "\"ef46db3751d8e999\"",
             "XXH64 of that file; a run writes it into its own configuration, and another file is "
             "refused"),
    optional(&MoleculeConfig::coordinates_checksum, "coordinates_checksum", "\"ef46db3751d8e999\"",
             "XXH64 of that file; the same"),
}};

namespace {

std::filesystem::path in_folder(const Config& config, const std::string& file) {
    if (file.empty()) return {};
    return std::filesystem::path(config.file()).parent_path() / file;
}

SolventOptions solvent_options(const MoleculeConfig& molecule) {
    SolventOptions options;
    if (!molecule.implicit_solvent.empty())
        solvent_kind(molecule.implicit_solvent, options.kind);
    options.salt = molecule.salt;
    options.temperature = molecule.temperature.value_or(kRoomTemperature);
    options.surface = molecule.surface != "none";
    return options;
}

}  // namespace

std::vector<MoleculeFile> molecule_files(const Config& config, const LoadedMolecule& molecule) {
    std::vector<MoleculeFile> files{{"system.topology", "", molecule.topology_checksum},
                                    {"system.coordinates", "", molecule.coordinates_checksum}};
    for (MoleculeFile& file : files)
        if (config.has(file.key)) file.file = in_folder(config, config.text(file.key)).string();
    return files;
}

std::shared_ptr<const LoadedMolecule> load_molecule(const Config& config,
                                                    const MoleculeConfig& molecule) {
    if (molecule.topology.empty())
        throw KeyError("system.topology", "key 'system.topology' is missing",
                       "give the molecule's file, for example topology = \"ala2.prmtop\"");
    const SolventOptions solvent = solvent_options(molecule);
    for (const char* key : {"system.salt", "system.surface"})
        if (solvent.kind == SolventKind::none && config.given(key))
            throw KeyError(key, "key '" + std::string(key) + "' does not go without a solvent",
                           "leave it out, or set implicit_solvent, which a prmtop takes (an OpenMM System "
                           "carries its own solvent and takes neither)");
    if (molecule.coordinates.empty() && !molecule.coordinates_checksum.empty())
        throw KeyError("system.coordinates_checksum",
                       "key 'system.coordinates_checksum' is given without a file in 'system.coordinates'",
                       "leave it out");
    MoleculeFiles files;
    files.topology = in_folder(config, molecule.topology);
    files.coordinates = in_folder(config, molecule.coordinates);
    files.solvent = solvent;
    files.rigid_hydrogen_bonds = molecule.constraints == "h_bonds";
    files.hydrogen_mass = molecule.hydrogen_mass;
    auto loaded = std::make_shared<const LoadedMolecule>(read_molecule(files));
    check_checksum("system.topology", files.topology.string(), loaded->topology_checksum,
                   molecule.topology_checksum);
    check_checksum("system.coordinates", files.coordinates.string(), loaded->coordinates_checksum,
                   molecule.coordinates_checksum);
    return loaded;
}

}  // namespace microlift
