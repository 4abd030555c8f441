#include "sampling/molecule/files/openmm_system.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "engine/at.h"
#include "engine/error.h"
#include "sampling/molecule/elements.h"
#include "sampling/molecule/files/openmm_impropers.h"
#include "sampling/molecule/files/openmm_restraints.h"
#include "sampling/molecule/files/openmm_solvent.h"
#include "sampling/molecule/solvent_parameters.h"

namespace microlift {

namespace {

using AtomPair = std::array<index, 2>;

AtomPair in_order(AtomPair atoms) {
    return {std::min(atoms[0], atoms[1]), std::max(atoms[0], atoms[1])};
}

class OpenmmReader {
public:
    OpenmmReader(const TextFile& file, std::vector<std::string>& notes)
        : file_(file), xml_(file, "System"), notes_(notes) {}

    Molecule read() {
        read_particles(xml_.child(xml_.root(), "Particles"));
        read_constraints(xml_.optional_child(xml_.root(), "Constraints"));
        for (const pugi::xml_node part : xml_.root().children()) {
            const std::string name = part.name();
            if (name != "PeriodicBoxVectors" && name != "Particles" && name != "Constraints" &&
                name != "Forces")
                xml_.refuse(part, "<" + name + "> is not supported in a System; leave it out");
        }
        const pugi::xml_node forces = xml_.child(xml_.root(), "Forces");
        xml_.count(forces, "Force");
        // Solvents compare their charges with those of the pairs.
        for (const bool solvent : {false, true})
            for (const pugi::xml_node force : forces.children()) {
                const std::string type = force.attribute("type").value();
                if ((type == "GBSAOBCForce" || type == "CustomGBForce") == solvent) read_force(force, type);
            }
        name_bonds();
        if (molecule_.solvent.kind != SolventKind::none) check_radii();
        return std::move(molecule_);
    }

private:
    index n() const { return molecule_.size(); }
    template <std::size_t N>
    std::array<index, N> atoms(pugi::xml_node node, const std::array<const char*, N>& attributes) const {
        return xml_.distinct<N>(node, attributes, n());
    }

    void read_particles(pugi::xml_node particles) {
        const index count = xml_.count(particles, "Particle");
        if (count < 1 || count > kMostAtoms)
            xml_.refuse(particles, std::to_string(count) + " particles; give a molecule of 1 to " +
                                       std::to_string(kMostAtoms));
        molecule_.atoms.reserve(at(count));
        for (const pugi::xml_node particle : particles.children()) {
            if (const pugi::xml_node site = particle.first_child())
                xml_.refuse(site, "virtual sites (" + std::string(site.name()) +
                                      ") are not supported; use a force field without them");
            Atom atom;
            atom.mass = xml_.number(particle, "mass");
            if (!(atom.mass > 0))
                xml_.refuse(particle, "particle " + std::to_string(n()) +
                                          " has no mass: fixed particles are not supported; give it a "
                                          "positive mass, and restrain it");
            atom.element = element_of_mass(atom.mass);
            molecule_.atoms.push_back(atom);
        }
    }

    void read_constraints(pugi::xml_node constraints) {
        xml_.count(constraints, "Constraint");
        for (const pugi::xml_node constraint : constraints.children()) {
            const RigidBond bond{atoms<2>(constraint, {"p1", "p2"}), xml_.number(constraint, "d")};
            if (!(bond.length > 0)) xml_.refuse(constraint, "d must be positive, in nm");
            if (!rigid_.insert(in_order(bond.atoms)).second)
                xml_.refuse(constraint, "these particles are constrained already; leave one of the two");
            molecule_.rigid_bonds.push_back(bond);
        }
    }

    void read_force(pugi::xml_node force, const std::string& type) {
        static const std::map<std::string, void (OpenmmReader::*)(pugi::xml_node)> kForces{
            {"HarmonicBondForce", &OpenmmReader::read_bonds},
            {"HarmonicAngleForce", &OpenmmReader::read_angles},
            {"PeriodicTorsionForce", &OpenmmReader::read_torsions},
            {"RBTorsionForce", &OpenmmReader::read_ryckaert_torsions},
            {"CustomTorsionForce", &OpenmmReader::read_impropers},
            {"CMAPTorsionForce", &OpenmmReader::read_maps},
            {"NonbondedForce", &OpenmmReader::read_pairs},
            {"GBSAOBCForce", &OpenmmReader::read_solvent},
            {"CustomGBForce", &OpenmmReader::read_solvent},
            {"CustomExternalForce", &OpenmmReader::read_restraints},
            {"CMMotionRemover", &OpenmmReader::skip},
        };
        const auto found = kForces.find(type);
        if (found == kForces.end())
            xml_.refuse(force, "the force " + (type.empty() ? "without a type" : type) +
                                   " is not supported; make the System without it (bonds, angles, "
                                   "torsions, CMAP, harmonic impropers, NonbondedForce without cutoff, GB solvents and "
                                   "harmonic restraints are)");
        if (force.attribute("usesPeriodic").as_bool())
            xml_.refuse(force, type + " with periodic boundaries is not supported; set "
                                      "usesPeriodicBoundaryConditions to false");
        (this->*found->second)(force);
    }

