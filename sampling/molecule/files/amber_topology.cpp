#include "sampling/molecule/files/amber_topology.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "engine/at.h"
#include "engine/error.h"
#include "sampling/molecule/elements.h"
#include "sampling/molecule/files/amber_pairs.h"
#include "sampling/molecule/files/prmtop_sections.h"

namespace microlift {

namespace {

// Places in POINTERS.
enum Pointer {
    kNatom = 0, kNtypes = 1, kNbonh = 2, kNtheth = 4, kNphih = 6, kNparm = 9, kNnb = 10, kNres = 11,
    kNbona = 12, kNtheta = 13, kNphia = 14, kNumbnd = 15, kNumang = 16, kNptra = 17, kNphb = 19,
    kIfpert = 20, kIfbox = 27, kIfcap = 29, kNumextra = 30,
};

class AmberReader {
public:
    explicit AmberReader(const TextFile& file) : sections_(file) {}

    Molecule read(const SolventOptions& solvent) {
        refuse_unsupported_sections();
        pointers_ = sections_.integers("POINTERS");
        constexpr std::size_t kLeastPointers = 30;
        if (pointers_.size() < kLeastPointers)
            sections_.refuse("POINTERS", "it has " + std::to_string(pointers_.size()) +
                                             " numbers of at least 30; give a whole prmtop file");
        pointers_.resize(std::max(pointers_.size(), std::size_t{32}));
        check_pointers();
        read_atoms();
        read_residues();
        read_bonds("BONDS_INC_HYDROGEN", pointer(kNbonh), "NBONH of POINTERS");
        read_bonds("BONDS_WITHOUT_HYDROGEN", pointer(kNbona), "NBONA of POINTERS");
        read_angles("ANGLES_INC_HYDROGEN", pointer(kNtheth), "NTHETH of POINTERS");
        read_angles("ANGLES_WITHOUT_HYDROGEN", pointer(kNtheta), "NTHETA of POINTERS");
        read_torsions("DIHEDRALS_INC_HYDROGEN", pointer(kNphih), "NPHIH of POINTERS");
        read_torsions("DIHEDRALS_WITHOUT_HYDROGEN", pointer(kNphia), "NPHIA of POINTERS");
        read_maps();
        read_amber_pairs(sections_,
                         {pointer(kNtypes), pointer(kNptra), pointer(kNnb), pointer(kNphb)}, ends_,
                         molecule_);
        read_solvent(solvent);
        return std::move(molecule_);
    }

private:
    index pointer(Pointer which) const { return pointers_[which]; }

    void refuse_unsupported_sections() const {
        const auto refuse = [&](const std::string& flag, const std::string& what, const char* instead) {
            if (!flag.empty() && sections_.has(flag))
                sections_.refuse(flag, what + " is not supported; " + instead);
        };
        const char* const other = "use a force field of point charges, as ff14SB or GAFF";
        for (const char* flag : {"CTITLE", "FORCE_FIELD_TYPE"})
            refuse(flag, "a CHARMM force field (CHAMBER topology)", other);
        refuse(sections_.flag_beginning("AMOEBA"), "the AMOEBA force field", other);
        refuse(sections_.flag_beginning("LES_"), "locally enhanced sampling (LES)",
               "write the topology without addles");
        refuse("LENNARD_JONES_CCOEF", "the 12-6-4 potential of ions", "write the topology without it");
        if (sections_.has("IPOL")) {
            const std::vector<long long> polarisable = sections_.integers("IPOL");
            if (!polarisable.empty() && polarisable[0] != 0)
                refuse("IPOL", "a polarisable force field", other);
        }
    }

