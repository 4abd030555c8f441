// Prints a molecule as JSON, for comparison with what other programs read from the same files.
//   molecule_dump TOPOLOGY [COORDINATES] [SOLVENT [SALT [TEMPERATURE [FOLDER]]]]      "-": none
// With a FOLDER, the coordinates are written there as molecule.pdb and, three times, as frames.dcd.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include <nlohmann/json.hpp>

#include "engine/error.h"
#include "sampling/molecule/files/dcd.h"
#include "sampling/molecule/files/pdb.h"
#include "sampling/molecule/files/read_molecule.h"

using namespace microlift;

namespace {

void write_files(const std::filesystem::path& folder, const LoadedMolecule& loaded) {
    const Molecule& m = loaded.molecule;
    write_file(folder / "molecule.pdb", format_pdb(m, loaded.position.data(), "written by molecule_dump"));
    const std::vector<float> x(loaded.position.begin(), loaded.position.end());
    DcdWriter writer(folder / "frames.dcd", m.size(), 3, 2.0);
    for (int i = 0; i < 3; ++i) writer.append(x.data());
    writer.finish();
}

nlohmann::json json_of(const Molecule& m) {
    nlohmann::json out;
    for (const Atom& a : m.atoms)
        out["atoms"].push_back({a.name, a.residue, a.chain, a.residue_number, a.element, a.mass, a.charge,
                                a.sigma, a.epsilon});
    for (const Bond& b : m.bonds) out["bonds"].push_back({b.atoms, b.length, b.stiffness});
    for (const Angle& a : m.angles) out["angles"].push_back({a.atoms, a.angle, a.stiffness});
    for (const Torsion& t : m.torsions)
        out["torsions"].push_back({t.atoms, t.periodicity, t.phase, t.stiffness});
    for (const RyckaertTorsion& t : m.ryckaert_torsions)
        out["ryckaert"].push_back({t.atoms, t.coefficients});
    for (const HarmonicTorsion& t : m.harmonic_torsions)
        out["harmonic"].push_back({t.atoms, t.angle, t.stiffness});
    for (const CorrectionMap& c : m.maps) out["maps"].push_back({c.size, c.energy});
    for (const CorrectionTerm& c : m.correction_terms)
        out["correction_terms"].push_back({c.map, c.first, c.second});
    for (const PairException& e : m.exceptions)
        out["exceptions"].push_back({e.atoms, e.charge_product, e.sigma, e.epsilon});
    for (const PositionRestraint& r : m.restraints)
        out["restraints"].push_back({r.atom, r.stiffness, r.position});
    for (const RigidBond& b : m.rigid_bonds) out["rigid_bonds"].push_back({b.atoms, b.length});
    const Solvent& s = m.solvent;
    nlohmann::json atoms = nlohmann::json::array();
    for (const auto& a : s.atoms) atoms.push_back({a.radius, a.scale, a.alpha, a.beta, a.gamma});
    out["solvent"] = {{"kind", solvent_name(s.kind)}, {"atoms", atoms}, {"offset", s.offset},
                      {"neck_scale", s.neck_scale}, {"neck_cut", s.neck_cut},
                      {"solute_dielectric", s.solute_dielectric},
                      {"solvent_dielectric", s.solvent_dielectric}, {"kappa", s.kappa},
                      {"surface_energy", s.surface_energy}, {"probe_radius", s.probe_radius}};
    out["bonded"] = m.bonded;
    return out;
}

}  // namespace

int main(int argc, char** argv) {
    const auto argument = [&](int i) { return argc > i && argv[i][0] != '-' ? argv[i] : ""; };
    MoleculeFiles files;
    files.topology = argument(1);
    files.coordinates = argument(2);
    if (argc > 3 && !solvent_kind(argv[3], files.solvent.kind)) return 2;
    if (argc > 4) files.solvent.salt = std::atof(argv[4]);
    if (argc > 5) files.solvent.temperature = std::atof(argv[5]);
    try {
        const LoadedMolecule loaded = read_molecule(files);
        nlohmann::json out = json_of(loaded.molecule);
        out["position"] = loaded.position;
        out["velocity"] = loaded.velocity;
        out["notes"] = loaded.notes;
        if (argc > 6) write_files(argv[6], loaded);
        std::cout << out.dump() << "\n";
    } catch (const Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return error.exit_code();
    }
}
