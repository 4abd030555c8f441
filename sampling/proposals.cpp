#include "sampling/proposals.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/rng_streams.h"
#include "sampling/lifting.h"
#include "sampling/proposal_kernels.h"

namespace microlift {

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::size_t at(index i) {
    return static_cast<std::size_t>(i);
}

}  // namespace

std::string proposals_refusal(const Model& model, const Generator& generator) {
    if (generator.kind() != "flow") return "a generator of kind \"" + generator.kind() + "\" has no density";
    if (!generator.has_density()) return "the density of a flow is built for at most 16 variables";
    if (model.observed()) return "the generator makes observed functions, not the state";
    if (!model.gradient()) return "the system has no potential, so its conditional density is not known";
    for (const auto& cv : model.formulas().cvs)
        if (coordinate_of(cv) < 0)
            return "a collective variable is not simply one of the variables, so projected states "
                   "have no density on its level set";
    return "";
}

// --- proposals and their weights ----------------------------------------------------------------------

Proposer::Proposer(Stream& stream, const Model& model, Generator& generator)
    : stream_(stream), model_(model), generator_(generator),
      potential_(stream.device(), model.formulas().potential), free_(free_variables(model)) {
    const std::string refusal = proposals_refusal(model, generator);
    if (!refusal.empty())
        throw InputError("states cannot be weighted: " + refusal +
                         "; use healing instead, or kind = \"flow\" with a collective variable that "
                         "is a variable");
    for (const auto& cv : model.formulas().cvs) coordinate_.push_back(coordinate_of(cv));
}

void Proposer::reserve(index n) {
    if (n <= capacity_) return;
    capacity_ = n;
    states_ = Buffer<float>(stream_.device(), static_cast<index>(free_.size()) * n);
    log_density_ = Buffer<float>(stream_.device(), n);
    energy_ = Buffer<float>(stream_.device(), n);
    s_ = Buffer<float>(stream_.device(), static_cast<index>(coordinate_.size()) * n);
}

void Proposer::conditions(Span<const float> x, index n, Span<float> s) {
    for (std::size_t k = 0; k < coordinate_.size(); ++k)
        copy(stream_, s.subspan(static_cast<index>(k) * n, n), x.subspan(coordinate_[k] * n, n));
}

void Proposer::weights(Span<const float> x, index n, Span<float> log_weight) {
    potential_.run(stream_, x, n, n, energy_.span(), n);
    proposal_weights(stream_, n, static_cast<float>(model_.formulas().beta), energy_.data(),
                     log_density_.data(), log_weight.data);
}

void Proposer::propose(Span<const float> s, index n, uint64 seed, uint32 stream_id, uint64 first,
                       Span<float> x, Span<float> log_weight) {
    reserve(n);
    const index free = static_cast<index>(free_.size());
    const Span<const float> conditions(s.data, static_cast<index>(coordinate_.size()) * n);
    generator_.propose(stream_, conditions, n, seed, stream_id, first,
                       states_.span().subspan(0, free * n), log_density_.span());
    for (index f = 0; f < free; ++f)
        copy(stream_, x.subspan(free_[at(f)] * n, n),
             Span<const float>(states_.span().subspan(f * n, n)));
    for (std::size_t k = 0; k < coordinate_.size(); ++k)
        copy(stream_, x.subspan(coordinate_[k] * n, n), s.subspan(static_cast<index>(k) * n, n));
    weights(x, n, log_weight);
}

void Proposer::weigh(Span<const float> x, index n, Span<float> log_weight) {
    reserve(n);
    const index free = static_cast<index>(free_.size()), cvs = static_cast<index>(coordinate_.size());
    conditions(x, n, s_.span());
    for (index f = 0; f < free; ++f)
        copy(stream_, states_.span().subspan(f * n, n), x.subspan(free_[at(f)] * n, n));
    generator_.log_density(stream_, Span<const float>(s_.data(), cvs * n), n,
                           Span<const float>(states_.data(), free * n), log_density_.span());
    weights(x, n, log_weight);
}

// --- averages -----------------------------------------------------------------------------------------

