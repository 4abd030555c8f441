#include "sampling/lift/lifted_moves.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/random/streams.h"
#include "sampling/lift/proposal_kernels.h"

namespace microlift {

namespace {

std::vector<int> coordinates_of_cvs(const Model& model) {
    std::vector<int> out;
    const std::vector<int> free = free_variables(model);
    std::vector<bool> is_free(static_cast<std::size_t>(model.dim()), false);
    for (int d : free) is_free[static_cast<std::size_t>(d)] = true;
    for (const auto& cv : model.formulas().cvs) {
        int found = -1;
        for (std::size_t d = 0; cv.linear && d < cv.weights.size(); ++d)
            if (cv.weights[d] == 1 && !is_free[d]) found = static_cast<int>(d);
        if (found < 0) return {};
        out.push_back(found);
    }
    return out;
}

MixtureView view(const Buffer<float>& points, const Buffer<float>& scale, const Buffer<float>& width,
                 const Buffer<int32>& list, index count) {
    return {points.data(), scale.data(), width.data(), list.data(), count,
            static_cast<int>(list.size())};
}

PlaceGrid grid_of(const GridAxes& axes) {
    PlaceGrid grid;
    grid.cvs = axes.cvs;
    for (int k = 0; k < axes.cvs; ++k) {
        const auto i = static_cast<std::size_t>(k);
        grid.points[k] = static_cast<int>(axes.points[i]);
        grid.from[k] = static_cast<float>(axes.from[i]);
        grid.inverse_width[k] = static_cast<float>(1 / axes.spacing(k));
        grid.periodic[k] = axes.periodic[i];
    }
    return grid;
}

}  // namespace

bool LiftedMoves::possible(const Model& model) {
    return !model.observed() && !model.molecule() && model.gradient() && !free_variables(model).empty();
}

LiftedMoves::LiftedMoves(Stream& stream, const Model& model, Lifter& lifter,
                         const std::vector<std::array<double, kMaxCvs>>& centers,
                         const LiftedMovesConfig& config)
    : stream_(stream), model_(model), config_(config),
      windows_(static_cast<index>(centers.size())), free_(free_variables(model)),
      coordinate_of_cv_(coordinates_of_cvs(model)) {
    const Device& device = stream.device();
    if (proposals_refusal(model, lifter.generator()).empty())
        proposer_ = std::make_unique<Proposer>(stream, model, lifter.generator());
    if (config.bias != nullptr) places_ = grid_of(config.places);
    const index M = config.points, n = windows_ * M;
    const auto K = static_cast<std::size_t>(model.n_cvs());
    const auto N = static_cast<std::size_t>(n), W = centers.size();
    const auto F = free_.size(), P = static_cast<std::size_t>(M);

    // Conditions: the centre, and every second point a value nearby, at fixed quantiles of a normal.
    std::vector<float> s(K * N);
    for (std::size_t w = 0; w < W; ++w)
        for (std::size_t m = 0; m < P; ++m)
            for (std::size_t k = 0; k < K; ++k) {
                double at = centers[w][k];
                if (m % 2 == 1) {
                    const PhiloxStream<float> rng(config.seed, kStreamJump, static_cast<index>(w * P + m));
                    float z[4];
                    normal_block<Portable>(rng, ~uint64{0} >> 1, z);
                    const double away = at + config.spread[k] * static_cast<double>(z[k]);
                    at = config.round[k] ? away
                                         : std::clamp(away, std::min(config.from[k], at),
                                                      std::max(config.to[k], at));
                }
                s[k * N + w * P + m] = static_cast<float>(at);
            }
    Buffer<float> conditions(device, static_cast<index>(K * N)), x(device, model.dim() * n);
    copy_to_device(stream, conditions.span(), s.data());
    lifter.lift(conditions.span(), n, config.seed, 0, x.span());
    const std::vector<float> host = to_host(stream, Span<const float>(x.span()));

    std::vector<float> points(W * F * P), scale(W * F), width(W * P), center(K * W);
    std::vector<double> distance(P);
    const std::size_t neighbour = std::min(P - 1, std::max<std::size_t>(4, P / 16));
    for (std::size_t w = 0; w < W; ++w) {
        for (std::size_t k = 0; k < K; ++k) center[k * W + w] = static_cast<float>(centers[w][k]);
        for (std::size_t f = 0; f < F; ++f) {
            const float* row = host.data() + static_cast<std::size_t>(free_[f]) * N + w * P;
            double sum = 0, squares = 0;
            for (std::size_t m = 0; m < P; ++m) sum += static_cast<double>(row[m]);
            const double mean = sum / static_cast<double>(P);
            for (std::size_t m = 0; m < P; ++m) {
                const double d = static_cast<double>(row[m]) - mean;
                squares += d * d;
            }
            double unit = std::max(1e-6 * std::fabs(mean), std::sqrt(squares / static_cast<double>(P)));
            if (!(unit > 0)) unit = 1;
            scale[w * F + f] = static_cast<float>(unit);
            for (std::size_t m = 0; m < P; ++m)
                points[(w * F + f) * P + m] =
                    static_cast<float>(static_cast<double>(row[m]) / unit);
        }
        // Distance to the neighbour that a sixteenth of the points lie within.
        for (std::size_t m = 0; m < P; ++m) {
            for (std::size_t o = 0; o < P; ++o) {
                double r2 = 0;
                for (std::size_t f = 0; f < F; ++f) {
                    const float* row = points.data() + (w * F + f) * P;
                    const double d = static_cast<double>(row[m]) - static_cast<double>(row[o]);
                    r2 += d * d;
                }
                distance[o] = r2;
            }
            std::nth_element(distance.begin(),
                             distance.begin() + static_cast<std::ptrdiff_t>(neighbour),
                             distance.end());
            const double r = std::sqrt(distance[neighbour] / static_cast<double>(F));
            width[w * P + m] = static_cast<float>(std::clamp(r, 0.02, 0.5));
        }
    }
    std::vector<int32> list(free_.begin(), free_.end());
    const auto upload = [&](const auto& values, auto& buffer) {
        buffer = std::remove_reference_t<decltype(buffer)>(device,
                                                           static_cast<index>(values.size()));
        copy_to_device(stream, buffer.span(), values.data());
    };
    upload(points, points_);
    upload(scale, scale_);
    upload(width, width_);
    upload(list, free_list_);
    upload(center, centers_);
}

void LiftedMoves::energies(Span<const float> x, index n, Span<float> v, Span<float> xi) {
    model_.energies(stream_, x, n, n, v);
    if (xi.size > 0) model_.evaluate_cvs(stream_, x, n, n, xi, n);
}

void LiftedMoves::attempt(Ensemble& ensemble, index replicas, uint64 attempt,
                          Span<uint64> counters) {
    const index n = ensemble.size();
    const int dim = model_.dim(), K = model_.n_cvs();
    const bool shared = config_.bias != nullptr;
    if (!shared && n != windows_ * replicas)
        throw InputError("jumps: the ensemble has another number of trajectories");
    if (proposal_.size() != dim * n) proposal_ = Buffer<float>(stream_.device(), dim * n);
    if (proposer_ && attempt % kExactEvery == kExactEvery - 1) {
        attempt_exact(ensemble, attempt, counters.subspan(2, 2));
        return;
    }
    if (v_.size() != 2 * n) v_ = Buffer<float>(stream_.device(), 2 * n);
    if (log_q_.size() != 2 * n) {
        log_q_ = Buffer<float>(stream_.device(), 2 * n);
        // The CV program writes its gradients behind the values.
        if (shared || !coordinates()) xi_ = Buffer<float>(stream_.device(), (2 * K + K * dim) * n);
        if (shared) u_ = Buffer<float>(stream_.device(), 2 * n);
    }
    const auto xi = [&](index from) {
        return xi_.size() == 0 ? Span<float>{} : xi_.span().subspan(from, (K + K * dim) * n);
    };
    energies(ensemble.x(), n, v_.span().subspan(0, n), xi(0));
    const MixtureView mixture = view(points_, scale_, width_, free_list_, config_.points);
    propose_lifted(stream_, n,
                   LiftedProposalBody{mixture, ensemble.x().data, proposal_.data(), log_q_.data(),
                                      dim, n, replicas, config_.seed, attempt, places_, xi_.data()});
    energies(proposal_.span(), n, v_.span().subspan(n, n), xi(K * n));
    for (index end = 0; shared && end < 2; ++end)
        config_.bias->energy(stream_, xi_.span().subspan(end * K * n, K * n), n, n, u_.span().subspan(end * n, n));
    accept_lifted(stream_, n,
                   LiftedAcceptBody{mixture, ensemble.windows(), proposal_.data(), log_q_.data(), v_.data(),
                                    xi_.size() > 0 ? xi_.data() : nullptr, shared ? u_.data() : nullptr,
                                    ensemble.x().data, static_cast<float>(model_.formulas().beta), K, n,
                                    config_.seed, attempt, counters.data, places_});
}

void LiftedMoves::attempt_exact(Ensemble& ensemble, uint64 attempt, Span<uint64> counters) {
    const index n = ensemble.size(), K = model_.n_cvs();
    if (s_.size() != K * n) s_ = Buffer<float>(stream_.device(), K * n);
    if (v_.size() != 2 * n) v_ = Buffer<float>(stream_.device(), 2 * n);
    const Span<float> before = v_.span().subspan(0, n), after = v_.span().subspan(n, n);
    proposer_->conditions(ensemble.x(), n, s_.span());
    proposer_->weigh(ensemble.x(), n, before);
    proposer_->propose(s_.span(), n, config_.seed, kStreamMove, attempt * static_cast<uint64>(n),
                       proposal_.span(), after);
    accept_moves(stream_, n, model_.dim(), proposal_.data(), before.data, after.data, config_.seed,
                 attempt, ensemble.x().data, counters.data);
}

Buffer<float> LiftedMoves::repeated_centers(index each) {
    const auto K = static_cast<std::size_t>(model_.n_cvs());
    const auto W = static_cast<std::size_t>(windows_), E = static_cast<std::size_t>(each);
    const std::vector<float> center = to_host(stream_, Span<const float>(centers_.span()));
    std::vector<float> s(K * W * E);
    for (std::size_t i = 0; i < s.size(); ++i) s[i] = center[i / E];
    Buffer<float> out(stream_.device(), static_cast<index>(s.size()));
    copy_to_device(stream_, out.span(), s.data());
    return out;
}

void LiftedMoves::propose(index each, uint64 attempt, Span<float> x, Span<float> log_weight) {
    const index n = windows_ * each;
    const int dim = model_.dim();
    Buffer<float> start(stream_.device(), dim * n), v(stream_.device(), n);
    fill_zero(stream_, start.span());
    const Buffer<float> s = repeated_centers(each);
    for (std::size_t k = 0; k < coordinate_of_cv_.size(); ++k)
        copy(stream_, start.span().subspan(coordinate_of_cv_[k] * n, n),
             Span<const float>(s.span().subspan(static_cast<index>(k) * n, n)));
    const MixtureView mixture = view(points_, scale_, width_, free_list_, config_.points);
    propose_lifted(stream_, n,
                   LiftedProposalBody{mixture, start.data(), x.data, nullptr, dim, n, each,
                                      config_.seed, attempt});
    model_.energies(stream_, x, n, n, v.span());
    weigh_lifted(stream_, n,
                   LiftedWeightBody{mixture, x.data, v.data(), log_weight.data,
                                  static_cast<float>(model_.formulas().beta), n, each});
}

void LiftedMoves::start(index replicas, Span<float> x, bool exact) {
    const index each = std::max<index>(1024, 4 * replicas), n = windows_ * each;
    const auto D = static_cast<std::size_t>(model_.dim());
    const auto R = static_cast<std::size_t>(replicas), E = static_cast<std::size_t>(each);
    Buffer<float> proposals(stream_.device(), model_.dim() * n), log_weight(stream_.device(), n);
    if (exact && proposer_) {
        const Buffer<float> s = repeated_centers(each);
        proposer_->propose(s.span(), n, config_.seed, kStreamMove, uint64{1} << 48,
                           proposals.span(), log_weight.span());
    } else {
        propose(each, ~uint64{0} >> 8, proposals.span(), log_weight.span());
    }
    const std::vector<float> from = to_host(stream_, Span<const float>(proposals.span()));
    const std::vector<float> weight = to_host(stream_, Span<const float>(log_weight.span()));
    std::vector<float> out(D * static_cast<std::size_t>(windows_) * R);
    std::vector<double> w(E);
    for (std::size_t k = 0; k < static_cast<std::size_t>(windows_); ++k) {
        const float* log_w = weight.data() + k * E;
        double most = -1e300;
        for (std::size_t i = 0; i < E; ++i)
            if (std::isfinite(log_w[i])) most = std::max(most, static_cast<double>(log_w[i]));
        double sum = 0;
        for (double power = 1.0;; power *= 0.7) {
            double squares = 0;
            sum = 0;
            for (std::size_t i = 0; i < E; ++i) {
                w[i] = std::isfinite(log_w[i])
                           ? std::exp(power * (static_cast<double>(log_w[i]) - most)) : 0.0;
                sum += w[i];
                squares += w[i] * w[i];
            }
            if (sum * sum >= 0.25 * static_cast<double>(R) * squares || power < 1e-3) break;
        }
        // Systematic resampling: every replica takes an equal share of the weight.
        double reached = w[0];
        std::size_t i = 0;
        for (std::size_t r = 0; r < R; ++r) {
            const double level = sum * (static_cast<double>(r) + 0.5) / static_cast<double>(R);
            while (reached < level && i + 1 < E) reached += w[++i];
            for (std::size_t d = 0; d < D; ++d)
                out[d * static_cast<std::size_t>(windows_) * R + k * R + r] =
                    from[d * static_cast<std::size_t>(n) + k * E + i];
        }
    }
    copy_to_device(stream_, x, out.data());
}

}  // namespace microlift