    void check_pointers() const {
        for (std::size_t i = 0; i < pointers_.size(); ++i)
            if (pointers_[i] < 0 || pointers_[i] > 1000 * kMostAtoms)
                sections_.refuse("POINTERS", "number " + std::to_string(i + 1) + " is " +
                                                 std::to_string(pointers_[i]) +
                                                 ", no size of a molecule; give a whole prmtop file",
                                 static_cast<index>(i));
        const auto refuse = [&](Pointer which, const char* message) {
            if (pointer(which) > 0) sections_.refuse("POINTERS", message, which);
        };
        refuse(kIfbox, "IFBOX > 0: periodic boxes are not supported; write the topology of the molecule "
                       "alone, and choose implicit_solvent");
        refuse(kIfcap, "IFCAP > 0: water caps are not supported; write the topology without solvateCap");
        refuse(kIfpert, "IFPERT > 0: perturbed topologies are not supported; write one without them");
        refuse(kNparm, "NPARM > 0: locally enhanced sampling (LES) is not supported; write the topology "
                       "without addles");
        refuse(kNumextra, "NUMEXTRA > 0: extra points are not supported; use a force field without them");
        if (pointer(kNatom) < 1 || pointer(kNatom) > kMostAtoms)
            sections_.refuse("POINTERS", "NATOM is " + std::to_string(pointer(kNatom)) +
                                             "; give a molecule of 1 to " + std::to_string(kMostAtoms) +
                                             " atoms",
                             kNatom);
        for (const auto& [which, name] : {std::pair{kNtypes, "NTYPES"}, std::pair{kNres, "NRES"}})
            if (pointer(which) < 1 || pointer(which) > pointer(kNatom))
                sections_.refuse("POINTERS", std::string(name) + " is " +
                                                 std::to_string(pointer(which)) +
                                                 "; it must be 1 to NATOM",
                                 which);
    }

    void read_atoms() {
        const index n = pointer(kNatom);
        const std::string why = "NATOM of POINTERS";
        const std::vector<std::string> names = sections_.names("ATOM_NAME", n, why);
        const std::vector<double> charges = sections_.numbers("CHARGE", n, why);
        const std::vector<double> masses = sections_.numbers("MASS", n, why);
        std::vector<long long> elements;
        if (sections_.has("ATOMIC_NUMBER")) elements = sections_.integers("ATOMIC_NUMBER", n, why);
        molecule_.atoms.resize(at(n));
        for (index i = 0; i < n; ++i) {
            Atom& atom = molecule_.atoms[at(i)];
            atom.name = names[at(i)];
            atom.charge = charges[at(i)] / 18.2223;  // AMBER's charges hold the root of Coulomb's constant
            atom.mass = masses[at(i)];
            if (!(atom.mass > 0))
                sections_.refuse("MASS", "atom " + std::to_string(i + 1) + " (" + atom.name +
                                             ") has no mass: extra points are not supported; masses "
                                             "must be positive",
                                 i);
            const long long element = elements.empty() ? 0 : elements[at(i)];
            atom.element = element > 0 && element < 119 ? static_cast<int>(element)
                                                        : element_of_name(atom.name, atom.mass);
        }
    }

    void read_residues() {
        const index n = pointer(kNres), atoms = pointer(kNatom);
        const std::vector<std::string> labels =
            sections_.names("RESIDUE_LABEL", n, "NRES of POINTERS");
        const std::vector<long long> first =
            sections_.integers("RESIDUE_POINTER", n, "NRES of POINTERS");
        for (index r = 0; r < n; ++r) {
            const long long from = first[at(r)], to = r + 1 < n ? first[at(r + 1)] : atoms + 1;
            if ((r == 0 && from != 1) || from >= to || to > atoms + 1)
                sections_.refuse("RESIDUE_POINTER",
                                 "residue " + std::to_string(r + 1) + " begins with atom " +
                                     std::to_string(from) + "; first atoms must rise from 1 to NATOM",
                                 r);
            for (index i = from - 1; i < to - 1; ++i) {
                molecule_.atoms[at(i)].residue = labels[at(r)];
                molecule_.atoms[at(i)].residue_number = static_cast<int>(r + 1);
            }
        }
    }

    // An atom by three times its number, or by its number from 1.
    index atom(const std::string& flag, long long value, index field, bool triple = true) const {
        const long long n = pointer(kNatom), i = triple ? value / 3 : value - 1;
        if (value < 0 || i < 0 || i >= n || (triple && value % 3 != 0))
            sections_.refuse(flag, std::to_string(value) + " names no atom; " +
                                       (triple ? "three times 0 to " + std::to_string(n - 1)
                                               : "1 to " + std::to_string(n)) +
                                       " do",
                             field);
        return i;
    }
    index kind(const std::string& flag, long long value, index field, Pointer count) const {
        if (value < 1 || value > pointer(count))
            sections_.refuse(flag, std::to_string(value) + " is no kind of term; kinds are 1 to " +
                                       std::to_string(pointer(count)),
                             field);
        return value - 1;
    }
    template <std::size_t N>
    void check_distinct(const std::string& flag, const std::array<index, N>& atoms, index field) const {
        for (std::size_t a = 0; a < N; ++a)
            for (std::size_t b = a + 1; b < N; ++b)
                if (atoms[a] == atoms[b])
                    sections_.refuse(flag, "atom " + std::to_string(atoms[a] + 1) +
                                               " stands twice in one term; give different atoms",
                                     field);
    }

