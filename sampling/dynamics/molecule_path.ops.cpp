#include "sampling/dynamics/molecule_path.h"

#include "engine/launch/rows.h"
#include "kernels/dynamics/molecule_path.h"

#if !defined(__CUDACC__)
#include <algorithm>
#include <cmath>
#include <mutex>
#include <numbers>

#include "sampling/molecule/force_tables.h"
#include "sampling/molecule/worst_force.h"
#endif

namespace microlift {

HOST_PASS_BEGIN

void launch_molecule(Stream& stream, RowMemory<float>& memory, bool portable,
                     const ForceView<float>& view, const MotionView& motion, const MoleculeCvs& cvs,
                     const PathArgs& args) {
    if (stream.device().is_cpu() || portable)
        for_each_lane_in_rows(stream, args.trajectories, memory,
                              MoleculePathBody<Portable>{view, motion, cvs, args});
    else
        for_each_lane_in_rows_on_cuda(stream, args.trajectories, memory,
                                      MoleculePathBody<Fast>{view, motion, cvs, args});
}

HOST_PASS_END

#if !defined(__CUDACC__)

namespace {

// Of a coordination: sums of powers are as long.
constexpr int kMostPower = 64;

// The bonds of each atom, and its star if it is the centre of one.
struct StarBuilder {
    const Molecule& molecule;
    const MoleculeSetup& setup;
    std::vector<std::vector<std::size_t>> bonds;