    void skip(pugi::xml_node) {
        notes_.push_back(file_.path().string() +
                         ": CMMotionRemover is left out; the centre of mass moves freely");
    }

    void read_bonds(pugi::xml_node force) {
        const pugi::xml_node list = xml_.child(force, "Bonds");
        xml_.count(list, "Bond");
        const std::size_t first = molecule_.bonds.size();
        for (const pugi::xml_node bond : list.children()) {
            molecule_.bonds.push_back({atoms<2>(bond, {"p1", "p2"}), xml_.number(bond, "d"),
                                       xml_.number(bond, "k")});
            if (molecule_.bonds.back().length < 0 || molecule_.bonds.back().stiffness < 0)
                xml_.refuse(bond, "d and k may not be negative");
        }
        // A second force holds Urey-Bradley terms, between the ends of angles.
        if (bond_forces_++ > 0)
            for (std::size_t i = first; i < molecule_.bonds.size(); ++i)
                later_bonds_.insert(in_order(molecule_.bonds[i].atoms));
        else
            for (const Bond& bond : molecule_.bonds) first_bonds_.insert(in_order(bond.atoms));
    }

    void read_angles(pugi::xml_node force) {
        const pugi::xml_node list = xml_.child(force, "Angles");
        xml_.count(list, "Angle");
        for (const pugi::xml_node angle : list.children())
            molecule_.angles.push_back({atoms<3>(angle, {"p1", "p2", "p3"}), xml_.number(angle, "a"),
                                        xml_.number(angle, "k")});
    }

    void read_torsions(pugi::xml_node force) {
        const pugi::xml_node list = xml_.child(force, "Torsions");
        xml_.count(list, "Torsion");
        for (const pugi::xml_node torsion : list.children()) {
            const index periodicity = xml_.integer(torsion, "periodicity");
            if (periodicity < 1 || periodicity > 100)
                xml_.refuse(torsion, "periodicity must be 1, 2, 3, …");
            molecule_.torsions.push_back({atoms<4>(torsion, {"p1", "p2", "p3", "p4"}),
                                          static_cast<int>(periodicity), xml_.number(torsion, "phase"),
                                          xml_.number(torsion, "k")});
        }
    }

    void read_ryckaert_torsions(pugi::xml_node force) {
        const pugi::xml_node list = xml_.child(force, "Torsions");
        xml_.count(list, "Torsion");
        for (const pugi::xml_node torsion : list.children()) {
            RyckaertTorsion term{atoms<4>(torsion, {"p1", "p2", "p3", "p4"}), {}};
            static constexpr std::array<const char*, 6> kNames{"c0", "c1", "c2", "c3", "c4", "c5"};
            for (std::size_t i = 0; i < kNames.size(); ++i)
                term.coefficients[i] = xml_.number(torsion, kNames[i]);
            molecule_.ryckaert_torsions.push_back(term);
        }
    }

    void read_maps(pugi::xml_node force) {
        const pugi::xml_node maps = xml_.child(force, "Maps"), list = xml_.child(force, "Torsions");
        const index first = static_cast<index>(molecule_.maps.size());
        const index count = xml_.count(maps, "Map");
        for (const pugi::xml_node map : maps.children()) {
            const index size = xml_.integer(map, "size"), points = xml_.count(map, "Energy");
            constexpr index kMostPoints = 360;
            if (size < 4 || size > kMostPoints || points != size * size)
                xml_.refuse(map, std::to_string(points) + " energies of a map of size " +
                                     std::to_string(size) + "; give the size's square, of 4 to 360");
            CorrectionMap read{static_cast<int>(size), {}};
            for (const pugi::xml_node energy : map.children())
                read.energy.push_back(xml_.number(energy, "e"));
            molecule_.maps.push_back(std::move(read));
        }
        xml_.count(list, "Torsion");
        for (const pugi::xml_node torsion : list.children())
            molecule_.correction_terms.push_back(
                {static_cast<int>(first + xml_.below(torsion, "map", count, "map")),
                 atoms<4>(torsion, {"a1", "a2", "a3", "a4"}),
                 atoms<4>(torsion, {"b1", "b2", "b3", "b4"})});
    }

