#include "sampling/lift/proposals.h"

#include <algorithm>
#include <cmath>

#include "engine/at.h"
#include "engine/launch/reduce.h"
#include "kernels/random/streams.h"
#include "sampling/lift/lifting.h"
#include "nn/generators/registry.h"
#include "sampling/lift/proposal_kernels.h"
#include "sampling/numerics/statistics.h"

namespace microlift {

// The density takes a derivative along each variable: beyond, it would take longer than the rest of a run.
constexpr int kMostWeighed = 16;

std::string proposals_refusal(const Model& model, const Generator& generator) {
    if (!has_density(generator.kind()))
        return "a generator of kind \"" + generator.kind() + "\" has no density";
    if (!generator.has_density() || generator.states() > kMostWeighed)
        return "states of a flow are weighed for at most " + std::to_string(kMostWeighed) + " variables";
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
      free_(free_variables(model)) {
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
    model_.energies(stream_, x, n, n, energy_.span());
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

namespace {

// What the sums of each (function, value) are about.
std::vector<float> shifts_of(Stream& stream, const WeightedColumns& c) {
    Buffer<float> shifts(stream.device(), c.functions * c.values);
    first_columns(stream, c.values, c.each, c.functions, c.f.data, c.row, shifts.data());
    return to_host(stream, Span<const float>(shifts.span()));
}

}  // namespace

ConditionalAverages importance_averages(Stream& stream, const WeightedColumns& c) {
    const index chunks = (c.each + kProposalChunk - 1) / kProposalChunk, F = c.functions;
    const index width = 3 + 4 * F;
    const Device& device = stream.device();
    Buffer<double> greatest(device, c.values), parts(device, c.values * chunks * width),
        device_sums(device, c.values * width);
    const Tables tables{parts.data(), c.values, chunks, width, width};
    Buffer<double> scratch(device, std::max(reduce_scratch(c.values, c.each), table_scratch(tables)));
    row_max(stream, Rows<float>(c.log_weight.data, c.values, c.each, c.each), greatest.span(),
            scratch.span());
    weighted_sums(stream, c.values, c.each, chunks, F, c.f.data, c.row, c.log_weight.data,
                  greatest.data(), parts.data());
    sum_tables(stream, tables, device_sums.span(), scratch.span());
    const auto sums = to_host(stream, Span<const double>(device_sums.span()));
    const auto top = to_host(stream, Span<const double>(greatest.span()));
    const auto shifts = shifts_of(stream, c);

    ConditionalAverages r;
    r.values = c.values;
    r.functions = F;
    for (auto* v : {&r.mean, &r.error, &r.variance}) v->assign(at(F * c.values), kNaN);
    const double n = static_cast<double>(c.each);
    for (index v = 0; v < c.values; ++v) {
        const double* sum = &sums[at(v * width)];
        const double w = sum[0], ww = sum[1];
        r.unusable.push_back(sum[2] / n);
        const bool any = w > 0;
        r.quality.push_back(any ? w * w / ww / n : 0.0);
        r.log_z.push_back(any ? top[at(v)] + std::log(w / n) : kNaN);
        r.log_z_error.push_back(any ? std::sqrt(std::max(0.0, ww / (w * w) - 1.0 / n)) : kNaN);
        if (!any) continue;
        for (index f = 0; f < F; ++f) {
            const double* s = sum + 3 + 4 * f;
            const double mean = s[0] / w;
            r.mean[r.place(f, v)] = static_cast<double>(shifts[at(f * c.values + v)]) + mean;
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
    const auto shifts = shifts_of(stream, c);

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
            const double mean = total / count;
            r.mean[r.place(f, v)] = static_cast<double>(shifts[at(f * c.values + v)]) + mean;
            r.variance[r.place(f, v)] = std::max(0.0, squares / count - mean * mean);
            r.error[r.place(f, v)] =
                std::sqrt(std::max(0.0, spread / count - mean * mean) / (count - 1));
        }
    }
    return r;
}

// --- is it a density? ---------------------------------------------------------------------------------

std::vector<double> density_integrals(Stream& stream, Generator& generator, int cvs,
                                      const std::vector<std::array<double, kMaxCvs>>& values,
                                      index points, uint64 seed) {
    const int F = generator.states();
    if (!generator.has_density() || F > 2) return {};
    const Device& device = stream.device();
    constexpr index kDrawn = 1024;
    const index cells = F == 1 ? points : points * points, n = std::max(cells, kDrawn);
    Buffer<float> s(device, cvs * n), x(device, F * n), log_q(device, n);
    std::vector<float> at_s(at(cvs * n)), grid(at(F * cells));
    std::vector<double> integrals;
    for (const auto& value : values) {
        const auto set_conditions = [&](index count) {
            for (index k = 0; k < cvs; ++k)
                std::fill_n(at_s.begin() + k * count, count, static_cast<float>(value[at(k)]));
            copy_to_device(stream, s.span().subspan(0, cvs * count), at_s.data());
        };
        set_conditions(kDrawn);
        generator.propose(stream, s.span().subspan(0, cvs * kDrawn), kDrawn, seed,
                          kStreamProposal, 0, x.span().subspan(0, F * kDrawn),
                          log_q.span().subspan(0, kDrawn));
        const auto drawn =
            to_host(stream, Span<const float>(x.span().subspan(0, F * kDrawn)));
        double low[2], width[2], volume = 1;
        for (int f = 0; f < F; ++f) {
            const auto [least, most] = std::minmax_element(drawn.begin() + f * kDrawn,
                                                           drawn.begin() + (f + 1) * kDrawn);
            const double reach = static_cast<double>(*most) - static_cast<double>(*least);
            low[f] = static_cast<double>(*least) - 0.5 * reach;
            width[f] = 2 * reach / static_cast<double>(points);
            volume *= width[f];
        }
        for (index i = 0; i < cells; ++i)
            for (int f = 0; f < F; ++f)
                grid[at(f * cells + i)] = static_cast<float>(
                    low[f] +
                    (static_cast<double>(f == 0 ? i % points : i / points) + 0.5) * width[f]);
        copy_to_device(stream, x.span().subspan(0, F * cells), grid.data());
        set_conditions(cells);
        generator.log_density(stream, s.span().subspan(0, cvs * cells), cells,
                              x.span().subspan(0, F * cells), log_q.span().subspan(0, cells));
        double sum = 0;
        for (const float v : to_host(stream, Span<const float>(log_q.span().subspan(0, cells))))
            if (std::isfinite(v)) sum += std::exp(static_cast<double>(v));  // else: never drawn
        integrals.push_back(sum * volume);
    }
    return integrals;
}

}  // namespace microlift
