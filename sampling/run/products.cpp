#include "sampling/run/products.h"

#include <sstream>
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "sampling/bias/adaptive.h"
#include "sampling/samples/samples_file.h"
#include "sampling/work/steered.h"

namespace microlift {

namespace {

std::vector<std::uint8_t> packed(const SafeTensors& content) {
    const std::vector<std::byte> bytes = format_safetensors(content);
    const auto* first = reinterpret_cast<const std::uint8_t*>(bytes.data());
    return {first, first + bytes.size()};
}

SafeTensors unpacked(const Store& store, const std::string& name) {
    if (!store.has(name)) return {};
    return parse_safetensors(std::as_bytes(store.get<std::uint8_t>(name)), "checkpoint.h5");
}

template <class T>
std::vector<T> values_of(const Store& store, const std::string& name) {
    const std::span<const T> values = store.get<T>(name);
    return {values.begin(), values.end()};
}

// Rows of equal length, one after the other.
template <class Rows>
void put_rows(Store& store, const std::string& name, const Rows& rows) {
    std::vector<double> flat;
    for (const auto& row : rows) flat.insert(flat.end(), row.begin(), row.end());
    const auto count = static_cast<index>(rows.size());
    store.put(name, std::move(flat), {count, rows.empty() ? 0 : static_cast<index>(rows[0].size())});
}

[[noreturn]] void bad_checkpoint(const std::string& wrong) {
    throw InputError("checkpoint.h5: " + wrong + "; begin anew with --force");
}

void need(bool sound, const char* what) {
    if (!sound) bad_checkpoint(std::string("its ") + what + " cannot be those of a run");
}

bool all_finite(std::span<const double> values) {
    return std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
}

bool none_negative(std::span<const long long> values) {
    return std::all_of(values.begin(), values.end(), [](long long v) { return v >= 0; });
}

std::vector<std::vector<double>> rows_of(const Store& store, const std::string& name) {
    const auto flat = store.get<double>(name);
    const index count = store.info(name).shape.at(0), width = store.info(name).shape.at(1);
    constexpr index kMostEmpty = 4096;  // rows without a number cost no bytes of the file
    need(width > 0 || count <= kMostEmpty, "tables");
    std::vector<std::vector<double>> rows;
    for (index r = 0; r < count; ++r)
        rows.emplace_back(flat.begin() + r * width, flat.begin() + (r + 1) * width);
    return rows;
}

std::vector<CvValue> cv_values_of(const Store& store, const std::string& name) {
    std::vector<CvValue> values;
    for (const std::vector<double>& row : rows_of(store, name)) {
        CvValue& value = values.emplace_back();
        need(row.size() == value.size() && all_finite(row), "windows");
        std::copy(row.begin(), row.end(), value.begin());
    }
    return values;
}

const std::string& text_of(const Store& store, const std::string& name, const std::string& what) {
    const auto found = store.attributes.find(name);
    if (found == store.attributes.end())
        bad_checkpoint("it does not hold " + what);
    return found->second;
}

}  // namespace

void Position::save(Store& store) const {
    store.attributes["stage"] = stage;
    store.put_scalar<long long>("round", round);
}

void Position::load(const Store& store) {
    stage = text_of(store, "stage", "a run");
    round = store.scalar<long long>("round");
    need(round >= 0, "rounds");
}

void Record::add_cost(const std::string& stage, const StageCost& more) {
    StageCost& cost = costs_[stage];
    Json& record = this->stage(stage);
    if (!record.is_object()) record = Json::object();
    const auto add = [&](const char* key, double StageCost::* figure) {
        record[key] = cost.*figure += more.*figure;
    };
    add("seconds", &StageCost::seconds);
    if (more.steps > 0) {
        add("steps", &StageCost::steps);
        record["steps_per_second"] = cost.steps / cost.seconds;
    }
    if (more.force_evaluations > 0) add("force_evaluations", &StageCost::force_evaluations);
    add("bytes_to_device", &StageCost::bytes_to_device);
    add("bytes_to_host", &StageCost::bytes_to_host);
    add("kernel_launches", &StageCost::kernel_launches);
}

StageCost Record::cost(const std::string& stage) const {
    const auto found = costs_.find(stage);
    return found == costs_.end() ? StageCost{} : found->second;
}

bool Record::add_warning(const std::string& text) {
    Json& list = metrics["warnings"];
    if (!list.is_array()) list = Json::array();
    for (const auto& known : list)
        if (known == text) return false;
    list.push_back(text);
    return true;
}

void Record::save(Store& store) const {
    store.attributes["metrics"] = metrics.dump();
    for (const auto& [stage, c] : costs_)
        store.put("cost_" + stage,
                  std::vector<double>{c.seconds, c.steps, c.force_evaluations, c.bytes_to_device,
                                      c.bytes_to_host, c.kernel_launches});
}

namespace {

// What stages add to: everything else they write anew.
bool sound_metrics(const Json& metrics) {
    if (!metrics.is_object()) return false;
    if (const Json* stages = metrics.find("stages")) {
        if (!stages->is_object()) return false;
        for (const auto& [name, stage] : stages->items()) {
            if (!stage.is_object()) return false;
            for (const char* key : {"seconds", "steps", "steps_per_second", "force_evaluations",
                                    "bytes_to_device", "bytes_to_host", "kernel_launches"})
                if (const Json* figure = stage.find(key); figure && !figure->is_number()) return false;
        }
    }
    if (const Json* warnings = metrics.find("warnings")) {
        if (!warnings->is_array()) return false;
        for (const Json& warning : *warnings)
            if (!warning.is_string()) return false;
    }
    if (const Json* checks = metrics.find("checks")) {
        if (!checks->is_array()) return false;
        for (const Json& check : *checks) {
            const Json* name = check.is_object() ? check.find("name") : nullptr;
            if (!name || !name->is_string()) return false;
        }
    }
    return true;
}

}  // namespace

void Record::load(const Store& store) {
    metrics = Json::parse(text_of(store, "metrics", "metrics")).value_or(Json());
    if (!sound_metrics(metrics)) bad_checkpoint("it does not hold readable metrics");
    for (const std::string& name : store.names())
        if (name.starts_with("cost_")) {
            const auto c = store.get<double>(name, 6);
            need(all_finite(c), "costs");
            costs_[name.substr(5)] = {c[0], c[1], c[2], c[3], c[4], c[5]};
        }
}

void Windows::save(Store& store) const {
    put_rows(store, "window_center", center);
    put_rows(store, "window_stiffness", stiffness);
}

void Windows::load(const Store& store) {
    center = cv_values_of(store, "window_center");
    stiffness = cv_values_of(store, "window_stiffness");
    need(center.size() == stiffness.size() &&
             std::all_of(stiffness.begin(), stiffness.end(),
                         [](const CvValue& s) { return s[0] >= 0 && s[1] >= 0; }),
         "windows");
}

void Samples::reserve(int dims, int cvs, index capacity) {
    static_cast<SampleSet&>(*this) = SampleSet(stream_->device(), dims, cvs, capacity);
}

void Samples::save(Store& store) const {
    std::vector<long long> shapes;
    for (const SampleBlock& b : blocks)
        for (index v : {b.first, b.first_window, b.windows, b.replicas, b.samples})
            shapes.push_back(v);
    store.put("blocks", shapes);
    store.put_scalar<long long>("samples_in_file", in_file);
    store.put("samples_segments", segments);
    store.put_scalar("samples_first_segment", first_segment);
}

fs::path Samples::segment(std::size_t i) const {
    char name[32];
    std::snprintf(name, sizeof name, "%06lld.h5", first_segment + static_cast<long long>(i));
    return folder() / name;
}

void Samples::forget_segments() {
    first_segment += std::ssize(segments);
    segments.clear();
}

void Samples::load(const Store& store) {
    const auto shapes = store.get<long long>("blocks");
    need(shapes.size() % 5 == 0 && none_negative(shapes), "blocks of samples");
    index next = 0;
    for (std::size_t b = 0; b < shapes.size(); b += 5) {
        const SampleBlock& block = blocks.emplace_back(
            SampleBlock{shapes[b], shapes[b + 1], shapes[b + 2], shapes[b + 3], shapes[b + 4]});
        // Of row columns, one block after the other; so no product is larger than row.
        const auto fits = [this](index a, index times) { return a > 0 && times > 0 && a <= row / times; };
        need(block.first == next && fits(block.windows, block.replicas) &&
                 fits(block.trajectories(), block.samples) && block.first_window <= row,
             "blocks of samples");
        next += block.size();
    }
    in_file = store.scalar<long long>("samples_in_file") != 0;
    segments = values_of<long long>(store, "samples_segments");
    first_segment = store.scalar<long long>("samples_first_segment");
    need(none_negative(segments) && first_segment >= 0 && first_segment < 1LL << 40, "files of samples");
    if (in_file) {
        n = load_file(dir_ / "samples.h5", 0, weighted);
        return;
    }
    for (std::size_t i = 0; i < segments.size(); ++i) {
        const index count = load_file(segment(i), n, false);
        if (count != segments[i])
            throw InputError(segment(i).string() + ": it holds " + std::to_string(count) + " samples, and checkpoint.h5 "
                             "counts on " + std::to_string(segments[i]) + "; put back the one that is missing, or begin "
                             "anew with --force");
        n += count;
    }
}

index Samples::load_file(const fs::path& path, index to, bool weights) {
    const SamplesReader file(path);
    const index count = file.info().samples;
    if (!file.info().configuration.empty() && file.info().configuration != configuration_)
        throw InputError(path.string() + ": a run of another configuration wrote it; put back the one that "
                                          "is missing, or begin anew with --force");
    if (static_cast<int>(file.info().variables.size()) != dim ||
        static_cast<int>(file.info().cvs.size()) != n_cvs)
        throw InputError(path.string() + ": it holds samples of another system; begin anew with --force");
    if (count > row - to)
        throw InputError(path.string() +
                         ": it holds more samples than this configuration makes; begin anew with "
                         "--force");
    constexpr index piece = 1 << 18;
    const auto size = static_cast<std::size_t>(piece);
    std::vector<float> state(static_cast<std::size_t>(dim) * size), column(size);
    std::vector<float> cv(static_cast<std::size_t>(n_cvs) * size);
    std::vector<double> weight(size);
    std::vector<long long> window(size);
    if (weights) log_weight = Buffer<float>(stream_->device(), count);
    for (index first = 0; first < count; first += piece) {
        const index here = std::min(piece, count - first);
        file.read(first, here, state.data(), cv.data(), window.data(), weights ? weight.data() : nullptr);
        const auto scatter = [&](const auto& rows, int width, Buffer<float>& out, index out_row, index at) {
            for (int d = 0; d < width; ++d) {
                for (index i = 0; i < here; ++i)
                    column[static_cast<std::size_t>(i)] =
                        static_cast<float>(rows[static_cast<std::size_t>(i * width + d)]);
                copy_to_device(*stream_, out.span().subspan(d * out_row + at, here), column.data());
            }
        };
        scatter(state, dim, x, row, to + first);
        scatter(cv, n_cvs, xi, row, to + first);
        if (weights) scatter(weight, 1, log_weight, count, first);
    }
    return count;
}

void Histogram::save(Store& store) const {
    if (!accumulator) return;
    store.put_scalar<long long>("histogram_samples", accumulator->samples());
    store.put("histogram_counts", accumulator->save_counts(*stream_));
    store.put("histogram_sums", accumulator->save_sums(*stream_));
}

void Histogram::load(const Store& store) {
    if (!store.has("histogram_counts")) return;
    samples_ = store.scalar<long long>("histogram_samples");
    counts_ = values_of<long long>(store, "histogram_counts");
    sums_ = values_of<double>(store, "histogram_sums");
    need(samples_ >= 0 && !counts_.empty() && none_negative(counts_) && all_finite(sums_),
         "histograms");
}

void Histogram::resume() {
    if (counts_.empty()) return;
    accumulator->load(*stream_, samples_, counts_, sums_);
    counts_.clear();
    sums_.clear();
}

void FreeEnergy::save(Store& store) const {
    store.put("free_energy", profile);
    store.put("free_energy_error", error);
    store.put("free_energy_influence", influence);
    if (!bias.empty()) store.put("free_energy_bias", bias);
    store.put("free_energy_samples", samples);
    if (start_shows) store.attributes["free_energy_start"] = "shows";
    std::string& text = store.attributes["free_energy_doubts"];
    for (const std::string& doubt : doubts) text += doubt + "\n";
    std::vector<std::array<double, 3>> links;
    for (const WindowOverlap& o : overlaps)
        links.push_back({static_cast<double>(o.a), static_cast<double>(o.b), o.overlap});
    put_rows(store, "overlaps", links);
    store.put("error_blocks", std::vector<long long>{error_blocks.replica_groups,
                                                     error_blocks.time_segments});
}

void FreeEnergy::load(const Store& store) {
    profile = values_of<double>(store, "free_energy");
    error = values_of<double>(store, "free_energy_error");
    influence = values_of<double>(store, "free_energy_influence");
    if (store.has("free_energy_bias")) bias = values_of<double>(store, "free_energy_bias");
    samples = values_of<double>(store, "free_energy_samples");
    start_shows = store.attributes.contains("free_energy_start");
    if (const auto found = store.attributes.find("free_energy_doubts");
        found != store.attributes.end()) {
        std::istringstream lines(found->second);
        doubts.clear();
        for (std::string line; std::getline(lines, line);) doubts.push_back(line);
    }
    for (const std::vector<double>& link : rows_of(store, "overlaps")) {
        constexpr double kMost = 1e9;
        for (const std::size_t end : {std::size_t{0}, std::size_t{1}})
            need(link.at(end) >= 0 && link.at(end) < kMost, "overlaps");
        overlaps.push_back({static_cast<index>(link.at(0)), static_cast<index>(link.at(1)),
                            link.at(2)});
    }
    const auto blocks = store.get<long long>("error_blocks", 2);
    constexpr long long kMostBlocks = 1 << 20;  // of one kind
    need(std::all_of(blocks.begin(), blocks.end(),
                     [](long long n) { return n >= 1 && n <= kMostBlocks; }),
         "blocks for errors");
    error_blocks.replica_groups = blocks[0];
    error_blocks.time_segments = blocks[1];
}

void TrainedGenerator::save(Store& store) const {
    if (weights.tensors.empty()) return;
    store.put("generator", packed(weights));
    store.put("generator_training", packed({state, {}}));
    store.put("generator_figures", std::vector<double>{updates, bytes_in_loop, best, floor});
    put_rows(store, "generator_conditions", conditions);
    put_rows(store, "generator_distances", distances);
}

void TrainedGenerator::load(const Store& store) {
    if (!store.has("generator")) return;
    weights = unpacked(store, "generator");
    state = unpacked(store, "generator_training").tensors;
    const auto figures = store.get<double>("generator_figures", 4);
    updates = figures[0], bytes_in_loop = figures[1], best = figures[2], floor = figures[3];
    conditions = rows_of(store, "generator_conditions");
    distances = rows_of(store, "generator_distances");
    need(updates >= 0 && bytes_in_loop >= 0 && conditions.size() == distances.size(),
         "figures of the training");
}

void Coupling::save(Store& store) const {
    put_rows(store, "coupling_places", places);
    store.put_scalar<long long>("coupling_discarded", discarded);
    store.put_scalar<double>("coupling_jump_acceptance", jump_acceptance);
    const auto of_all = [&](std::vector<double> CouplingProfile::* figure) {
        std::vector<std::vector<double>> rows;
        for (const CouplingProfile& p : profiles) rows.push_back(p.*figure);
        return rows;
    };
    std::vector<double> costs;
    for (const CouplingProfile& p : profiles) costs.push_back(p.force_evaluations);
    store.put("coupling_costs", costs);
    put_rows(store, "coupling_mean", of_all(&CouplingProfile::mean));
    put_rows(store, "coupling_variance", of_all(&CouplingProfile::variance));
    put_rows(store, "coupling_free_energy", of_all(&CouplingProfile::free_energy));
}

void Coupling::load(const Store& store) {
    places = cv_values_of(store, "coupling_places");
    discarded = store.scalar<long long>("coupling_discarded");
    jump_acceptance = store.scalar<double>("coupling_jump_acceptance");
    for (const double cost : store.get<double>("coupling_costs")) profiles.push_back({cost, {}, {}, {}});
    const auto into = [&](std::vector<double> CouplingProfile::* figure, const std::string& name) {
        const auto rows = rows_of(store, name);
        for (std::size_t i = 0; i < profiles.size(); ++i) profiles[i].*figure = rows.at(i);
    };
    into(&CouplingProfile::mean, "coupling_mean");
    into(&CouplingProfile::variance, "coupling_variance");
    into(&CouplingProfile::free_energy, "coupling_free_energy");
    need(discarded >= 0, "discarded windows");
}

SharedBias::SharedBias(Stream& stream) : stream_(&stream) {}
SharedBias::~SharedBias() = default;

void SharedBias::save(Store& store) const {
    if (method) method->save(*stream_, store);
    if (steered) steered->save(*stream_, store);
}

void SharedBias::load(const Store& store) {
    if (method) method->load(*stream_, store);
    if (steered) steered->load(*stream_, store);
}

void SamplingState::save(Store& store) const {
    if (ensemble.empty()) return;
    store.put("ensemble", ensemble);
    store.put("ensemble_counts",
              std::vector<long long>{static_cast<long long>(step), sampled});
    store.put("ensemble_work", std::vector<double>{steps, energies});
    store.put("ensemble_counters", counters);
    store.put("ensemble_rung_sums", rung_sums);
    store.put("ensemble_accepted", accepted);
}

void SamplingState::load(const Store& store) {
    if (!store.has("ensemble")) return;
    ensemble = values_of<float>(store, "ensemble");
    const auto counts = store.get<long long>("ensemble_counts", 2);
    need(!ensemble.empty() && none_negative(counts), "steps");
    need(std::all_of(ensemble.begin(), ensemble.end(), [](float v) { return std::isfinite(v); }),
         "states");
    step = static_cast<uint64>(counts[0]), sampled = counts[1];
    const auto work = store.get<double>("ensemble_work", 2);
    steps = work[0], energies = work[1];
    counters = values_of<long long>(store, "ensemble_counters");
    rung_sums = values_of<double>(store, "ensemble_rung_sums");
    accepted = values_of<long long>(store, "ensemble_accepted");
    need(steps >= 0 && energies >= 0 && all_finite(work) && all_finite(rung_sums) && none_negative(counters),
         "counters");
    need(std::all_of(accepted.begin(), accepted.end(),
                     [&](long long n) { return n >= 0 && n <= counts[0]; }),
         "accepted steps");
}

void TrainingState::save(Store& store) const {
    if (!trainer.empty()) store.put("training", packed({trainer, {}}));
}

void TrainingState::load(const Store& store) { trainer = unpacked(store, "training").tensors; }

void RatesState::save(Store& store) const {
    if (fill) fill(store);
}

void RatesState::load(const Store& store) {
    for (const std::string& name : store.names()) {
        if (!name.starts_with("rates.")) continue;
        switch (store.info(name).type) {
            case DType::f32: kept.put(name, values_of<float>(store, name)); break;
            case DType::f64: kept.put(name, values_of<double>(store, name)); break;
            case DType::i64: kept.put(name, values_of<long long>(store, name)); break;
            case DType::u8: break;
        }
    }
}

}  // namespace microlift
