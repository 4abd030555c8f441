#include "sampling/pipeline.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/files.h"
#include "kernels/rng_streams.h"
#include "nn/cgan.h"
#include "sampling/conditional.h"
#include "sampling/exchange.h"
#include "sampling/lifting.h"
#include "sampling/model.h"
#include "sampling/samples_file.h"

namespace microlift {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr double kLaunchWork = 6e7;       // trajectory-steps in one launch: a fraction of a second
constexpr double kCheckpointSeconds = 10;
constexpr index kHealedPerBin = 4096, kGeneratedPerBin = 20000;
constexpr index kPictures = 6;            // conditional densities shown in the report

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// Different seeds for different parts of a run, all from the run's own (SplitMix64's finaliser).
uint64 derived_seed(uint64 seed, uint64 part) {
    uint64 z = seed + 0x9E3779B97F4A7C15ull * (part + 1);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

// What a stage took; adds up over interruptions and rounds.
class StageMeter {
public:
    StageMeter(Json& stages, const std::string& name)
        : stages_(stages), name_(name), start_(Clock::now()), before_(transfer_counters()) {}
    void work(double steps, double force_evaluations) {
        steps_ += steps;
        force_evaluations_ += force_evaluations;
    }
    ~StageMeter() {
        const TransferCounters now = transfer_counters();
        if (!stages_[name_].is_object()) stages_[name_] = Json::object();
        add("seconds", seconds_since(start_));
        if (steps_ > 0) {
            add("steps", steps_);
            Json& record = stages_[name_];
            record["steps_per_second"] =
                record["steps"].get<double>() / record["seconds"].get<double>();
        }
        if (force_evaluations_ > 0) add("force_evaluations", force_evaluations_);
        add("bytes_to_device", static_cast<double>(now.bytes_to_device - before_.bytes_to_device));
        add("bytes_to_host", static_cast<double>(now.bytes_to_host - before_.bytes_to_host));
        add("kernel_launches", static_cast<double>(now.kernel_launches - before_.kernel_launches));
    }

private:
    void add(const char* key, double value) {
        Json& record = stages_[name_];
        record[key] = record.value(key, 0.0) + value;
    }
    Json& stages_;
    std::string name_;
    Clock::time_point start_;
    TransferCounters before_;
    double steps_ = 0, force_evaluations_ = 0;
};

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4g", value);
    return text;
}

CganConfig cgan_config(const RunConfig& run, index iterations, uint64 seed) {
    const GeneratorConfig& g = run.generator;
    CganConfig c;
    c.generator_widths = g.generator_widths;
    c.critic_widths = g.critic_widths;
    c.latent = static_cast<int>(g.latent);
    c.activation = g.activation;
    c.batch = g.batch;
    c.iterations = iterations;
    c.critic_steps = static_cast<int>(g.critic_steps);
    c.generator_rate = g.generator_rate;
    c.critic_rate = g.critic_rate;
    c.beta1 = g.beta1;
    c.beta2 = g.beta2;
    c.penalty = g.penalty == "r1r2" ? "relativistic" : g.penalty;
    c.penalty_weight = g.penalty_weight;
    c.energy_weight = g.energy_weight;
    c.ema = g.ema;
    c.held_out = g.held_out;
    c.validation_every = g.validate_every;
    c.validation_samples = g.validation_states;
    for (const CvVariable& cv : run.cv.variables) c.periods.push_back(cv.period);
    c.seed = seed;
    return c;
}

Grid make_grid(const RunConfig& run) {
    Grid grid;
    grid.dims = run.cv.count();
    for (int k = 0; k < grid.dims; ++k) {
        const auto i = static_cast<std::size_t>(k);
        grid.from[i] = run.umbrella.from[i];
        grid.to[i] = run.umbrella.to[i];
        grid.bins[i] = run.estimate.bins.empty() ? 100 : run.estimate.bins[i];
    }
    return grid;
}

class Pipeline {
public:
    Pipeline(const RunConfig& run, const RunOptions& options, Progress& progress)
        : run_(run), dir_(options.out_dir), progress_(progress),
          device_(Device::pick(options.device, options.threads)), stream_(device_), model_(run),
          grid_(make_grid(run)), free_(free_variables(model_)) {
        const PathSetup setup = model_.path_setup(run.integrator);
        kernel_ = model_.path_kernel(setup);
        if (run.generator.enabled) {
            if (run.generator.kind != "cgan")
                run.config.fail("generator.kind",
                                "generator.kind = \"" + run.generator.kind + "\" is not built yet",
                                "use \"cgan\"");
            if (!model_.observed() && free_.empty())
                run.config.fail("generator",
                                "the collective variables are the whole state, nothing is left "
                                "for a generator to make",
                                "leave out [generator], or choose fewer collective variables");
        }
        if (run.umbrella.exchange > 0 && run.umbrella.exchange % run.umbrella.stride != 0)
            run.config.fail("umbrella.exchange",
                            "umbrella.exchange = " + std::to_string(run.umbrella.exchange) +
                                " is not a multiple of umbrella.stride",
                            "exchange at steps that are sampled, for example every " +
                                std::to_string(run.umbrella.stride * 10));
        index capacity = run.umbrella.sample_count();
        if (run.coupling.enabled)
            capacity += run.coupling.rounds * run.coupling.windows * run.coupling.replicas *
                        (run.coupling.steps / run.umbrella.stride);
        samples_ = SampleSet(device_, model_.dim(), model_.n_cvs(), capacity);
        windows_.beta = model_.cv_beta();
        if (options.resume) restore();
        metrics_["version"] = MICROLIFT_VERSION;
        metrics_["system"] = describe_system();
        metrics_["device"] = device_.description();
        metrics_["threads"] = device_.threads();
        metrics_["math"] = "portable";
        metrics_["precision"] = "fp32";
        metrics_["seed"] = run.seed;
    }

    void run() {
        if (stage_ == "done") {
            progress_.note("nothing to do: " + dir_.string() + " is complete");
            print_summary();
            return;
        }
        const index rounds = run_.coupling.enabled ? run_.coupling.rounds : 0;
        for (; round_ <= rounds; ++round_, stage_ = "sample") {
            if (stage_ == "sample") {
                if (static_cast<index>(samples_.blocks.size()) <= round_) sample();
                if (run_.estimate.enabled) estimate();
                stage_ = "train";
            }
            if (run_.generator.enabled) train();
        }
        round_ = rounds;
        judge();
        metrics_["complete"] = true;
        write_metrics();
        stage_ = "done";
        Store store = base_checkpoint();
        store.save(dir_ / "checkpoint.h5");
        print_summary();
    }

private:
    // --- description -------------------------------------------------------------------------------

    Json describe_system() const {
        const FormulaSystemText& text = model_.text();
        Json j;
        j["name"] = model_.name();
        j["variables"] = model_.variables();
        j["observed"] = model_.observed() ? Json(model_.target_names()) : Json::array();
        j["cvs"] = model_.cv_names();
        j["potential_formula"] = text.potential;
        j["drift"] = text.drift;
        j["diffusion"] = text.diffusion;
        j["observe"] = text.observe;
        j["parameters"] = Json::object();
        for (const auto& [name, value] : text.parameters) j["parameters"][name] = value;
        if (model_.gradient()) j["beta"] = model_.formulas().beta;
        j["kt"] = model_.kt();
        return j;
    }