    void read_bonds(const std::string& flag, index count, const std::string& why) {
        const index kinds = pointer(kNumbnd);
        const std::vector<double> stiffness =
            sections_.numbers("BOND_FORCE_CONSTANT", kinds, "NUMBND of POINTERS");
        const std::vector<double> length =
            sections_.numbers("BOND_EQUIL_VALUE", kinds, "NUMBND of POINTERS");
        const std::vector<long long> list = sections_.integers(flag, 3 * count, why);
        for (index f = 0; f < 3 * count; f += 3) {
            const std::array<index, 2> atoms{atom(flag, list[at(f)], f),
                                             atom(flag, list[at(f + 1)], f + 1)};
            check_distinct(flag, atoms, f);
            const std::size_t k = at(kind(flag, list[at(f + 2)], f + 2, kNumbnd));
            for (const auto& [of_kinds, values] : {std::pair{"BOND_FORCE_CONSTANT", &stiffness},
                                                   std::pair{"BOND_EQUIL_VALUE", &length}})
                if ((*values)[k] < 0)
                    sections_.refuse(of_kinds, "bond kind " + std::to_string(k + 1) + " may not be negative",
                                     static_cast<index>(k));
            molecule_.bonds.push_back({atoms, length[k] * kNanometre,
                                       2 * stiffness[k] * kKilojoule / (kNanometre * kNanometre)});
            molecule_.bonded.push_back(atoms);
        }
    }

    void read_angles(const std::string& flag, index count, const std::string& why) {
        const index kinds = pointer(kNumang);
        const std::vector<double> stiffness =
            sections_.numbers("ANGLE_FORCE_CONSTANT", kinds, "NUMANG of POINTERS");
        const std::vector<double> angle =
            sections_.numbers("ANGLE_EQUIL_VALUE", kinds, "NUMANG of POINTERS");
        const std::vector<long long> list = sections_.integers(flag, 4 * count, why);
        for (index f = 0; f < 4 * count; f += 4) {
            std::array<index, 3> atoms;
            for (index a = 0; a < 3; ++a) atoms[at(a)] = atom(flag, list[at(f + a)], f + a);
            check_distinct(flag, atoms, f);
            const std::size_t k = at(kind(flag, list[at(f + 3)], f + 3, kNumang));
            molecule_.angles.push_back({atoms, angle[k], 2 * stiffness[k] * kKilojoule});
        }
    }

    void read_torsions(const std::string& flag, index count, const std::string& why) {
        const index kinds = pointer(kNptra);
        const std::string of_kinds = "NPTRA of POINTERS";
        const std::vector<double> stiffness =
            sections_.numbers("DIHEDRAL_FORCE_CONSTANT", kinds, of_kinds);
        const std::vector<double> periodicity =
            sections_.numbers("DIHEDRAL_PERIODICITY", kinds, of_kinds);
        const std::vector<double> phase = sections_.numbers("DIHEDRAL_PHASE", kinds, of_kinds);
        const std::vector<long long> list = sections_.integers(flag, 5 * count, why);
        for (index f = 0; f < 5 * count; f += 5) {
            // The third negative: no 1-4 pair of this torsion. The fourth: an improper one.
            const bool end_pair = list[at(f + 2)] >= 0 && list[at(f + 3)] >= 0;
            std::array<index, 4> atoms;
            for (index a = 0; a < 4; ++a) {
                const long long value = list[at(f + a)];
                atoms[at(a)] = atom(flag, a >= 2 && value < 0 ? -value : value, f + a);
            }
            check_distinct(flag, atoms, f);
            const index k = kind(flag, list[at(f + 4)], f + 4, kNptra);
            if (end_pair) ends_.push_back({{atoms[0], atoms[3]}, k, f, flag});
            if (stiffness[at(k)] == 0) continue;
            const double n = std::round(periodicity[at(k)]);
            constexpr double kMostPeriodicity = 100;
            if (!(n >= 1 && n <= kMostPeriodicity) || std::fabs(n - periodicity[at(k)]) > 1e-3)
                sections_.refuse("DIHEDRAL_PERIODICITY",
                                 "torsion kind " + std::to_string(k + 1) + ": give 1, 2, 3, …", k);
            molecule_.torsions.push_back(
                {atoms, static_cast<int>(n), phase[at(k)], stiffness[at(k)] * kKilojoule});
        }
    }

