#include "tools/python/states.h"

#include <algorithm>

#include "engine/at.h"
#include "sampling/model/model.h"
#include "sampling/run/config/run_config.h"

namespace microlift {
namespace {

// A piece of states with their forces stays in the second cache of a core.
constexpr index kPiece = 1024;
constexpr index kTile = 16;

// Rows to columns and back by tiles: of each both sides stay in the first cache.
template <class From, class To>
void copy_states(const StateMatrix<From>& from, const StateMatrix<To>& to, index states, index variables) {
    for (index s = 0; s < states; s += kTile)
        for (index d = 0; d < variables; d += kTile)
            for (index i = s; i < std::min(s + kTile, states); ++i)
                for (index k = d; k < std::min(d + kTile, variables); ++k) to.at(i, k) = from.at(i, k);
}

}  // namespace

StateEvaluator::StateEvaluator(const std::string& file, const std::optional<std::string>& text,
                               const std::vector<std::string>& set, const std::string& device, int threads)
    : model_(text ? parse_system(*text, file, set) : load_system(file, set)),
      variables_(variable_count(model_.system)), formulas_(model_), stream_(Device::pick(device, threads)) {}

MoleculeStates& StateEvaluator::single() {
    if (!single_)
        single_ = std::make_unique<MoleculeStates>(
            stream_, std::shared_ptr<const Molecule>(model_.molecule, &model_.molecule->molecule), MoleculeSetup{});
    return *single_;
}

void StateEvaluator::energy_forces_there(Span<const float> x, index n, Span<float> energy, Span<float> force) {
    const std::lock_guard lock(one_at_a_time_);
    single().evaluate(stream_, x, n, n, force, energy);
    stream_.synchronize();
}

void StateEvaluator::energy_forces(StateMatrix<const float> x, index n, float* energy, StateMatrix<float> force) {
    const std::lock_guard lock(one_at_a_time_);
    if (!model_.molecule) {
        // Formulas are computed in double precision only.
        std::vector<double> states(at(kPiece * variables_)), forces(states.size()), energies(at(kPiece));
        const StateMatrix<double> to{states.data(), variables_, 1}, result{forces.data(), variables_, 1};
        for (index first = 0; first < n; first += kPiece) {
            const index count = std::min(kPiece, n - first);
            copy_states(x.from(first), to, count, variables_);
            formula_forces({states.data(), variables_, 1}, count, energy ? energies.data() : nullptr, result);
            copy_states(result, force.from(first), count, variables_);
            if (energy) std::copy_n(energies.begin(), count, energy + first);
        }
        return;
    }
    if (stream_.device().is_cpu() && x.in_columns(n) && force.in_columns(n)) {
        // By pieces, so that the terms of energies stay in the cache, would need rows of another length.
        single().evaluate(stream_, {x.data, n * variables_}, n, n, {force.data, n * variables_}, {energy, n});
        stream_.synchronize();
        return;
    }
    const index piece = stream_.device().is_cpu() ? kPiece * stream_.device().threads() : 64 * kPiece;
    if (x_.size() == 0) {
        x_ = Buffer<float>(stream_.device(), variables_ * piece);
        force_ = Buffer<float>(stream_.device(), variables_ * piece);
        energy_ = Buffer<float>(stream_.device(), piece);
    }
    std::vector<float> host(stream_.device().is_cpu() ? 0 : at(variables_ * piece));
    for (index first = 0; first < n; first += piece) {
        const index count = std::min(piece, n - first);
        if (stream_.device().is_cpu()) {
            copy_states(x.from(first), StateMatrix<float>{x_.data(), 1, piece}, count, variables_);
        } else {
            copy_states(x.from(first), StateMatrix<float>{host.data(), 1, piece}, count, variables_);
            copy_to_device(stream_, x_.span(), host.data());
        }
        single().evaluate(stream_, std::as_const(x_).span(), piece, count, force_.span(), energy_.span());
        stream_.synchronize();
        const float* made = force_.data();
        if (!stream_.device().is_cpu()) {
            copy_to_host(stream_, host.data(), force_.span());
            made = host.data();
        }
        copy_states(StateMatrix<const float>{made, 1, piece}, force.from(first), count, variables_);
        copy_to_host(stream_, energy + first, energy_.span().subspan(0, count));
    }
}

void StateEvaluator::energy_forces(StateMatrix<const double> x, index n, double* energy, StateMatrix<double> force,
                                   double* terms) {
    const std::lock_guard lock(one_at_a_time_);
    if (!model_.molecule) return formula_forces(x, n, energy, force);
    if (!double_) double_ = std::make_unique<MoleculeForces<double>>(stream_, model_.molecule->molecule, kPiece);
    Buffer<double> states(stream_.device(), variables_ * kPiece), forces(stream_.device(), variables_ * kPiece),
        parts(stream_.device(), kForceTerms * kPiece);
    std::vector<double> columns(at(variables_ * kPiece)), energies(at(kForceTerms * kPiece));
    for (index first = 0; first < n; first += kPiece) {
        const index count = std::min(kPiece, n - first);
        copy_states(x.from(first), StateMatrix<double>{columns.data(), 1, kPiece}, count, variables_);
        copy_to_device(stream_, states.span(), columns.data());
        double_->evaluate(stream_, std::as_const(states).span(), kPiece, count, forces.span(), parts.span());
        copy_to_host(stream_, columns.data(), forces.span());
        copy_to_host(stream_, energies.data(), parts.span());
        copy_states(StateMatrix<const double>{columns.data(), 1, kPiece}, force.from(first), count, variables_);
        for (index s = 0; s < count; ++s) {
            double sum = 0;
            for (index t = 0; t < kForceTerms; ++t) {
                const double part = energies[at(t * kPiece + s)];
                if (terms) terms[t * n + first + s] = part;
                sum += part;
            }
            energy[first + s] = sum;
        }
    }
}

void StateEvaluator::formula_forces(StateMatrix<const double> x, index n, double* energy, StateMatrix<double> force) {
    std::vector<double> state(at(variables_));
    for (index s = 0; s < n; ++s) {
        if (s % kPiece == 0) check_stop();
        for (index d = 0; d < variables_; ++d) state[at(d)] = x.at(s, d);
        if (energy) energy[s] = formulas_.energy(state);
        for (index d = 0; d < variables_; ++d) force.at(s, d) = formulas_.force(state, d);
    }
}

void StateEvaluator::cvs(StateMatrix<const double> x, index n, double* values) {
    const std::lock_guard lock(one_at_a_time_);
    std::vector<double> state(at(variables_));
    for (index s = 0; s < n; ++s) {
        if (s % kPiece == 0) check_stop();
        for (index d = 0; d < variables_; ++d) state[at(d)] = x.at(s, d);
        for (index k = 0; k < model_.cv.count(); ++k) values[s * model_.cv.count() + k] = formulas_.cv(state, k);
    }
}

}  // namespace microlift
