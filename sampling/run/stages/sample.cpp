// Biased ensembles, of the umbrella and of later coupling rounds.
#include "sampling/run/run.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include "kernels/random/streams.h"
#include "sampling/bias/exchange.h"

namespace microlift {

namespace {

constexpr double kLaunchWork = 6e7;  // trajectory-steps in one launch: a fraction of a second
constexpr double kLowAcceptance = 0.3;  // of steps; 0.574 is best where there are many variables

}  // namespace

Pipeline::RoundPlan Pipeline::plan() const {
    if (round_ == 0)
        return {run_.umbrella.window_count(), run_.umbrella.replicas, run_.umbrella.equilibrate,
                run_.umbrella.samples_per_trajectory(), run_.umbrella.exchange, 0};
    // On resume inside a round, its windows are known already.
    const index windows = round_places_.empty() ? run_.coupling.windows
                                                : static_cast<index>(round_places_.size());
    return {windows, run_.coupling.replicas, run_.coupling.equilibrate,
            run_.coupling.steps / run_.umbrella.stride, run_.coupling.exchange,
            (run_.coupling.jump + run_.umbrella.stride - 1) / run_.umbrella.stride *
                run_.umbrella.stride};
}

std::vector<std::array<double, kMaxCvs>> Pipeline::round_centers() const {
    if (round_ > 0) return next_centers_;
    const UmbrellaConfig& u = run_.umbrella;
    std::vector<std::array<double, kMaxCvs>> centers;
    const auto at = [&](std::size_t k, index i) {
        return u.windows[k] == 1
                   ? 0.5 * (u.from[k] + u.to[k])
                   : u.from[k] + (u.to[k] - u.from[k]) * static_cast<double>(i) /
                                     static_cast<double>(u.windows[k] - 1);
    };
    for (index i = 0; i < u.windows[0]; ++i)
        for (index j = 0; j < (grid_.dims == 2 ? u.windows[1] : 1); ++j)
            centers.push_back({at(0, i), grid_.dims == 2 ? at(1, j) : 0.0});
    return centers;
}

void Pipeline::sample() {
    const RoundPlan p = plan();
    const index n = p.windows * p.replicas;
    StageMeter meter(metrics_["stages"], round_ == 0 ? "sample" : "couple");
    const uint64 seed = derived_seed(run_.seed, static_cast<uint64>(round_));
    Ensemble ensemble(stream_, kernel_, n, seed, kStreamNoise);

    const bool resumed = stage_ == "sample" && checkpoint_.has("ensemble");
    const auto first_window = static_cast<std::size_t>(
        std::accumulate(samples_.blocks.begin(), samples_.blocks.end(), index{0},
                        [](index sum, const SampleBlock& b) { return sum + b.windows; }));
    if (windows_.center.size() == first_window)
        for (const auto& c : round_centers()) {
            windows_.center.push_back(c);
            const auto& k = run_.umbrella.stiffness;
            windows_.stiffness.push_back({k[0], grid_.dims == 2 ? k[1] : 0.0});
        }
    set_bias(ensemble, first_window, p);
    if (run_.umbrella.histogram) start_histogram(p);

    std::optional<Lifter> lifter;  // behind the jumps
    std::optional<LiftedMoves> jumps;
    if (p.jump > 0 && LiftedMoves::possible(model_)) {
        lifter.emplace(stream_, model_, Generator(stream_, dir_ / "generator.safetensors"),
                       run_.generator.project);
        jumps.emplace(stream_, model_, *lifter,
                      std::vector<std::array<double, kMaxCvs>>(
                          windows_.center.begin() + static_cast<std::ptrdiff_t>(first_window),
                          windows_.center.end()),
                      moves_config(derived_seed(run_.seed, 500000 + static_cast<uint64>(round_))));
    }
    // So far: samples a trajectory, steps of all of them, energies of jumps; attempts and acceptances.
    index sampled = 0;
    double steps = 0, energies = 0;
    Buffer<uint64> accepted(device_, 2), jumped(device_, LiftedMoves::kCounters);
    if (resumed) {
        const auto state = checkpoint_.get<float>("ensemble");
        ensemble.load_state({state.begin(), state.end()},
                            static_cast<uint64>(checkpoint_.scalar<long long>("step")));
        sampled = checkpoint_.scalar<long long>("sampled");
        steps = checkpoint_.scalar<double>("steps");
        energies = checkpoint_.scalar<double>("energies");
        const auto counts = checkpoint_.get<long long>("counters", 2 + LiftedMoves::kCounters);
        const std::vector<uint64> host(counts.begin(), counts.end());
        copy_to_device(stream_, accepted.span(), host.data());
        copy_to_device(stream_, jumped.span(), host.data() + 2);
        if (kernel_->metropolis()) {
            const auto steps_taken = checkpoint_.get<long long>("accepted_steps", n);
            ensemble.load_accepted({steps_taken.begin(), steps_taken.end()});
        }
        if (histogram_)
            histogram_->load(stream_, sampled, checkpoint_.get<long long>("histogram_counts"),
                             checkpoint_.get<double>("histogram_sums"));
        checkpoint_ = Store();
    } else {
        if (jumps && jumps->coordinates())
            jumps->start(p.replicas, ensemble.x());
        else
            set_initial(ensemble, first_window, p);
    }
    const std::string where = dir_.string();
    const auto describe_window = [&](index window) {
        const index w = static_cast<index>(first_window) + window;
        std::string text = "window " + std::to_string(w) + " at";
        for (int k = 0; k < grid_.dims; ++k)
            text += " " + model_.cv_names()[static_cast<std::size_t>(k)] + " = " +
                    number(windows_.center[static_cast<std::size_t>(w)][static_cast<std::size_t>(k)]);
        return text;
    };
    const auto describe = [&](index t) {
        return describe_window(t / p.replicas) + ", replica " + std::to_string(t % p.replicas);
    };

    const index stride = run_.umbrella.stride;
    const index exchange = p.exchange;
    const index jump = jumps ? p.jump : 0;
    const double total = static_cast<double>(p.equilibrate + p.segments * stride);
    progress_.begin(round_ == 0 ? "sample" : "sample, round " + std::to_string(round_),
                    total * static_cast<double>(n), "steps",
                    static_cast<double>(ensemble.step()) * static_cast<double>(n));
    auto saved = Clock::now();
    const double before = ensemble.force_evaluations() - steps;
    const auto save = [&] {
        std::vector<uint64> counts = to_host(stream_, Span<const uint64>(accepted.span()));
        const auto more = to_host(stream_, Span<const uint64>(jumped.span()));
        counts.insert(counts.end(), more.begin(), more.end());
        save_sampling(ensemble, sampled, ensemble.force_evaluations() - before, energies, counts);
    };
    // The file of samples that an earlier checkpoint counts on is replaced when this round ends.
    if (round_ > 0 && !resumed) save();
    uint64 checked = ensemble.step();
    const auto check = [&](bool last) {
        if (!last && static_cast<double>(ensemble.step() - checked) * static_cast<double>(n) <
                         0.25 * kLaunchWork)
            return;
        checked = ensemble.step();
        stream_.synchronize();
        ensemble.check_finite(describe);
        progress_.update(static_cast<double>(ensemble.step()) * static_cast<double>(n));
        if (pending_signal() || seconds_since(saved) > kCheckpointSeconds) {
            save();
            saved = Clock::now();
            throw_if_stopped();
        }
    };
    // Exchanges and jumps `done` steps after the start of equilibration or sampling.
    const auto rearrange = [&](index done) {
        if (exchange > 0 && done % exchange == 0) try_exchange(ensemble, p, accepted);
        if (jump > 0 && done % jump == 0) {
            jumps->attempt(ensemble, p.replicas, ensemble.step() / static_cast<uint64>(jump),
                           jumped.span());
            energies += LiftedMoves::kEnergiesPerAttempt * static_cast<double>(n);
        }
    };
    const index interval = std::gcd(exchange, jump);
    const index equilibration_piece = interval > 0 ? interval : launch_steps(n);
    while (ensemble.step() < static_cast<uint64>(p.equilibrate)) {
        const index left = p.equilibrate - static_cast<index>(ensemble.step());
        ensemble.advance(static_cast<uint64>(std::min(left, equilibration_piece)));
        rearrange(static_cast<index>(ensemble.step()));
        check(ensemble.step() >= static_cast<uint64>(p.equilibrate));
    }
    const index segments_piece =
        interval > 0 ? interval / stride : std::max<index>(1, launch_steps(n) / stride);
    while (sampled < p.segments) {
        const index now = std::min(segments_piece, p.segments - sampled);
        if (histogram_)
            histogram_->sample(stream_, ensemble, static_cast<uint64>(stride), now);
        else
            ensemble.sample(static_cast<uint64>(stride), now, samples_);
        sampled += now;
        if (sampled < p.segments) rearrange(sampled * stride);
        check(sampled == p.segments);
    }
    const auto share = [](uint64 of, uint64 all) {
        return all ? static_cast<double>(of) / static_cast<double>(all) : 0.0;
    };
    Json& record = metrics_["stages"][round_ == 0 ? "sample" : "couple"];
    if (kernel_->metropolis()) record_acceptance(ensemble, p, describe_window, record);
    if (exchange > 0) {
        const auto a = to_host(stream_, Span<const uint64>(accepted.span()));
        record["exchange_acceptance"] = share(a[0], a[1]);
    }
    if (jump > 0) {
        const auto a = to_host(stream_, Span<const uint64>(jumped.span()));
        jump_acceptance_ = share(a[0] + a[2], a[1] + a[3]);
        record["jump_acceptance"] = jump_acceptance_;
        if (jumps->exact_density()) {
            record["mixture_jump_acceptance"] = share(a[0], a[1]);
            record["exact_jump_acceptance"] = share(a[2], a[3]);
        }
        if (jump_acceptance_ < 0.01)
            warn("jumps to lifted states are almost never accepted (" + number(jump_acceptance_) +
                 " in round " + std::to_string(round_) +
                 "): the generator is far from physics, or there are too many variables for "
                 "jumps; populations behind barriers that the collective variable does not see "
                 "are then the generator's");
    }
    if (histogram_)
        write_histogram();
    else
        samples_.blocks.push_back({samples_.n - n * p.segments, static_cast<index>(first_window),
                               p.windows, p.replicas, p.segments});
    meter.work(ensemble.force_evaluations() - before,
               ensemble.force_evaluations() - before + energies);
    progress_.end();
}

void Pipeline::record_acceptance(Ensemble& ensemble, const RoundPlan& p,
                                 const std::function<std::string(index)>& describe_window,
                                 Json& record) {
    const std::vector<uint64> accepted = ensemble.accepted();
    const double steps = static_cast<double>(ensemble.step()) * static_cast<double>(p.replicas);
    double mean = 0, lowest = 1;
    index where = 0;
    for (index w = 0; w < p.windows; ++w) {
        const auto first = accepted.begin() + w * p.replicas;
        const double share =
            static_cast<double>(std::accumulate(first, first + p.replicas, uint64{0})) / steps;
        mean += share / static_cast<double>(p.windows);
        if (share < lowest) lowest = share, where = w;
    }
    record["step_acceptance"] = mean;
    record["lowest_step_acceptance"] = lowest;
    if (lowest < kLowAcceptance)
        warn("mala accepts only " + number(lowest) + " of its steps in " +
             describe_window(where) + " (" + number(mean) +
             " over all windows): samples follow each other slowly; choose a smaller "
             "integrator.dt");
}

index Pipeline::launch_steps(index trajectories) const {
    return std::max<index>(1, static_cast<index>(kLaunchWork / static_cast<double>(trajectories)));
}

void Pipeline::try_exchange(Ensemble& ensemble, const RoundPlan& p, Buffer<uint64>& accepted) {
    const index attempt = static_cast<index>(ensemble.step()) / p.exchange;
    ExchangeGrid grid;
    grid.windows[0] = round_ == 0 ? run_.umbrella.windows[0] : p.windows;
    grid.windows[1] = round_ == 0 && grid_.dims == 2 ? run_.umbrella.windows[1] : 1;
    grid.replicas = p.replicas;
    for (int k = 0; k < grid_.dims; ++k)
        grid.beta[k] = static_cast<float>(model_.cv_beta()[static_cast<std::size_t>(k)]);
    const int axis = grid_.dims == 2 ? static_cast<int>(attempt / 2 % 2) : 0;
    const index n = ensemble.size();
    const int rows = static_cast<int>(model_.formulas().cv.outputs.size());
    if (exchange_xi_.size() != rows * n) exchange_xi_ = Buffer<float>(device_, rows * n);
    model_.evaluate_cvs(stream_, ensemble.x(), n, n, exchange_xi_.span(), n);
    exchange_neighbours(stream_, ensemble, grid, axis, static_cast<int>(attempt % 2),
                        derived_seed(run_.seed, 1000 + 1000000 * static_cast<uint64>(round_)), static_cast<uint64>(attempt),
                        exchange_xi_.span(), accepted.span());
    stream_.synchronize();
}

void Pipeline::set_bias(Ensemble& ensemble, std::size_t first_window, const RoundPlan& p) {
    const index n = ensemble.size();
    std::vector<float> center(static_cast<std::size_t>(grid_.dims * n)), stiffness(center.size());
    for (int k = 0; k < grid_.dims; ++k)
        for (index t = 0; t < n; ++t) {
            const std::size_t w = first_window + static_cast<std::size_t>(t / p.replicas);
            const auto at = static_cast<std::size_t>(k * n + t);
            center[at] = static_cast<float>(windows_.center[w][static_cast<std::size_t>(k)]);
            stiffness[at] = static_cast<float>(windows_.stiffness[w][static_cast<std::size_t>(k)]);
        }
    copy_to_device(stream_, ensemble.center(), center.data());
    copy_to_device(stream_, ensemble.stiffness(), stiffness.data());
}

void Pipeline::set_initial(Ensemble& ensemble, std::size_t first_window, const RoundPlan& p) {
    const index n = ensemble.size();
    const UmbrellaConfig& u = run_.umbrella;
    if (round_ > 0 && !model_.observed()) {
        // From the generator: physics need not find its own way there.
        Lifter lifter(stream_, model_, Generator(stream_, dir_ / "generator.safetensors"),
                      run_.generator.project);
        lifter.lift(ensemble.center(), n, derived_seed(run_.seed, 2000),
                    static_cast<uint64>(round_) << 32, ensemble.x());
        calm(stream_, model_, run_.integrator, ensemble.center(), n, ensemble.x());
        stream_.synchronize();
        return;
    }
    const auto D = static_cast<std::size_t>(model_.dim());
    std::vector<float> x(D * static_cast<std::size_t>(n));
    const auto put = [&](index t, const double* state) {
        for (std::size_t d = 0; d < D; ++d)
            x[d * static_cast<std::size_t>(n) + static_cast<std::size_t>(t)] =
                static_cast<float>(state[d]);
    };
    if (!u.initial_file.empty()) {
        const Table table = read_table(u.initial_file);
        if (table.columns != model_.dim())
            run_.config.fail("umbrella.initial",
                             u.initial_file + " has " + std::to_string(table.columns) +
                                 " columns, the system " + std::to_string(model_.dim()) +
                                 " variables",
                             "give one column for each variable");
        for (index w = 0; w < p.windows; ++w) {
            const index row = nearest_row(table, windows_.center[first_window + static_cast<std::size_t>(w)]);
            for (index r = 0; r < p.replicas; ++r)
                put(w * p.replicas + r, table.values.data() + row * table.columns);
        }
    } else {
        const std::vector<double> state =
            u.initial_state.empty() ? std::vector<double>(D, 0.0) : u.initial_state;
        for (index t = 0; t < n; ++t) put(t, state.data());
    }
    copy_to_device(stream_, ensemble.x(), x.data());
    if (u.initial_line) model_.project(stream_, ensemble.center(), n, n, ensemble.x(), n, 10);
    stream_.synchronize();
}

index Pipeline::nearest_row(const Table& table, const std::array<double, kMaxCvs>& center) const {
    index best = 0;
    double least = 1e300;
    for (index r = 0; r < table.rows; ++r) {
        double distance = 0;
        for (int k = 0; k < grid_.dims; ++k) {
            const auto node = model_.formulas().cv_nodes[static_cast<std::size_t>(k)];
            const double xi = model_.formulas().graph.evaluate(
                node, {table.values.data() + r * table.columns,
                       static_cast<std::size_t>(table.columns)});
            const double d = (xi - center[static_cast<std::size_t>(k)]) / grid_.width(k);
            distance += d * d;
        }
        if (distance < least) {
            least = distance;
            best = r;
        }
    }
    return best;
}

}  // namespace microlift