    void warn(const std::string& text) {
        Json& list = metrics_["warnings"];
        if (!list.is_array()) list = Json::array();
        for (const auto& known : list)
            if (known == text) return;
        list.push_back(text);
        progress_.note("warning: " + text);
    }

    // --- checkpoints -------------------------------------------------------------------------------

    Store base_checkpoint() {
        Store store;
        store.attributes["stage"] = stage_;
        store.attributes["metrics"] = metrics_.dump();
        store.put_scalar<long long>("round", round_);
        std::vector<double> centers, stiffness;
        for (index w = 0; w < windows_.size(); ++w)
            for (int k = 0; k < kMaxCvs; ++k) {
                centers.push_back(windows_.center[static_cast<std::size_t>(w)][k]);
                stiffness.push_back(windows_.stiffness[static_cast<std::size_t>(w)][k]);
            }
        store.put("window_center", centers);
        store.put("window_stiffness", stiffness);
        std::vector<long long> blocks;
        for (const SampleBlock& b : samples_.blocks)
            for (index v : {b.first, b.first_window, b.windows, b.replicas, b.samples})
                blocks.push_back(v);
        store.put("blocks", blocks);
        store.put("error_blocks", std::vector<long long>{error_blocks_.replica_groups,
                                                         error_blocks_.time_segments});
        if (!warm_.empty()) store.put("generator", packed(warm_));
        return store;
    }

    static std::vector<std::uint8_t> packed(const TensorMap& tensors) {
        const std::vector<std::byte> bytes = format_safetensors({tensors, {}});
        const auto* first = reinterpret_cast<const std::uint8_t*>(bytes.data());
        return {first, first + bytes.size()};
    }
    static TensorMap unpacked(std::span<const std::uint8_t> bytes) {
        return parse_safetensors(std::as_bytes(bytes), "checkpoint.h5").tensors;
    }

    void save_sampling(Ensemble& ensemble, index sampled, double work) {
        Store store = base_checkpoint();
        store.put("ensemble", ensemble.save_state());
        store.put_scalar<long long>("step", static_cast<long long>(ensemble.step()));
        store.put_scalar<long long>("sampled", sampled);
        store.put_scalar<double>("force_evaluations", work);
        put_samples(store);
        store.save(dir_ / "checkpoint.h5");
    }

    void put_samples(Store& store) {
        const auto rows = [this](const Buffer<float>& from, int count) {
            return [this, &from, count](index first, index n, index, void* out) {
                for (index r = 0; r < n; ++r) {
                    const index row = first + r;
                    (void)count;
                    copy_to_host(stream_, static_cast<float*>(out) + r * samples_.n,
                                 from.span().subspan(row * samples_.row, samples_.n));
                }
            };
        };
        if (samples_.n == 0) return;
        store.put_rows("samples_x", {DType::f32, {model_.dim(), samples_.n}},
                       rows(samples_.x, model_.dim()));
        store.put_rows("samples_xi", {DType::f32, {model_.n_cvs(), samples_.n}},
                       rows(samples_.xi, model_.n_cvs()));
    }

    void save_training(Cgan& cgan) {
        Store store = base_checkpoint();
        store.put("training", packed(cgan.save_state()));
        store.save(dir_ / "checkpoint.h5");
    }

    void restore() {
        const fs::path file = dir_ / "checkpoint.h5";
        if (!fs::exists(file)) return;  // stopped before the first one
        checkpoint_ = Store::load(file);
        const auto missing = [&](const std::string& what) -> InputError {
            return InputError(file.string() + ": it does not hold " + what +
                              "; begin anew with --force");
        };
        if (!checkpoint_.attributes.count("stage") || !checkpoint_.attributes.count("metrics"))
            throw missing("a run");
        stage_ = checkpoint_.attributes.at("stage");
        metrics_ = Json::parse(checkpoint_.attributes.at("metrics"), nullptr, false);
        if (metrics_.is_discarded()) throw missing("readable metrics");
        round_ = checkpoint_.scalar<long long>("round");
        const auto centers = checkpoint_.get<double>("window_center");
        const auto stiffness = checkpoint_.get<double>("window_stiffness");
        for (std::size_t w = 0; w * kMaxCvs < centers.size(); ++w) {
            windows_.center.push_back({centers[2 * w], centers[2 * w + 1]});
            windows_.stiffness.push_back({stiffness[2 * w], stiffness[2 * w + 1]});
        }
        const auto blocks = checkpoint_.get<long long>("blocks");
        for (std::size_t b = 0; b + 5 <= blocks.size(); b += 5)
            samples_.blocks.push_back(
                {blocks[b], blocks[b + 1], blocks[b + 2], blocks[b + 3], blocks[b + 4]});
        const auto errors = checkpoint_.get<long long>("error_blocks", 2);
        error_blocks_.replica_groups = errors[0];
        error_blocks_.time_segments = errors[1];
        if (checkpoint_.has("generator"))
            warm_ = unpacked(checkpoint_.get<std::uint8_t>("generator"));
        if (stage_ == "done") return;
        if (stage_ == "sample") {
            if (!checkpoint_.has("samples_x")) return;
            const index n = checkpoint_.info("samples_x").shape.at(1);
            if (n > samples_.row) throw missing("samples of this configuration");
            load_rows(samples_.x, checkpoint_.get<float>("samples_x", model_.dim() * n), n);
            load_rows(samples_.xi, checkpoint_.get<float>("samples_xi", model_.n_cvs() * n), n);
            samples_.n = n;
        } else {
            read_samples();
        }
    }

    void load_rows(Buffer<float>& to, std::span<const float> from, index n) {
        for (index r = 0; r * n < static_cast<index>(from.size()); ++r)
            copy_to_device(stream_, to.span().subspan(r * samples_.row, n), from.data() + r * n);
    }

    void read_samples() {
        const SamplesReader file(dir_ / "samples.h5");
        const index n = file.info().samples;
        if (n > samples_.row)
            throw InputError((dir_ / "samples.h5").string() +
                             ": it holds more samples than this configuration makes; begin anew "
                             "with --force");
        const auto D = static_cast<std::size_t>(model_.dim());
        const auto K = static_cast<std::size_t>(model_.n_cvs());
        constexpr index piece = 1 << 18;
        std::vector<float> state(D * piece), cv(K * piece), column(piece);
        for (index first = 0; first < n; first += piece) {
            const index count = std::min(piece, n - first);
            file.read(first, count, state.data(), cv.data(), nullptr, nullptr);
            const auto scatter = [&](const std::vector<float>& rows, std::size_t width,
                                     Buffer<float>& to) {
                for (std::size_t d = 0; d < width; ++d) {
                    for (index i = 0; i < count; ++i)
                        column[static_cast<std::size_t>(i)] =
                            rows[static_cast<std::size_t>(i) * width + d];
                    copy_to_device(
                        stream_,
                        to.span().subspan(static_cast<index>(d) * samples_.row + first, count),
                        column.data());
                }
            };
            scatter(state, D, samples_.x);
            scatter(cv, K, samples_.xi);
        }
        samples_.n = n;
    }

    // --- sampling ----------------------------------------------------------------------------------

    struct RoundPlan {
        index windows, replicas, equilibrate, segments;
    };

    RoundPlan plan() const {
        if (round_ == 0)
            return {run_.umbrella.window_count(), run_.umbrella.replicas, run_.umbrella.equilibrate,
                    run_.umbrella.samples_per_trajectory()};
        return {run_.coupling.windows, run_.coupling.replicas, run_.coupling.equilibrate,
                run_.coupling.steps / run_.umbrella.stride};
    }