    void read_maps() {
        if (!sections_.has("CMAP_COUNT")) return;
        const std::vector<long long> count = sections_.integers("CMAP_COUNT", 2, "its format");
        const long long terms = count[0], maps = count[1];
        if (terms < 0 || maps < 0 || terms > kMostAtoms || maps > 99)
            sections_.refuse("CMAP_COUNT", "give the number of terms, and 0 to 99 maps");
        const std::vector<long long> sizes =
            sections_.integers("CMAP_RESOLUTION", maps, "CMAP_COUNT");
        for (index m = 0; m < maps; ++m) read_map(m, sizes[at(m)]);
        const std::vector<long long> list = sections_.integers("CMAP_INDEX", 6 * terms, "CMAP_COUNT");
        for (index f = 0; f < 6 * terms; f += 6) {
            std::array<index, 5> a;
            for (index i = 0; i < 5; ++i)
                a[at(i)] = atom("CMAP_INDEX", list[at(f + i)], f + i, false);
            check_distinct("CMAP_INDEX", a, f);
            const long long map = list[at(f + 5)];
            if (map < 1 || map > maps)
                sections_.refuse("CMAP_INDEX", std::to_string(map) + " is no map; maps are 1 to " +
                                                   std::to_string(maps),
                                 f + 5);
            molecule_.correction_terms.push_back(
                {static_cast<int>(map - 1), {a[0], a[1], a[2], a[3]}, {a[1], a[2], a[3], a[4]}});
        }
    }

    void read_map(index m, long long size) {
        constexpr long long kMostPoints = 360;
        if (size < 4 || size > kMostPoints || size % 2 != 0)
            sections_.refuse("CMAP_RESOLUTION", std::to_string(size) +
                                                    " points a turn; give an even number from 4 to 360",
                             m);
        char flag[40];
        std::snprintf(flag, sizeof flag, "CMAP_PARAMETER_%02lld", m + 1);
        const std::vector<double> energy = sections_.numbers(flag, size * size, "CMAP_RESOLUTION");
        CorrectionMap map{static_cast<int>(size), std::vector<double>(energy.size())};
        const index half = size / 2;
        // AMBER's begin at −180°, the second angle fastest; ours at 0, the first fastest.
        for (index i = 0; i < size; ++i)
            for (index j = 0; j < size; ++j)
                map.energy[at(i + size * j)] =
                    energy[at(size * ((i + half) % size) + (j + half) % size)] * kKilojoule;
        molecule_.maps.push_back(std::move(map));
    }

    void read_solvent(const SolventOptions& options) {
        if (options.kind == SolventKind::none) return;
        const index n = pointer(kNatom);
        for (const char* flag : {"RADII", "SCREEN"})
            if (!sections_.has(flag))
                sections_.file().refuse("implicit_solvent = \"" +
                                        std::string(solvent_name(options.kind)) + "\" needs the section "
                                        "%FLAG " + flag + "; write the topology with tleap's set default "
                                        "PBRadii");
        const std::vector<double> radii = sections_.numbers("RADII", n, "NATOM of POINTERS");
        const std::vector<double> screen = sections_.numbers("SCREEN", n, "NATOM of POINTERS");
        molecule_.solvent = solvent_model(molecule_, options);
        for (index i = 0; i < n; ++i) {
            molecule_.solvent.atoms[at(i)].radius = radii[at(i)] * kNanometre;
            molecule_.solvent.atoms[at(i)].scale = screen[at(i)];
        }
        if (options.kind == SolventKind::gbn || options.kind == SolventKind::gbn2)
            set_neck_model_scales(molecule_, molecule_.solvent);
        try {
            check_solvent_radii(molecule_, molecule_.solvent);
        } catch (const InputError& error) {
            sections_.refuse("RADII", error.what());
        }
    }

    PrmtopSections sections_;
    std::vector<long long> pointers_;
    std::vector<AmberEndPair> ends_;
    Molecule molecule_;
};

}  // namespace

Molecule read_amber_topology(const TextFile& file, const SolventOptions& solvent) {
    return AmberReader(file).read(solvent);
}

}  // namespace microlift
