#include "sampling/dynamics/molecule_path.h"

#include "engine/launch/rows.h"
#include "engine/launch/teams.h"
#include "kernels/molecule/molecule_path.h"

#if !defined(__CUDACC__)
#include <algorithm>
#include <cmath>
#include <mutex>
#include <numbers>

#include "sampling/dynamics/molecule_variables.h"
#include "sampling/dynamics/way_describer.h"
#include "sampling/molecule/force_tables.h"
#include "sampling/molecule/team_tables.h"
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

// By teams, on CUDA; their view.
void launch_molecule_teams(Stream& stream, bool portable, const ForceView<float>& view, const TeamView& team,
                           const MotionView& motion, const MoleculeCvs& cvs, const PathArgs& args) {
    const index numbers = MoleculePathBody<Portable>::rows_of(view, cvs);
    if (portable)
        for_each_team_on_cuda(stream, args.trajectories, team.lanes, numbers,
                              MoleculeTeamBody<Portable>{{view, motion, cvs, args}, team});
    else
        for_each_team_on_cuda(stream, args.trajectories, team.lanes, numbers,
                              MoleculeTeamBody<Fast>{{view, motion, cvs, args}, team});
}

HOST_PASS_END

#if !defined(__CUDACC__)

namespace {

// Beyond so many atoms a replica is too much for a lane, whose rows no cache holds then.
constexpr index kMostAtomsOfLane = 30;

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
                throw InputError("the rigid bond of " + atom_words(molecule, centre) + " and " +
                                 atom_words(molecule, atom) +
                                 (leaf(atom) ? " is one more than " + std::to_string(kMostLeaves) + " of one atom"
                                             : " has further rigid bonds at both its ends") +
                                 ": chains and rings of rigid bonds (AllBonds, HAngles, rigid water) are not moved; "
                                 "make those with hydrogens rigid alone (HBonds, rigidWater=False)");
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

class MoleculePathKernel final : public PathKernel, public WayDescriber {
public:
    MoleculePathKernel(std::shared_ptr<const Molecule> molecule, const MoleculeSetup& setup)
        : molecule_(std::move(molecule)), setup_(setup), stars_(molecule_stars(*molecule_, setup)),
          variables_(*molecule_, setup.cvs) {
        const auto pairs = static_cast<double>(molecule_->size()) *
                           static_cast<double>(molecule_->size() - 1) / 2;
        // Some 20 cycles a pair and 250 an atom for 16 replicas, where a cheap step takes 95; solvent
        // takes five times as much a pair.
        const bool solvent = molecule_->solvent.kind != SolventKind::none;
        cost_ = ((solvent ? 120 : 20) * pairs + 250 * static_cast<double>(molecule_->size())) / 95;
    }
    int dim() const override { return static_cast<int>(3 * molecule_->size()); }
    int n_cvs() const override { return variables_.cvs().count; }
    bool has_velocity() const override { return true; }
    CvPeriods periods() const override {
        CvPeriods periods;
        for (int k = 0; k < variables_.cvs().count; ++k) {
            periods.period[k] = variables_.cvs().cv[k].period;
            periods.middle[k] = variables_.cvs().cv[k].middle;
        }
        return periods;
    }
    double step_cost() const override { return cost_; }
    std::string describe_state(Stream& stream, std::span<const float> x) const override {
        return worst_force(stream, *molecule_, x);
    }
    std::string describe_way(Stream& stream, std::span<const float> states) const override {
        return worst_force_on_the_way(stream, *molecule_, states);
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
            variables_.copy_tables(stream);
        }
        const MotionView motion{static_cast<int32>(stars_.size()), groups_.data(), setup_.scheme,
                                static_cast<float>(setup_.dt),
                                static_cast<float>(std::exp(-setup_.friction * setup_.dt)),
                                setup_.philox_rounds != kPhiloxRounds};
        if (const int lanes = lanes_of_team(stream.device(), args.trajectories); lanes > 1) {
            if (!teams_ || teams_->team().lanes != lanes)
                teams_ = std::make_unique<TeamTables>(stream, *molecule_, *tables_, lanes);
            launch_molecule_teams(stream, setup_.portable_math, teams_->view(), teams_->team(), motion,
                                  variables_.cvs(), args);
            return;
        }
        if (!memory_.serves(stream.device(), args.trajectories))
            memory_ = RowMemory<float>(stream.device(),
                                       MoleculePathBody<Portable>::rows_of(tables_->view(), variables_.cvs()),
                                       args.trajectories);
        launch_molecule(stream, memory_, setup_.portable_math, tables_->view(), motion,
                        variables_.cvs(), args);
    }

private:
    int lanes_of_team(const Device& device, index replicas) const {
        ForceView<float> view = tables_->view();
        view.in_team = true;
        return team_lanes(device, {replicas, MoleculePathBody<Portable>::rows_of(view, variables_.cvs()),
                                   molecule_->size() > kMostAtomsOfLane, static_cast<int>(molecule_->size()) / 2});
    }

    std::shared_ptr<const Molecule> molecule_;
    MoleculeSetup setup_;
    std::vector<StarEntry> stars_;
    double cost_ = 1;
    mutable std::mutex mutex_;
    // Made for the device of the first launch.
    mutable std::unique_ptr<ForceTables<float>> tables_;
    mutable std::unique_ptr<TeamTables> teams_;
    mutable MoleculeVariables variables_;
    mutable Buffer<StarEntry> groups_;
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
