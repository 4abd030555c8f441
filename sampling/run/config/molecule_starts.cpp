#include "sampling/run/config/molecule_starts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "engine/at.h"
#include "engine/device/buffer.h"
#include "engine/device/stream.h"
#include "engine/text.h"
#include "sampling/model/molecule_config.h"
#include "sampling/molecule/forces.h"
#include "sampling/molecule/worst_force.h"
#include "sampling/run/config/inputs.h"
#include "sampling/run/config/starts.h"

namespace microlift {
namespace {

constexpr double kRounded = 0.01;  // of what the stiffest bond moves: what rounding may move an atom by
constexpr int kShownDigits = 3;

class MoleculeStarts {
public:
    MoleculeStarts(const RunConfig& run, const Model& model)
        : run_(run), model_(model), molecule_(model.molecule()->molecule), stream_(Device::cpu(1)) {
        const UmbrellaConfig& umbrella = run.umbrella;
        const bool given = !umbrella.initial_file.empty() || !umbrella.initial_state.empty();
        key_ = given ? kInitial : "system.coordinates";
        source_ = given ? umbrella.initial_file : molecule_files(run.config, *model.molecule()).back().file;
    }

    void check(std::span<const double> state) {
        const std::vector<float> x(state.begin(), state.end());
        check_places(x);
        check_forces(state, x);
        check_spacing(x);
    }

private:
    [[noreturn]] void refuse(const std::string& wrong, const std::string& right) const {
        throw KeyError(key_, "key '" + key_ + "': " + (source_.empty() ? "" : source_ + ": ") + wrong, right);
    }

    void check_places(const std::vector<float>& x) const {
        std::map<std::array<float, 3>, index> places;
        for (index i = 0; i < molecule_.size(); ++i) {
            const std::array<float, 3> place{x[at(3 * i)], x[at(3 * i + 1)], x[at(3 * i + 2)]};
            for (const float coordinate : place)
                if (!std::isfinite(coordinate))
                    refuse("a coordinate of " + atom_words(molecule_, i) + " is beyond single precision",
                           "give coordinates in nm near the origin");
            const auto [other, alone] = places.emplace(place, i);
            if (!alone)
                refuse(atom_words(molecule_, other->second) + " and " + atom_words(molecule_, i) +
                           " lie at one place",
                       "give coordinates in which every atom has its own");
        }
    }

    void check_forces(std::span<const double> state, const std::vector<float>& x) {
        const auto dim = std::ssize(state);
        Buffer<double> places(stream_.device(), dim), force(stream_.device(), dim),
            energy(stream_.device(), kForceTerms);
        copy_to_device(stream_, places.span(), state.data());
        MoleculeForces<double>(stream_, molecule_, 1)
            .evaluate(stream_, Span<const double>(places.span()), 1, 1, force.span(), energy.span());
        const std::vector<double> forces = to_host(stream_, Span<const double>(force.span()));
        const auto finite = [](double f) { return std::isfinite(static_cast<float>(f)); };
        if (!std::all_of(forces.begin(), forces.end(), finite))
            refuse("forces are beyond single precision (" + worst_force(stream_, molecule_, x) + ")",
                   "give coordinates in which atoms do not overlap, and parameters of a force field");
    }

    void check_spacing(const std::vector<float>& x) const {
        double stiffest = 0;
        for (const Bond& bond : molecule_.bonds) stiffest = std::max(stiffest, bond.stiffness);
        float farthest = 0;
        for (const float coordinate : x) farthest = std::max(farthest, std::fabs(coordinate));
        const double apart = std::nextafter(farthest, 2 * farthest) - farthest;
        const double moves = std::sqrt(model_.kt() / stiffest);
        if (apart > kRounded * moves)
            refuse("coordinates go up to " + number(static_cast<double>(farthest), kShownDigits) +
                       " nm, where single precision knows a number every " + number(apart, kShownDigits) +
                       " nm, and the stiffest bond moves by " + number(moves, kShownDigits) + " nm",
                   "move the molecule to the origin");
    }

    const RunConfig& run_;
    const Model& model_;
    const Molecule& molecule_;
    Stream stream_;
    std::string key_, source_;
};

}  // namespace

void check_molecule_starts(const RunConfig& run, const Model& model) {
    const UmbrellaConfig& umbrella = run.umbrella;
    if (umbrella.initial_file.empty() && umbrella.initial_state.empty() && model.molecule()->position.empty())
        throw KeyError("system.coordinates", "key 'system.coordinates' is missing, and 'umbrella.initial' "
                                             "gives no state",
                       "give the file of the molecule's coordinates, for example coordinates = "
                       "\"ala2.inpcrd\"");
    MoleculeStarts starts(run, model);
    const std::vector<CvValue> centers = umbrella_centers(umbrella);
    const std::vector<double> states = given_states(umbrella, model, run.grid(), centers);
    const auto dim = at(model.dim());
    std::span<const double> last;
    for (std::size_t w = 0; w < centers.size(); ++w) {
        const auto state = std::span(states).subspan(w * dim, dim);
        if (!std::equal(state.begin(), state.end(), last.begin(), last.end())) starts.check(state);
        last = state;
    }
}

}  // namespace microlift