ConditionalAverages importance_averages(Stream& stream, const WeightedColumns& c) {
    const index chunks = (c.each + kProposalChunk - 1) / kProposalChunk, F = c.functions;
    const index width = 3 + 4 * F;
    Buffer<float> greatest(stream.device(), c.values);
    Buffer<double> device_sums(stream.device(), c.values * chunks * width);
    greatest_weights(stream, c.values, c.each, c.log_weight.data, greatest.data());
    weighted_sums(stream, c.values, c.each, chunks, F, c.f.data, c.row, c.log_weight.data,
                  greatest.data(), device_sums.data());
    const auto sums = to_host(stream, Span<const double>(device_sums.span()));
    const auto top = to_host(stream, Span<const float>(greatest.span()));

    ConditionalAverages r;
    r.values = c.values;
    r.functions = F;
    for (auto* v : {&r.mean, &r.error, &r.variance}) v->assign(at(F * c.values), kNaN);
    std::vector<double> sum(at(width));
    const double n = static_cast<double>(c.each);
    for (index v = 0; v < c.values; ++v) {
        std::fill(sum.begin(), sum.end(), 0.0);
        for (index k = 0; k < chunks; ++k)
            for (index i = 0; i < width; ++i) sum[at(i)] += sums[at((v * chunks + k) * width + i)];
        const double w = sum[0], ww = sum[1];
        r.unusable.push_back(sum[2] / n);
        const bool any = w > 0;
        r.quality.push_back(any ? w * w / ww / n : 0.0);
        r.log_z.push_back(any ? static_cast<double>(top[at(v)]) + std::log(w / n) : kNaN);
        r.log_z_error.push_back(any ? std::sqrt(std::max(0.0, ww / (w * w) - 1.0 / n)) : kNaN);
        if (!any) continue;
        for (index f = 0; f < F; ++f) {
            const double* s = &sum[at(3 + 4 * f)];
            float shift;
            copy_to_host(stream, &shift, c.f.subspan(f * c.row + v * c.each, 1));
            const double mean = s[0] / w;
            r.mean[r.place(f, v)] = static_cast<double>(shift) + mean;
            r.variance[r.place(f, v)] = std::max(0.0, s[1] / w - mean * mean);
            r.error[r.place(f, v)] =
                std::sqrt(std::max(0.0, s[3] - 2 * mean * s[2] + mean * mean * ww)) / w;
        }
    }
    return r;
}

ConditionalAverages metropolis_averages(Stream& stream, const WeightedColumns& c, index length,
                                        uint64 seed) {
    const index chains = c.each / length, F = c.functions, width = 1 + 2 * F;
    if (chains < 2 || length < 8)
        throw InputError("Metropolis: at least two chains of 8 proposals are needed for an error");
    const index skip = length / 4;
    Buffer<double> device_sums(stream.device(), c.values * chains * width);
    metropolis_chains(stream, c.values, c.each, chains, length, skip, F, c.f.data, c.row,
                      c.log_weight.data, seed, device_sums.data());
    const auto sums = to_host(stream, Span<const double>(device_sums.span()));

    ConditionalAverages r;
    r.values = c.values;
    r.functions = F;
    for (auto* v : {&r.mean, &r.error, &r.variance}) v->assign(at(F * c.values), kNaN);
    const double counted = static_cast<double>(length - skip), count = static_cast<double>(chains);
    for (index v = 0; v < c.values; ++v) {
        double accepted = 0;
        for (index k = 0; k < chains; ++k) accepted += sums[at((v * chains + k) * width)];
        r.quality.push_back(accepted / (count * counted));
        for (index f = 0; f < F; ++f) {
            double total = 0, squares = 0, spread = 0;
            for (index k = 0; k < chains; ++k) {
                const double* s = &sums[at((v * chains + k) * width + 1 + 2 * f)];
                const double mean = s[0] / counted;
                total += mean;
                spread += mean * mean;
                squares += s[1] / counted;
            }
            float shift;
            copy_to_host(stream, &shift, c.f.subspan(f * c.row + v * c.each, 1));
            const double mean = total / count;
            r.mean[r.place(f, v)] = static_cast<double>(shift) + mean;
            r.variance[r.place(f, v)] = std::max(0.0, squares / count - mean * mean);
            r.error[r.place(f, v)] =
                std::sqrt(std::max(0.0, spread / count - mean * mean) / (count - 1));
        }
    }
    return r;
}

// --- moves inside windows -----------------------------------------------------------------------------

GeneratorMoves::GeneratorMoves(Stream& stream, const Model& model, Generator generator,
                               index trajectories)
    : stream_(stream), generator_(std::move(generator)), proposer_(stream, model, generator_),
      n_(trajectories), dim_(model.dim()), s_(stream.device(), model.n_cvs() * trajectories),
      x_(stream.device(), model.dim() * trajectories), old_weight_(stream.device(), trajectories),
      new_weight_(stream.device(), trajectories), counts_(stream.device(), 2) {}

void GeneratorMoves::attempt(Ensemble& ensemble, uint64 seed, uint64 attempt) {
    if (ensemble.size() != n_)
        throw InputError("generator moves: the ensemble has another number of trajectories");
    const Span<const float> x = ensemble.x();
    proposer_.conditions(x, n_, s_.span());
    proposer_.weigh(x, n_, old_weight_.span());
    proposer_.propose(s_.span(), n_, seed, kStreamMove, attempt * static_cast<uint64>(n_),
                      x_.span(), new_weight_.span());
    accept_moves(stream_, n_, dim_, x_.data(), old_weight_.data(), new_weight_.data(), seed,
                 attempt, ensemble.x().data, counts_.data());
}

GeneratorMoves::Counts GeneratorMoves::counts() {
    const auto host = to_host(stream_, Span<const uint64>(counts_.span()));
    return {host[0], host[1]};
}

}  // namespace microlift