    StarBuilder(const Molecule& m, const MoleculeSetup& s)
        : molecule(m), setup(s), bonds(m.atoms.size()) {
        for (std::size_t b = 0; b < m.rigid_bonds.size(); ++b)
            for (const index atom : m.rigid_bonds[b].atoms)
                bonds[static_cast<std::size_t>(atom)].push_back(b);
    }
    index other(std::size_t bond, index atom) const {
        const auto& atoms = molecule.rigid_bonds[bond].atoms;
        return atoms[0] == atom ? atoms[1] : atoms[0];
    }
    // A leaf has one bond; of two that are bound to each other alone the second is one.
    bool leaf(index atom) const {
        const auto& own = bonds[static_cast<std::size_t>(atom)];
        if (own.size() != 1) return false;
        const index to = other(own[0], atom);
        return bonds[static_cast<std::size_t>(to)].size() > 1 || to < atom;
    }
    void set_atom(StarEntry& star, int place, index atom) const {
        const double mass = molecule.atoms[static_cast<std::size_t>(atom)].mass;
        const double keep = std::exp(-setup.friction * setup.dt);
        star.atom[place] = static_cast<int32>(3 * atom);
        star.inverse_mass[place] = static_cast<float>(1 / mass);
        star.noise[place] = static_cast<float>(
            std::sqrt((1 - keep * keep) * kGasConstant * setup.temperature / mass));
    }
    StarEntry star(index centre) const {
        StarEntry star{};
        set_atom(star, 0, centre);
        for (const std::size_t b : bonds[static_cast<std::size_t>(centre)]) {
            const index atom = other(b, centre);
            if (!leaf(atom) || star.leaves == kMostLeaves)
                throw InputError("rigid bonds: atom " + std::to_string(centre) +
                                 " and those bound to it form no star of up to " +
                                 std::to_string(kMostLeaves) +
                                 " bonds; make bonds with hydrogens rigid alone");
            const double length = molecule.rigid_bonds[b].length;
            const double inverse = 1 / molecule.atoms[static_cast<std::size_t>(centre)].mass +
                                   1 / molecule.atoms[static_cast<std::size_t>(atom)].mass;
            star.square[star.leaves] = static_cast<float>(length * length);
            star.diagonal[star.leaves] = static_cast<float>(inverse * length * length);
            set_atom(star, ++star.leaves, atom);
        }
        return star;
    }
};

// Atoms of a group with their weights and, of a deviation, their places about the centre.
std::vector<GroupAtom> molecule_group(const Molecule& molecule, const MoleculeVariable& from) {
    const std::string what = "a collective variable of a group of atoms: ";
    if (from.atoms.empty()) throw InputError(what + "give its atoms");
    if (from.kind == MoleculeCvKind::coordination &&
        (from.numerator < 1 || from.denominator <= from.numerator || from.denominator > kMostPower ||
         !(from.range > 0)))
        throw InputError(what + "a coordination has powers 0 < n < m <= " + std::to_string(kMostPower) +
                         " and a range > 0");
    if (from.kind == MoleculeCvKind::rmsd && from.reference.size() != 3 * from.atoms.size())
        throw InputError(what + "a deviation has a reference place for each of its " +
                         std::to_string(from.atoms.size()) + " atoms");
    const bool deviates = from.kind == MoleculeCvKind::rmsd;
    std::vector<index> members = from.atoms;
    members.insert(members.end(), from.others.begin(), from.others.end());
    double sum = 0, centre[3] = {};
    std::vector<double> weight;
    for (const index atom : members) {
        if (atom < 0 || atom >= molecule.size())
            throw InputError(what + "there is no atom " + std::to_string(atom));
        weight.push_back(from.by_mass ? molecule.atoms[static_cast<std::size_t>(atom)].mass : 1.0);
        sum += weight.back();
    }
    for (std::size_t n = 0; deviates && n < members.size(); ++n)
        for (std::size_t d = 0; d < 3; ++d) centre[d] += weight[n] / sum * from.reference[3 * n + d];
    std::vector<GroupAtom> out;
    for (std::size_t n = 0; n < members.size(); ++n) {
        GroupAtom atom{static_cast<int32>(3 * members[n]), static_cast<float>(weight[n] / sum), {}};
        for (std::size_t d = 0; deviates && d < 3; ++d)
            atom.reference[d] = static_cast<float>(from.reference[3 * n + d] - centre[d]);
        out.push_back(atom);
    }
    return out;
}

class MoleculePathKernel final : public PathKernel {
public:
    MoleculePathKernel(std::shared_ptr<const Molecule> molecule, const MoleculeSetup& setup)
        : molecule_(std::move(molecule)), setup_(setup), stars_(molecule_stars(*molecule_, setup)) {
        cvs_.count = static_cast<int32>(setup.cvs.size());
        if (cvs_.count > kMaxCvs) throw InputError("cv.variables: give one or two");
        for (std::size_t k = 0; k < setup.cvs.size(); ++k) {
            const MoleculeVariable& from = setup.cvs[k];
            MoleculeCv& cv = cvs_.cv[k];
            cv.kind = from.kind;
            cv.middle = static_cast<float>(from.middle);
            cv.period = from.periodic() ? static_cast<float>(2 * std::numbers::pi) : 0.0f;
            if (is_group(from.kind))
                set_group(from, k);
            else
                for (std::size_t n = 0; n < from.atoms.size(); ++n)
                    cv.atom[n] = static_cast<int32>(3 * from.atoms[n]);
        }
        const auto pairs = static_cast<double>(molecule_->size()) *
                           static_cast<double>(molecule_->size() - 1) / 2;
        // Some 20 cycles a pair and 250 an atom for 16 replicas, where a cheap step takes 95; solvent
        // takes five times as much a pair.
        const bool solvent = molecule_->solvent.kind != SolventKind::none;
        cost_ = ((solvent ? 120 : 20) * pairs + 250 * static_cast<double>(molecule_->size())) / 95;
    }
    int dim() const override { return static_cast<int>(3 * molecule_->size()); }
    int n_cvs() const override { return cvs_.count; }
    bool has_velocity() const override { return true; }
    CvPeriods periods() const override {
        CvPeriods periods;
        for (int k = 0; k < cvs_.count; ++k) {
            periods.period[k] = cvs_.cv[k].period;
            periods.middle[k] = cvs_.cv[k].middle;
        }
        return periods;
    }
    double step_cost() const override { return cost_; }
    std::string describe_state(Stream& stream, std::span<const float> x) const override {
        return worst_force(stream, *molecule_, x);
    }
    uint64 force_evaluations(uint64 steps) const override {
        return steps + (setup_.scheme == MoleculeScheme::baoab ? 1 : 0);
    }
    void launch(Stream& stream, const PathArgs& args) const override {
        const std::lock_guard lock(mutex_);
        if (!tables_) {
            tables_ = std::make_unique<ForceTables<float>>(stream, *molecule_);
            groups_ = Buffer<StarEntry>(stream.device(), static_cast<index>(stars_.size()));
            copy_to_device(stream, groups_.span(), stars_.data());
            for (std::size_t k = 0; k < kMaxCvs; ++k) {
                if (group_atoms_[k].empty()) continue;
                members_[k] = Buffer<GroupAtom>(stream.device(), static_cast<index>(group_atoms_[k].size()));
                copy_to_device(stream, members_[k].span(), group_atoms_[k].data());
                cvs_.cv[k].group.atom = members_[k].data();
            }
        }
        if (!memory_.serves(args.trajectories))
            memory_ = RowMemory<float>(stream.device(),
                                       MoleculePathBody<Portable>::rows_of(tables_->view(), cvs_),
                                       args.trajectories);
        const MotionView motion{static_cast<int32>(stars_.size()), groups_.data(), setup_.scheme,
                                static_cast<float>(setup_.dt),
                                static_cast<float>(std::exp(-setup_.friction * setup_.dt))};
        launch_molecule(stream, memory_, setup_.portable_math, tables_->view(), motion, cvs_, args);
    }

private:
    void set_group(const MoleculeVariable& from, std::size_t k) {
        GroupCv& group = cvs_.cv[k].group;
        group_atoms_[k] = molecule_group(*molecule_, from);
        group.count = static_cast<int32>(from.atoms.size());
        group.others = static_cast<int32>(from.others.size());
        group.numerator = from.numerator;
        group.denominator = from.denominator;
        group.inverse_range = static_cast<float>(1 / from.range);
    }