    // Centres of this round's windows: the grid of the umbrella; later midpoints and centres of it,
    // spread evenly.
    std::vector<std::array<double, kMaxCvs>> round_centers(index count) const {
        const UmbrellaConfig& u = run_.umbrella;
        std::vector<std::array<double, kMaxCvs>> centers;
        const auto at = [&](std::size_t k, double i) {
            return u.windows[k] == 1
                       ? 0.5 * (u.from[k] + u.to[k])
                       : u.from[k] + (u.to[k] - u.from[k]) * i / static_cast<double>(u.windows[k] - 1);
        };
        if (round_ == 0) {
            for (index i = 0; i < u.windows[0]; ++i)
                for (index j = 0; j < (grid_.dims == 2 ? u.windows[1] : 1); ++j)
                    centers.push_back({at(0, static_cast<double>(i)),
                                       grid_.dims == 2 ? at(1, static_cast<double>(j)) : 0.0});
            return centers;
        }
        // Half-integer places first in odd rounds, integer ones in even rounds.
        const double half = round_ % 2 == 1 ? 0.5 : 0.0;
        const index cells0 = std::max<index>(1, u.windows[0] - 1);
        const index cells1 = grid_.dims == 2 ? std::max<index>(1, u.windows[1] - 1) : 1;
        for (index w = 0; w < count; ++w) {
            const index cell = (2 * w + 1) * cells0 * cells1 / (2 * count);
            centers.push_back({at(0, static_cast<double>(cell / cells1) + half),
                               grid_.dims == 2 ? at(1, static_cast<double>(cell % cells1) + half)
                                               : 0.0});
        }
        return centers;
    }

    void sample() {
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
            for (const auto& c : round_centers(p.windows)) {
                windows_.center.push_back(c);
                const auto& k = run_.umbrella.stiffness;
                windows_.stiffness.push_back({k[0], grid_.dims == 2 ? k[1] : 0.0});
            }
        set_bias(ensemble, first_window, p);

        index sampled = 0;
        double work = 0;
        if (resumed) {
            const auto state = checkpoint_.get<float>("ensemble");
            ensemble.load_state({state.begin(), state.end()},
                                static_cast<uint64>(checkpoint_.scalar<long long>("step")));
            sampled = checkpoint_.scalar<long long>("sampled");
            checkpoint_ = Store();
        } else {
            set_initial(ensemble, first_window, p);
        }
        const std::string where = dir_.string();
        const auto describe = [&](index t) {
            const index w = static_cast<index>(first_window) + t / p.replicas;
            std::string text = "window " + std::to_string(w) + " at";
            for (int k = 0; k < grid_.dims; ++k)
                text += " " + model_.cv_names()[static_cast<std::size_t>(k)] + " = " +
                        number(windows_.center[static_cast<std::size_t>(w)][static_cast<std::size_t>(k)]);
            return text + ", replica " + std::to_string(t % p.replicas);
        };

        const index stride = run_.umbrella.stride;
        const index exchange = round_ == 0 ? run_.umbrella.exchange : 0;
        const double total = static_cast<double>(p.equilibrate + p.segments * stride);
        progress_.begin(round_ == 0 ? "sample" : "sample, round " + std::to_string(round_),
                        total * static_cast<double>(n), "steps",
                        static_cast<double>(ensemble.step()) * static_cast<double>(n));
        auto saved = Clock::now();
        const double before = ensemble.force_evaluations();
        const auto after_launch = [&] {
            stream_.synchronize();
            ensemble.check_finite(describe);
            progress_.update(static_cast<double>(ensemble.step()) * static_cast<double>(n));
            if (pending_signal() || seconds_since(saved) > kCheckpointSeconds) {
                save_sampling(ensemble, sampled, work);
                saved = Clock::now();
                throw_if_stopped();
            }
        };
        Buffer<uint64> accepted(device_, 2);
        const index equilibration_piece = exchange > 0 ? exchange : launch_steps(n);
        while (ensemble.step() < static_cast<uint64>(p.equilibrate)) {
            const index left = p.equilibrate - static_cast<index>(ensemble.step());
            ensemble.advance(static_cast<uint64>(std::min(left, equilibration_piece)));
            if (exchange > 0) try_exchange(ensemble, p, accepted);
            after_launch();
        }
        const index segments_piece =
            exchange > 0 ? exchange / stride : std::max<index>(1, launch_steps(n) / stride);
        while (sampled < p.segments) {
            const index now = std::min(segments_piece, p.segments - sampled);
            ensemble.sample(static_cast<uint64>(stride), now, samples_);
            sampled += now;
            if (exchange > 0 && sampled < p.segments)
                try_exchange(ensemble, p, accepted);
            after_launch();
        }
        if (exchange > 0) {
            std::vector<uint64> counts = to_host(stream_, Span<const uint64>(accepted.span()));
            metrics_["stages"]["sample"]["exchange_acceptance"] =
                counts[1] ? static_cast<double>(counts[0]) / static_cast<double>(counts[1]) : 0.0;
        }
        samples_.blocks.push_back({samples_.n - n * p.segments, static_cast<index>(first_window),
                                   p.windows, p.replicas, p.segments});
        meter.work(ensemble.force_evaluations() - before, ensemble.force_evaluations() - before);
        progress_.end();
    }

    index launch_steps(index trajectories) const {
        return std::max<index>(1, static_cast<index>(kLaunchWork / static_cast<double>(trajectories)));
    }

    void try_exchange(Ensemble& ensemble, const RoundPlan& p, Buffer<uint64>& accepted) {
        const index attempt = static_cast<index>(ensemble.step()) / run_.umbrella.exchange;
        ExchangeGrid grid;
        grid.windows[0] = run_.umbrella.windows[0];
        grid.windows[1] = grid_.dims == 2 ? run_.umbrella.windows[1] : 1;
        grid.replicas = p.replicas;
        for (int k = 0; k < grid_.dims; ++k)
            grid.beta[k] = static_cast<float>(model_.cv_beta()[static_cast<std::size_t>(k)]);
        const int axis = grid_.dims == 2 ? static_cast<int>(attempt / 2 % 2) : 0;
        const index n = ensemble.size();
        const int rows = static_cast<int>(model_.formulas().cv.outputs.size());
        if (exchange_xi_.size() != rows * n) exchange_xi_ = Buffer<float>(device_, rows * n);
        model_.evaluate_cvs(stream_, ensemble.x(), n, n, exchange_xi_.span(), n);
        exchange_neighbours(stream_, ensemble, grid, axis, static_cast<int>(attempt % 2),
                            derived_seed(run_.seed, 1000), static_cast<uint64>(attempt),
                            exchange_xi_.span(), accepted.span());
        stream_.synchronize();
    }