    void read_pairs(pugi::xml_node force) {
        if (has_pairs_) xml_.refuse(force, "a second NonbondedForce is not supported; give one");
        has_pairs_ = true;
        static constexpr std::array<const char*, 6> kMethods{
            "NoCutoff", "CutoffNonPeriodic", "CutoffPeriodic", "Ewald", "PME", "LJPME"};
        const index method = xml_.below(force, "method", std::ssize(kMethods), "method");
        if (method != 0)
            xml_.refuse(force, "NonbondedForce with " + std::string(kMethods[at(method)]) +
                                   " is not supported (no cutoffs, no periodic boxes); make the System "
                                   "with nonbondedMethod=NoCutoff");
        for (const char* name : {"ParticleOffsets", "ExceptionOffsets"})
            if (const pugi::xml_node offset = force.child(name).first_child())
                xml_.refuse(offset, "NonbondedForce with parameter offsets is not supported; make the "
                                    "System without them");
        const pugi::xml_node particles = xml_.child(force, "Particles");
        if (xml_.count(particles, "Particle") != n())
            xml_.refuse(particles, "NonbondedForce has " +
                                       std::to_string(xml_.count(particles, "Particle")) +
                                       " particles, the System " + std::to_string(n()));
        std::size_t i = 0;
        for (const pugi::xml_node particle : particles.children()) {
            Atom& atom = molecule_.atoms[i++];
            atom.charge = xml_.number(particle, "q");
            atom.sigma = xml_.number(particle, "sig");
            atom.epsilon = xml_.number(particle, "eps");
            if (atom.sigma < 0 || atom.epsilon < 0)
                xml_.refuse(particle, "sig and eps may not be negative");
        }
        const pugi::xml_node exceptions = xml_.child(force, "Exceptions");
        xml_.count(exceptions, "Exception");
        std::map<AtomPair, PairException> found;
        for (const pugi::xml_node exception : exceptions.children()) {
            const AtomPair pair = in_order(atoms<2>(exception, {"p1", "p2"}));
            PairException read{pair, xml_.number(exception, "q"), xml_.number(exception, "sig"),
                               xml_.number(exception, "eps")};
            if (read.epsilon == 0) read.sigma = 0;
            if (!found.emplace(pair, read).second)
                xml_.refuse(exception, "these particles have an exception already; leave one of the two");
        }
        for (const auto& [pair, exception] : found) molecule_.exceptions.push_back(exception);
    }

    void read_solvent(pugi::xml_node force) {
        if (molecule_.solvent.kind != SolventKind::none)
            xml_.refuse(force, "a second implicit solvent; give one");
        const bool native = force.attribute("type").value() == std::string("GBSAOBCForce");
        if (!has_pairs_) xml_.refuse(force, "an implicit solvent without a NonbondedForce; give both");
        molecule_.solvent = native ? read_openmm_obc(xml_, force, molecule_)
                                   : read_openmm_custom_gb(xml_, force, molecule_);
    }

    void read_impropers(pugi::xml_node force) { read_openmm_impropers(xml_, force, molecule_); }

    void read_restraints(pugi::xml_node force) { read_openmm_restraints(xml_, force, molecule_, notes_); }

    void name_bonds() {
        std::set<AtomPair> ends;
        for (const Angle& angle : molecule_.angles) ends.insert(in_order({angle.atoms[0], angle.atoms[2]}));
        std::set<AtomPair> bonded = first_bonds_;
        for (const AtomPair& pair : later_bonds_)
            if (!ends.count(pair)) bonded.insert(pair);
        for (const AtomPair& pair : rigid_)
            if (!ends.count(pair)) bonded.insert(pair);
        molecule_.bonded.assign(bonded.begin(), bonded.end());
    }

    void check_radii() const {
        try {
            check_solvent_radii(molecule_, molecule_.solvent);
        } catch (const InputError& error) {
            file_.refuse(error.what());
        }
    }

    const TextFile& file_;
    XmlFile xml_;
    std::vector<std::string>& notes_;
    Molecule molecule_;
    std::set<AtomPair> rigid_, first_bonds_, later_bonds_;
    int bond_forces_ = 0;
    bool has_pairs_ = false;
};

}  // namespace

Molecule read_openmm_system(const TextFile& file, std::vector<std::string>& notes) {
    return OpenmmReader(file, notes).read();
}

}  // namespace microlift