    std::shared_ptr<const Molecule> molecule_;
    MoleculeSetup setup_;
    std::vector<StarEntry> stars_;
    std::vector<GroupAtom> group_atoms_[kMaxCvs];
    double cost_ = 1;
    mutable std::mutex mutex_;
    // Made for the device of the first launch.
    mutable std::unique_ptr<ForceTables<float>> tables_;
    mutable MoleculeCvs cvs_;
    mutable Buffer<StarEntry> groups_;
    mutable Buffer<GroupAtom> members_[kMaxCvs];
    mutable RowMemory<float> memory_;
};

}  // namespace

std::optional<MoleculeCvKind> molecule_cv_kind(const std::string& name) {
    if (name == "distance") return MoleculeCvKind::distance;
    if (name == "angle") return MoleculeCvKind::angle;
    if (name == "dihedral") return MoleculeCvKind::dihedral;
    if (name == "coordination") return MoleculeCvKind::coordination;
    if (name == "gyration") return MoleculeCvKind::gyration;
    if (name == "rmsd") return MoleculeCvKind::rmsd;
    return std::nullopt;
}

std::vector<StarEntry> molecule_stars(const Molecule& molecule, const MoleculeSetup& setup) {
    const StarBuilder builder(molecule, setup);
    std::vector<StarEntry> stars;
    for (index atom = 0; atom < molecule.size(); ++atom)
        if (!builder.leaf(atom)) stars.push_back(builder.star(atom));
    return stars;
}

std::unique_ptr<PathKernel> make_molecule_path_kernel(std::shared_ptr<const Molecule> molecule,
                                                      const MoleculeSetup& setup) {
    return std::make_unique<MoleculePathKernel>(std::move(molecule), setup);
}

#endif

}  // namespace microlift