    void set_bias(Ensemble& ensemble, std::size_t first_window, const RoundPlan& p) {
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

    void set_initial(Ensemble& ensemble, std::size_t first_window, const RoundPlan& p) {
        const index n = ensemble.size();
        const UmbrellaConfig& u = run_.umbrella;
        if (round_ > 0 && !model_.observed()) {
            // From the generator: physics need not find its own way there.
            Lifter lifter(stream_, model_, Generator(stream_, dir_ / "generator.safetensors"),
                          run_.generator.project);
            lifter.lift(ensemble.center(), n, derived_seed(run_.seed, 2000),
                        static_cast<uint64>(round_) << 32, ensemble.x());
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

    index nearest_row(const Table& table, const std::array<double, kMaxCvs>& center) const {
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

    // --- free energy -------------------------------------------------------------------------------

    void estimate() {
        progress_.begin("estimate", 1, "estimate");
        FreeEnergyResult result;
        {
            StageMeter meter(metrics_["stages"], "estimate");
            EstimateOptions options;
            options.method = free_energy_method(run_.estimate.method);
            options.kt = model_.kt();
            options.tolerance = run_.estimate.tolerance;
            options.max_iterations = run_.estimate.max_iterations;
            options.error_blocks = run_.estimate.blocks;
            result = estimate_free_energy(stream_, samples_.biased(), windows_, grid_, options);
        }
        error_blocks_ = result.error_blocks;
        Json& record = metrics_["stages"]["estimate"];
        record["method"] = run_.estimate.method;
        record["iterations"] = result.iterations;
        record["residual"] = result.residual;
        record["converged"] = result.converged;
        record["error_blocks"] = result.error_blocks.count();
        record["samples"] = samples_.n;
        Json list = Json::array();
        for (index w = 0; w < windows_.size(); ++w) {
            const auto i = static_cast<std::size_t>(w);
            Json j;
            for (int k = 0; k < grid_.dims; ++k) {
                j["center"].push_back(windows_.center[i][static_cast<std::size_t>(k)]);
                j["stiffness"].push_back(windows_.stiffness[i][static_cast<std::size_t>(k)]);
            }
            if (i < result.inefficiency.size()) j["inefficiency"] = result.inefficiency[i];
            if (i < result.effective_samples.size())
                j["effective_samples"] = result.effective_samples[i];
            for (const WindowOverlap& o : result.overlaps)
                if (o.a == w && !j.contains("overlap_next")) j["overlap_next"] = o.overlap;
            if (i < result.window_f.size()) j["free_energy_kt"] = result.window_f[i];
            list.push_back(j);
        }
        metrics_["windows"] = list;
        for (const std::string& w : result.warnings) warn(w);
        warn_equilibration(result.inefficiency);

        std::vector<std::string> columns;
        for (int k = 0; k < grid_.dims; ++k) columns.push_back("cv_" + std::to_string(k + 1));
        columns.insert(columns.end(), {"free_energy", "std_error"});
        CsvWriter csv(dir_ / "free_energy.csv", columns);
        for (index b = 0; b < grid_.size(); ++b) {
            std::vector<CsvWriter::Cell> cells;
            for (int k = 0; k < grid_.dims; ++k) cells.emplace_back(grid_.centre(k, b));
            cells.emplace_back(result.profile.free_energy[static_cast<std::size_t>(b)]);
            cells.emplace_back(result.profile.std_error[static_cast<std::size_t>(b)]);
            csv.row(cells);
        }
        csv.finish();
        write_samples(result);
        write_metrics();
        progress_.end();
        if (!result.converged)
            throw NumericError("the free-energy estimator '" + run_.estimate.method +
                               "' did not converge in " + std::to_string(result.iterations) +
                               " iterations (residual " + number(result.residual) +
                               "); add windows where they do not overlap, or raise "
                               "estimate.max_iterations");
    }

    // The start is forgotten after several relaxation times, τ = g/2 samples.
    void warn_equilibration(const std::vector<double>& inefficiency) {
        std::string slow;
        for (std::size_t w = 0; w < inefficiency.size(); ++w) {
            const bool first_round = static_cast<index>(w) < run_.umbrella.window_count();
            const index equilibrate =
                first_round ? run_.umbrella.equilibrate : run_.coupling.equilibrate;
            const double relaxation =
                0.5 * inefficiency[w] * static_cast<double>(run_.umbrella.stride);
            if (first_round && inefficiency[w] > 4 && 5 * relaxation > static_cast<double>(equilibrate))
                slow += (slow.empty() ? "" : ", ") + std::to_string(w) + " (" +
                        number(relaxation) + " steps)";
        }
        if (!slow.empty())
            warn("equilibrated for less than five relaxation times, so the start may still show, "
                 "and the error bars do not include it: windows " + slow +
                 "; raise umbrella.equilibrate or use umbrella.exchange");
    }

    void write_samples(const FreeEnergyResult& result) {
        SamplesInfo info;
        info.samples = samples_.n;
        info.variables = model_.variables();
        info.cvs = model_.cv_names();
        info.system = model_.name();
        for (index w = 0; w < windows_.size(); ++w)
            for (int k = 0; k < grid_.dims; ++k)
                info.centers.push_back(windows_.center[static_cast<std::size_t>(w)][static_cast<std::size_t>(k)]);
        info.stiffness = run_.umbrella.stiffness;
        SamplesWriter file(dir_ / "samples.h5", info);
        constexpr index piece = 1 << 18;
        const auto D = static_cast<std::size_t>(model_.dim());
        const auto K = static_cast<std::size_t>(model_.n_cvs());
        std::vector<float> x(D * piece), xi(K * piece), weight(piece, 0.0f);
        std::vector<double> log_weight(piece, 0.0);
        std::vector<int> window(piece);
        std::size_t block = 0;
        for (index first = 0; first < samples_.n; first += piece) {
            const index count = std::min(piece, samples_.n - first);
            for (std::size_t d = 0; d < D; ++d)
                copy_to_host(stream_, x.data() + d * piece,
                             Span<const float>(samples_.x.span().subspan(
                                 static_cast<index>(d) * samples_.row + first, count)));
            for (std::size_t k = 0; k < K; ++k)
                copy_to_host(stream_, xi.data() + k * piece,
                             Span<const float>(samples_.xi.span().subspan(
                                 static_cast<index>(k) * samples_.row + first, count)));
            if (result.log_weight.size() >= samples_.n)
                copy_to_host(stream_, weight.data(), result.log_weight.span().subspan(first, count));
            for (index i = 0; i < count; ++i) {
                const index j = first + i;
                while (j >= samples_.blocks[block].first + samples_.blocks[block].size()) ++block;
                const SampleBlock& b = samples_.blocks[block];
                window[static_cast<std::size_t>(i)] = static_cast<int>(
                    b.first_window + (j - b.first) % b.trajectories() / b.replicas);
                log_weight[static_cast<std::size_t>(i)] =
                    static_cast<double>(weight[static_cast<std::size_t>(i)]);
            }
            file.append(count, x.data(), piece, xi.data(), piece, window.data(), log_weight.data());
        }
        file.finish();
    }

    // --- the generator -----------------------------------------------------------------------------

    // What the generator learns, (targets, n) rows of `row` columns.
    Span<const float> targets(index& row) {
        const index count = model_.observed() ? model_.target_dim() : static_cast<index>(free_.size());
        row = samples_.row;
        const bool contiguous = !model_.observed() &&
                                free_.back() - free_.front() + 1 == static_cast<int>(free_.size());
        if (contiguous)
            return {samples_.x.data() + free_.front() * row, (count - 1) * row + samples_.n};
        if (targets_.size() == 0) targets_ = Buffer<float>(device_, count * row);
        if (model_.observed()) {
            model_.observe(stream_, samples_.x.span(), row, samples_.n, targets_.span(), row);
        } else {
            for (index f = 0; f < count; ++f)
                copy(stream_, targets_.span().subspan(f * row, samples_.n),
                     Span<const float>(samples_.x.span().subspan(
                         free_[static_cast<std::size_t>(f)] * row, samples_.n)));
        }
        stream_.synchronize();
        return targets_.span();
    }
    std::vector<std::string> target_names() const {
        if (model_.observed()) return model_.target_names();
        std::vector<std::string> names;
        for (int d : free_) names.push_back(model_.variables()[static_cast<std::size_t>(d)]);
        return names;
    }

    void train() {
        const index iterations =
            round_ == 0 ? run_.generator.iterations : run_.coupling.iterations;
        const auto names = target_names();
        index row = 0;
        const Span<const float> states = targets(row);
        // Made before the meter, so that the loop's own transfers are what it shows.
        CganConfig config = cgan_config(
            run_, iterations, derived_seed(run_.seed, 3000 + static_cast<uint64>(round_)));
        if (round_ > 0) {
            // What was learned is adjusted to the new data, not learned again.
            config.generator_rate *= 0.25;
            config.critic_rate *= 0.25;
        }
        Cgan cgan(stream_, config, static_cast<int>(names.size()), model_.n_cvs());
        cgan.set_data(states, samples_.xi.span(), row, samples_.n,
                      samples_.blocks.front().trajectories());
        if (!warm_.empty()) cgan.warm_start(warm_);
        if (checkpoint_.has("training")) {
            cgan.load_state(unpacked(checkpoint_.get<std::uint8_t>("training")));
            checkpoint_ = Store();
        } else {
            save_training(cgan);
        }
        progress_.begin(round_ == 0 ? "train" : "train, round " + std::to_string(round_),
                        static_cast<double>(iterations), "updates",
                        static_cast<double>(cgan.iteration()));
        double bytes_in_loop = 0;
        {
            StageMeter meter(metrics_["stages"], "train");
            uint64 quiet = 0;
            auto saved = Clock::now();
            while (!cgan.done()) {
                const TransferCounters start = transfer_counters();
                cgan.advance(std::min<index>(100, iterations - cgan.iteration()));
                stream_.synchronize();
                const TransferCounters end = transfer_counters();
                quiet += end.bytes_to_device - start.bytes_to_device + end.bytes_to_host -
                         start.bytes_to_host;
                cgan.check();
                progress_.update(static_cast<double>(cgan.iteration()));
                if (pending_signal() || seconds_since(saved) > kCheckpointSeconds) {
                    save_training(cgan);
                    saved = Clock::now();
                    throw_if_stopped();
                }
            }
            bytes_in_loop = static_cast<double>(quiet);
        }
        const CganHistory history = cgan.history();
        Json& record = metrics_["stages"]["train"];
        record["bytes_in_loop"] = record.value("bytes_in_loop", 0.0) + bytes_in_loop;
        record["updates"] = record.value("updates", 0.0) + static_cast<double>(iterations);
        Json h;
        // A picture needs no more than some hundred points.
        const std::size_t every = std::max<std::size_t>(1, history.rows.size() / 400);
        for (std::size_t i = 0; i < history.rows.size(); i += every) {
            h["update"].push_back(history.rows[i].iteration);
            h["critic_loss"].push_back(history.rows[i].wasserstein);
            h["generator_loss"].push_back(history.rows[i].generator_loss);
            h["penalty"].push_back(history.rows[i].penalty);
        }
        for (const auto& v : history.validations) {
            h["validation_update"].push_back(v.iteration);
            h["w1_mean"].push_back(v.mean);
            h["w1_worst"].push_back(v.worst);
        }
        record["history"] = h;
        record["best_update"] = history.best_iteration;
        record["best_w1"] = history.best;
        record["w1_floor"] = history.floor;
        Json held = Json::array();
        for (std::size_t b = 0; b < history.distances.size(); ++b)
            held.push_back({{"cv", history.bin_conditions[b]}, {"w1_over_sigma", history.distances[b]}});
        record["held_out"] = held;
        SafeTensors tensors = cgan.generator_tensors();
        write_safetensors(dir_ / "generator.safetensors", tensors);
        warm_ = cgan.save_state();
        write_metrics();
        progress_.end();
    }

    // --- what came out -----------------------------------------------------------------------------

    void judge() {
        index row = 0;
        const std::vector<std::string> names = target_names();
        Json& stages = metrics_["stages"];
        if (error_blocks_.count() <= 1) error_blocks_ = choose_error_blocks(samples_.biased(), 1.0);
        std::vector<Moments> rows;
        if (!names.empty()) {
            progress_.begin("conditional averages", 1, "pass");
            StageMeter meter(stages, "conditional");
            const Span<const float> y = targets(row);
            const ConditionalMoments m = conditional_moments(
                stream_, samples_.biased(), y, row, static_cast<index>(names.size()), grid_,
                error_blocks_);
            rows.push_back({"physics", m.mean, m.mean_error, m.variance});
            progress_.end();
        }
        if (run_.closure.enabled) close();
        if (run_.generator.enabled) lift(rows, names);
        if (!rows.empty()) write_conditional(rows, names);
        write_exact();
    }

    struct Moments {
        std::string source;
        std::vector<double> mean, error, variance;  // (variable, bin)
    };

    void write_conditional(const std::vector<Moments>& rows, const std::vector<std::string>& names) {
        std::vector<std::string> columns;
        for (int k = 0; k < grid_.dims; ++k) columns.push_back("cv_" + std::to_string(k + 1));
        columns.insert(columns.end(), {"variable", "mean", "mean_se", "variance", "source"});
        CsvWriter csv(dir_ / "conditional.csv", columns);
        for (const Moments& m : rows)
            for (std::size_t v = 0; v < names.size(); ++v)
                for (index b = 0; b < grid_.size(); ++b) {
                    const std::size_t i = v * static_cast<std::size_t>(grid_.size()) + static_cast<std::size_t>(b);
                    std::vector<CsvWriter::Cell> cells;
                    for (int k = 0; k < grid_.dims; ++k) cells.emplace_back(grid_.centre(k, b));
                    cells.insert(cells.end(), {names[v], m.mean[i], m.error[i], m.variance[i], m.source});
                    csv.row(cells);
                }
        csv.finish();
    }

    void close() {
        progress_.begin("close", 1, "pass");
        StageMeter meter(metrics_["stages"], "close");
        const int K = model_.n_cvs();
        const int outputs = model_.closure_outputs();
        Buffer<float> values(device_, outputs * samples_.n);
        model_.closure(stream_, samples_.x.span(), samples_.row, samples_.n, values.span(), samples_.n);
        const ConditionalMoments m = conditional_moments(
            stream_, samples_.biased(), values.span(), samples_.n, outputs, grid_, error_blocks_);
        std::vector<std::string> columns;
        for (int k = 0; k < K; ++k) columns.push_back("cv_" + std::to_string(k + 1));
        if (K == 1)
            columns.insert(columns.end(), {"drift", "drift_se", "diffusion", "diffusion_se"});
        else
            columns.insert(columns.end(),
                           {"drift_1", "drift_1_se", "drift_2", "drift_2_se", "diffusion_11",
                            "diffusion_11_se", "diffusion_12", "diffusion_12_se", "diffusion_22",
                            "diffusion_22_se"});
        columns.push_back("source");
        CsvWriter csv(dir_ / "closure.csv", columns);
        for (index b = 0; b < grid_.size(); ++b) {
            std::vector<CsvWriter::Cell> cells;
            for (int k = 0; k < K; ++k) cells.emplace_back(grid_.centre(k, b));
            for (int o = 0; o < outputs; ++o) {
                cells.emplace_back(m.mean[m.place(o, b)]);
                cells.emplace_back(m.mean_error[m.place(o, b)]);
            }
            cells.emplace_back(std::string("conditional"));
            csv.row(cells);
        }
        csv.finish();
        progress_.end();
    }

    // Moments over the states lifted at every bin: x (dims, n), `per_bin` consecutive columns a bin.
    Moments bin_moments(const std::string& source, const std::vector<float>& x, index n,
                        index per_bin, const std::vector<int>& which) const {
        Moments out{source, {}, {}, {}};
        for (int d : which)
            for (index b = 0; b < grid_.size(); ++b) {
                double sum = 0, squares = 0;
                const float* first = x.data() + d * n + b * per_bin;
                const double shift = static_cast<double>(first[0]);
                for (index i = 0; i < per_bin; ++i) {
                    const double v = static_cast<double>(first[i]) - shift;
                    sum += v;
                    squares += v * v;
                }
                const double count = static_cast<double>(per_bin);
                const double variance = (squares - sum * sum / count) / (count - 1);
                out.mean.push_back(shift + sum / count);
                out.variance.push_back(variance);
                out.error.push_back(std::sqrt(std::max(variance, 0.0) / count));
            }
        return out;
    }

    std::vector<std::array<double, kMaxCvs>> judged_values() const {
        const UmbrellaConfig& u = run_.umbrella;
        std::vector<std::array<double, kMaxCvs>> values;
        const auto at = [&](std::size_t k, double i) {
            return u.from[k] + (u.to[k] - u.from[k]) * i / std::max(1.0, static_cast<double>(u.windows[k] - 1));
        };
        if (grid_.dims == 1) {
            // Window centres and the points midway between them, in turn, without the two ends.
            const index places = std::max<index>(1, 2 * u.windows[0] - 3);
            const index count = std::min(run_.lifting.values, places);
            for (index i = 0; i < count; ++i) {
                const index place = 1 + (count == 1 ? places / 2 : i * (places - 1) / (count - 1));
                values.push_back({at(0, 0.5 * static_cast<double>(place)), 0.0});
            }
            return values;
        }
        const index side = std::max<index>(1, static_cast<index>(std::sqrt(static_cast<double>(run_.lifting.values))));
        for (index i = 0; i < side; ++i)
            for (index j = 0; j < side; ++j)
                values.push_back({at(0, (static_cast<double>(i) + 0.5) / static_cast<double>(side) * static_cast<double>(u.windows[0] - 1)),
                                  at(1, (static_cast<double>(j) + 0.5) / static_cast<double>(side) * static_cast<double>(u.windows[1] - 1))});
        return values;
    }

    Buffer<float> conditions(const std::vector<std::array<double, kMaxCvs>>& values, index each) {
        const index n = static_cast<index>(values.size()) * each;
        std::vector<float> host(static_cast<std::size_t>(grid_.dims * n));
        for (int k = 0; k < grid_.dims; ++k)
            for (index j = 0; j < n; ++j)
                host[static_cast<std::size_t>(k * n + j)] =
                    static_cast<float>(values[static_cast<std::size_t>(j / each)][static_cast<std::size_t>(k)]);
        Buffer<float> s(device_, grid_.dims * n);
        copy_to_device(stream_, s.span(), host.data());
        return s;
    }

    void lift(std::vector<Moments>& rows, const std::vector<std::string>& names) {
        StageMeter meter(metrics_["stages"], "lift");
        Lifter lifter(stream_, model_, Generator(stream_, dir_ / "generator.safetensors"),
                      run_.generator.project);
        const index heal_steps = model_.observed() ? 0 : run_.lifting.heal_steps;
        std::vector<int> which = free_;
        if (model_.observed()) {
            which.resize(names.size());
            std::iota(which.begin(), which.end(), 0);
        }
        const uint64 seed = derived_seed(run_.seed, 4000);

        // Moments at every bin.
        std::vector<std::array<double, kMaxCvs>> centers;
        for (index b = 0; b < grid_.size(); ++b)
            centers.push_back({grid_.centre(0, b), grid_.dims == 2 ? grid_.centre(1, b) : 0.0});
        const index budget = 4000000 / grid_.size();
        const index generated = std::clamp<index>(budget, 100, kGeneratedPerBin);
        progress_.begin("lift", 2, "passes");
        {
            const index n = grid_.size() * generated;
            const Buffer<float> s = conditions(centers, generated);
            Buffer<float> x(device_, lifter.dim() * n);
            lifter.lift(s.span(), n, seed, 0, x.span());
            rows.push_back(bin_moments("generator", to_host(stream_, Span<const float>(x.span())), n,
                                       generated, which));
        }
        if (heal_steps > 0) {
            const index each = std::min(generated, std::clamp<index>(800000 / grid_.size(), 100, kHealedPerBin));
            const index n = grid_.size() * each;
            const Buffer<float> s = conditions(centers, each);
            Buffer<float> x(device_, lifter.dim() * n);
            lifter.lift(s.span(), n, seed, 1ull << 40, x.span());
            meter.work(0, heal(stream_, model_, run_.integrator, s.span(), n, heal_steps,
                               derived_seed(run_.seed, 4001), 0, x.span(),
                               [](index) { throw_if_stopped(); }));
            rows.push_back(bin_moments("healed", to_host(stream_, Span<const float>(x.span())), n, each, which));
        }
        progress_.update(1);

        // Distributions at chosen values.
        const auto values = judged_values();
        const index each = run_.lifting.states;
        const index n = static_cast<index>(values.size()) * each;
        const Buffer<float> s = conditions(values, each);
        Buffer<float> x(device_, lifter.dim() * n);
        lifter.lift(s.span(), n, seed, 2ull << 40, x.span());
        const std::vector<float> before = to_host(stream_, Span<const float>(x.span()));
        metrics_["lifting"]["constraint_residual"] = residual(x, s, n);
        std::vector<float> after;
        if (heal_steps > 0) {
            meter.work(0, heal(stream_, model_, run_.integrator, s.span(), n, heal_steps,
                               derived_seed(run_.seed, 4002), 0, x.span(),
                               [](index) { throw_if_stopped(); }));
            after = to_host(stream_, Span<const float>(x.span()));
            metrics_["lifting"]["healed_constraint_residual"] = residual(x, s, n);
        }
        metrics_["lifting"]["heal_steps"] = heal_steps;
        metrics_["lifting"]["states"] = each;
        judge_distributions(values, each, before, after, which, names);
        progress_.end();
    }

    double residual(const Buffer<float>& x, const Buffer<float>& s, index n) {
        if (model_.observed()) return 0.0;  // ξ is not a function of what is generated
        const int outputs = static_cast<int>(model_.formulas().cv.outputs.size());
        Buffer<float> cv(device_, outputs * n);
        model_.evaluate_cvs(stream_, x.span(), n, n, cv.span(), n);
        const auto xi = to_host(stream_, Span<const float>(cv.span().subspan(0, grid_.dims * n)));
        const auto aim = to_host(stream_, Span<const float>(s.span()));
        double sum = 0;
        for (std::size_t j = 0; j < xi.size(); ++j) {
            const double d = static_cast<double>(xi[j]) - static_cast<double>(aim[j]);
            sum += d * d;
        }
        return std::sqrt(sum / static_cast<double>(n));
    }

    // Physics samples whose ξ lies within `reach` bin widths of a value; up to `most`, evenly spread.
    std::vector<index> samples_near(const std::vector<float>& xi, const std::array<double, kMaxCvs>& value,
                                    double reach, index most) const {
        std::vector<index> found;
        for (index j = 0; j < samples_.n; ++j) {
            bool near = true;
            for (int k = 0; k < grid_.dims; ++k)
                near &= std::fabs(static_cast<double>(xi[static_cast<std::size_t>(k * samples_.n + j)]) -
                                  value[static_cast<std::size_t>(k)]) < reach * grid_.width(k);
            if (near) found.push_back(j);
        }
        if (static_cast<index>(found.size()) <= most) return found;
        std::vector<index> kept;
        for (index i = 0; i < most; ++i)
            kept.push_back(found[static_cast<std::size_t>(i) * found.size() / static_cast<std::size_t>(most)]);
        return kept;
    }

    void judge_distributions(const std::vector<std::array<double, kMaxCvs>>& values, index each,
                             const std::vector<float>& before, const std::vector<float>& after,
                             const std::vector<int>& which, const std::vector<std::string>& names) {
        const index n = static_cast<index>(values.size()) * each;
        const std::optional<ExactModel> exact =
            model_.observed() ? std::nullopt : model_.exact();
        const bool has_exact = exact && model_.dim() == 2 && which.size() == 1;
        index row = 0;
        const Span<const float> y = targets(row);
        std::vector<float> xi(static_cast<std::size_t>(grid_.dims * samples_.n));
        for (int k = 0; k < grid_.dims; ++k)
            copy_to_host(stream_, xi.data() + k * samples_.n,
                         Span<const float>(samples_.xi.span().subspan(k * samples_.row, samples_.n)));
        std::vector<std::vector<float>> physics;
        for (std::size_t v = 0; v < names.size(); ++v) {
            physics.emplace_back(static_cast<std::size_t>(samples_.n));
            copy_to_host(stream_, physics.back().data(), y.subspan(static_cast<index>(v) * row, samples_.n));
        }
        Json list = Json::array();
        std::vector<double> physics_w1, generator_w1, healed_w1;
        const std::size_t picture_every =
            std::max<std::size_t>(1, (values.size() - 1) / std::max<std::size_t>(1, kPictures - 1));
        Store pictures;
        std::vector<double> picture_cv;
        index picture = 0;
        for (std::size_t c = 0; c < values.size(); ++c) {
            const std::vector<index> near = samples_near(xi, values[c], 0.5, each);
            const bool pictured = c % picture_every == 0 && picture < kPictures;
            for (std::size_t v = 0; v < names.size(); ++v) {
                std::vector<float> reference;
                for (index j : near) reference.push_back(physics[v][static_cast<std::size_t>(j)]);
                std::sort(reference.begin(), reference.end());
                std::optional<ExactConditional> law;
                if (has_exact) law = exact->at(values[c][0]);
                const double sigma = law ? std::sqrt(law->variance) : deviation(reference);
                const auto judge_source = [&](const std::string& source, const std::vector<float>& x,
                                              std::vector<double>& sink) {
                    const float* first = x.data() + which[v] * n + static_cast<index>(c) * each;
                    std::vector<float> sorted(first, first + each);
                    std::sort(sorted.begin(), sorted.end());
                    double w1;
                    double floor;
                    if (law) {
                        w1 = wasserstein_to_exact(sorted, *law) / sigma;
                        floor = 1.822 / std::sqrt(2.0 * static_cast<double>(each));
                    } else if (reference.size() >= 100) {
                        w1 = wasserstein_between(quantiles(sorted, reference.size()), reference) / sigma;
                        floor = 1.822 / std::sqrt(2.0) *
                                std::sqrt(1.0 / static_cast<double>(each) +
                                          1.0 / static_cast<double>(reference.size()));
                    } else {
                        return;
                    }
                    Json j;
                    for (int k = 0; k < grid_.dims; ++k) j["cv"].push_back(values[c][static_cast<std::size_t>(k)]);
                    j["variable"] = names[v];
                    j["source"] = source;
                    j["against"] = law ? "exact" : "physics";
                    j["w1_over_sigma"] = w1;
                    j["floor"] = floor;
                    list.push_back(j);
                    sink.push_back(w1);
                };
                if (law && reference.size() >= 100) {
                    Json j;
                    j["cv"].push_back(values[c][0]);
                    j["variable"] = names[v];
                    j["source"] = "physics";
                    j["against"] = "exact";
                    j["w1_over_sigma"] = wasserstein_to_exact(reference, *law) / sigma;
                    j["floor"] = 1.822 / std::sqrt(2.0 * static_cast<double>(reference.size()));
                    physics_w1.push_back(j["w1_over_sigma"].get<double>());
                    list.push_back(j);
                }
                judge_source("generator", before, generator_w1);
                if (!after.empty()) judge_source("healed", after, healed_w1);
                if (pictured && law) {
                    std::vector<double> curve;
                    for (std::size_t i = 0; i < law->y.size(); i += 16) {
                        curve.push_back(law->y[i]);
                        curve.push_back(law->density[i]);
                    }
                    const index points = static_cast<index>(curve.size() / 2);
                    pictures.put(label("exact_" + names[v], picture), curve, {points, 2});
                }
            }
            if (!pictured) continue;
            const index shown = std::min<index>(each, 20000);
            const index dims = static_cast<index>(names.size());
            const auto put = [&](const std::string& source, index count, const auto& value_of) {
                if (count == 0) return;
                std::vector<float> table(static_cast<std::size_t>(count * dims));
                for (index i = 0; i < count; ++i)
                    for (index v = 0; v < dims; ++v)
                        table[static_cast<std::size_t>(i * dims + v)] = value_of(i, static_cast<std::size_t>(v));
                pictures.put(label(source, picture), std::move(table), {count, dims});
            };
            put("physics", static_cast<index>(near.size()), [&](index i, std::size_t v) {
                return physics[v][static_cast<std::size_t>(near[static_cast<std::size_t>(i)])];
            });
            put("generator", shown, [&](index i, std::size_t v) {
                return before[static_cast<std::size_t>(which[v] * n + static_cast<index>(c) * each + i)];
            });
            if (!after.empty())
                put("healed", shown, [&](index i, std::size_t v) {
                    return after[static_cast<std::size_t>(which[v] * n + static_cast<index>(c) * each + i)];
                });
            for (int k = 0; k < grid_.dims; ++k) picture_cv.push_back(values[c][static_cast<std::size_t>(k)]);
            ++picture;
        }
        pictures.put("cv", picture_cv, {picture, grid_.dims});
        std::string joined;
        for (const std::string& name : names) joined += (joined.empty() ? "" : ",") + name;
        pictures.attributes["variables"] = joined;
        pictures.save(dir_ / "lifted.h5", "lifted");

        Json& lifting = metrics_["lifting"];
        lifting["w1"] = list;
        const auto summarise = [&](const char* name, std::vector<double>& w1) {
            if (w1.empty()) return;
            std::sort(w1.begin(), w1.end());
            lifting[name] = {{"median", w1[w1.size() / 2]}, {"worst", w1.back()}};
        };
        const double worst = generator_w1.empty() ? 0 : *std::max_element(generator_w1.begin(), generator_w1.end());
        summarise("physics_w1", physics_w1);
        summarise("generator_w1", generator_w1);
        summarise("healed_w1", healed_w1);
        lifting["against"] = has_exact ? "exact" : "physics";
        if (worst > 0.1)
            warn("the generator is far from physics somewhere: worst W1/sigma " + number(worst) +
                 "; see the conditional densities before using it there, or heal");
    }

    static std::string label(const std::string& name, index number) {
        char text[16];
        std::snprintf(text, sizeof text, "_%03d", static_cast<int>(number));
        return name + text;
    }
    static double deviation(const std::vector<float>& values) {
        if (values.size() < 2) return 1.0;
        double sum = 0, squares = 0;
        for (float v : values) sum += static_cast<double>(v);
        const double mean = sum / static_cast<double>(values.size());
        for (float v : values) squares += (static_cast<double>(v) - mean) * (static_cast<double>(v) - mean);
        return std::sqrt(squares / static_cast<double>(values.size() - 1));
    }
    // `count` evenly spread quantiles of a sorted sample.
    static std::vector<float> quantiles(const std::vector<float>& sorted, std::size_t count) {
        std::vector<float> out(count);
        for (std::size_t i = 0; i < count; ++i)
            out[i] = sorted[(2 * i + 1) * sorted.size() / (2 * count)];
        return out;
    }

    void write_exact() {
        const std::optional<ExactModel> exact = model_.observed() ? std::nullopt : model_.exact();
        if (!exact) return;
        std::vector<std::string> columns{"cv_1", "free_energy"};
        const bool other = model_.dim() == 2;
        if (other) {
            const std::string& name = model_.variables()[static_cast<std::size_t>(exact->other())];
            columns.insert(columns.end(), {"mean_" + name, "variance_" + name});
        }
        std::vector<ExactConditional> at;
        double least = 1e300;
        for (index b = 0; b < grid_.size(); ++b) {
            at.push_back(exact->at(grid_.centre(0, b)));
            least = std::min(least, -at.back().log_z * model_.kt());
        }
        CsvWriter csv(dir_ / "exact.csv", columns);
        for (index b = 0; b < grid_.size(); ++b) {
            const ExactConditional& e = at[static_cast<std::size_t>(b)];
            std::vector<CsvWriter::Cell> cells{grid_.centre(0, b), -e.log_z * model_.kt() - least};
            if (other) cells.insert(cells.end(), {e.mean, e.variance});
            csv.row(cells);
        }
        csv.finish();
    }

    void write_metrics() { write_file(dir_ / "metrics.json", metrics_.dump(1) + "\n"); }

    void print_summary() const {
        const Json stages = metrics_.value("stages", Json::object());
        double seconds = 0;
        for (const auto& [name, stage] : stages.items()) seconds += stage.value("seconds", 0.0);
        std::cout << "results in " << dir_.string() << " (" << number(seconds) << " s of work)\n";
        if (stages.contains("sample"))
            std::cout << "  sampled    " << number(stages["sample"].value("steps", 0.0))
                      << " trajectory-steps at "
                      << number(stages["sample"].value("steps_per_second", 0.0)) << "/s\n";
        if (stages.contains("estimate"))
            std::cout << "  estimate   " << stages["estimate"].value("method", "") << ", "
                      << (stages["estimate"].value("converged", false) ? "converged" : "not converged")
                      << " in " << stages["estimate"].value("iterations", 0) << " iterations\n";
        if (stages.contains("train"))
            std::cout << "  generator  " << number(stages["train"].value("updates", 0.0))
                      << " updates, held-out W1/sigma "
                      << number(stages["train"].value("best_w1", 0.0)) << " (sampling floor "
                      << number(stages["train"].value("w1_floor", 0.0)) << ")\n";
        const Json lifting = metrics_.value("lifting", Json::object());
        for (const char* source : {"generator_w1", "healed_w1"})
            if (lifting.contains(source))
                std::cout << "  lifting    " << source << "/sigma against "
                          << lifting.value("against", "") << ": median "
                          << number(lifting[source].value("median", 0.0)) << ", worst "
                          << number(lifting[source].value("worst", 0.0)) << "\n";
        for (const auto& w : metrics_.value("warnings", Json::array()))
            std::cout << "  warning    " << w.get<std::string>() << "\n";
    }

    const RunConfig& run_;
    fs::path dir_;
    Progress& progress_;
    Device device_;
    Stream stream_;
    Model model_;
    Grid grid_;
    std::vector<int> free_;
    std::shared_ptr<const PathKernel> kernel_;
    SampleSet samples_;
    BiasWindows windows_;
    ErrorBlocks error_blocks_;
    Buffer<float> targets_, exchange_xi_;
    TensorMap warm_;  // the last training's state: where the next round's begins
    Store checkpoint_;
    std::string stage_ = "sample";
    index round_ = 0;
    Json metrics_ = Json::object();
};

}  // namespace

void run_pipeline(const RunConfig& run, const RunOptions& options, Progress& progress) {
    Pipeline(run, options, progress).run();
}

void generate_states(const GenerateOptions& options, Progress& progress) {
    const fs::path dir = options.dir;
    const RunConfig run = load_run_config((dir / "config.toml").string());
    const Model model(run);
    const Device device = Device::pick(options.device, options.threads);
    Stream stream(device);
    const fs::path weights = dir / "generator.safetensors";
    if (!fs::exists(weights))
        throw InputError(weights.string() + ": there is none; run a configuration with [generator]");
    if (static_cast<int>(options.at.size()) != model.n_cvs())
        throw InputError("--at: " + std::to_string(options.at.size()) + " values for " +
                         std::to_string(model.n_cvs()) + " collective variables; give one for each");
    Lifter lifter(stream, model, Generator(stream, weights), run.generator.project);
    for (int k = 0; k < model.n_cvs(); ++k) {
        const auto i = static_cast<std::size_t>(k);
        if (!(options.at[i] >= run.umbrella.from[i] && options.at[i] <= run.umbrella.to[i]))
            std::fprintf(stderr, "microlift: warning: --at %g lies outside the range [%g, %g] that "
                         "was sampled; the generator extrapolates\n",
                         options.at[i], run.umbrella.from[i], run.umbrella.to[i]);
    }
    const uint64 seed = options.seed.value_or(run.seed);
    const index piece = std::min<index>(options.count, 1 << 18);
    NpyWriter file(options.out_file, options.count, lifter.dim(), false);
    progress.begin("generate", static_cast<double>(options.count), "states");
    const auto D = static_cast<std::size_t>(lifter.dim());
    for (index first = 0; first < options.count; first += piece) {
        const index n = std::min(piece, options.count - first);
        std::vector<float> s(static_cast<std::size_t>(model.n_cvs() * n));
        for (int k = 0; k < model.n_cvs(); ++k)
            std::fill_n(s.begin() + k * n, n, static_cast<float>(options.at[static_cast<std::size_t>(k)]));
        Buffer<float> conditions(device, static_cast<index>(s.size())), x(device, lifter.dim() * n);
        copy_to_device(stream, conditions.span(), s.data());
        lifter.lift(conditions.span(), n, seed, static_cast<uint64>(first), x.span());
        if (options.heal_steps > 0)
            heal(stream, model, run.integrator, conditions.span(), n, options.heal_steps, seed,
                 static_cast<uint64>(first), x.span(), [](index) { throw_if_stopped(); });
        const std::vector<float> host = to_host(stream, Span<const float>(x.span()));
        std::vector<float> rows(host.size());
        for (index i = 0; i < n; ++i)
            for (std::size_t d = 0; d < D; ++d)
                rows[static_cast<std::size_t>(i) * D + d] =
                    host[d * static_cast<std::size_t>(n) + static_cast<std::size_t>(i)];
        file.append(rows.data(), n);
        progress.update(static_cast<double>(first + n));
        throw_if_stopped();
    }
    file.finish();
    progress.end();
}

}  // namespace microlift
