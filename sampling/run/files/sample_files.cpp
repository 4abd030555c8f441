// Files of samples: those of a run that goes on, and samples.h5.
#include "sampling/run/files/sample_files.h"

#include <numeric>

#include "engine/at.h"
#include "engine/files/files.h"
#include "engine/files/left.h"
#include "engine/stop.h"
#include "sampling/samples/samples_file.h"

namespace microlift {

namespace {

SamplesInfo describe_samples(const Run& run, bool weighted) {
    SamplesInfo info;
    info.weighted = weighted;
    info.compression = static_cast<int>(run.config.output.compress);
    info.variables = run.model.variables();
    info.cvs = run.model.cv_names();
    for (const CvVariable& cv : run.config.cv.variables) info.cv_units.push_back(cv.unit);
    info.system = run.model.name();
    info.configuration = run.config.checksum();
    for (const CvValue& center : run.windows.center)
        info.centers.insert(info.centers.end(), center.begin(), center.begin() + run.grid.dims);
    info.stiffness = run.config.umbrella.stiffness;
    if (run.config.samples.enabled) info.stiffness.assign(info.stiffness.size(), 0.0);  // each window has its own
    return info;
}

void describe_blocks(const std::vector<SampleBlock>& blocks, SamplesInfo& info) {
    info.blocks.clear();
    for (const SampleBlock& b : blocks)
        for (const index part : {b.first_window, b.windows, b.replicas, b.samples})
            info.blocks.push_back(static_cast<double>(part));
}

constexpr const char* kSamples = "samples.h5";
constexpr const char* kThinned = "samples_thinned.h5";  // until the run has ended
constexpr std::size_t kSegmentDigits = 6;
constexpr std::size_t kSegmentBytes = std::size_t{1} << 29;

// Samples [begin, end), which are of the block, to the end of the file.
void write_rows(Run& run, SamplesWriter& file, const SampleBlock& block, index begin, index end,
                const Buffer<float>* log_weights) {
    const SampleSet& samples = run.samples;
    const index piece = std::min<index>(1 << 18, end - begin);
    const index D = run.model.dim(), K = run.model.n_cvs();
    std::vector<float> x(at(D * piece)), xi(at(K * piece)), weight(at(piece), 0.0f);
    std::vector<double> log_weight(at(piece), 0.0);
    std::vector<int> window(at(piece));
    for (index first = begin; first < end; first += piece) {
        const index count = std::min(piece, end - first);
        const auto to_columns = [&](const Buffer<float>& from, index rows, std::vector<float>& to) {
            for (index r = 0; r < rows; ++r)
                copy_to_host(run.stream, to.data() + r * piece,
                             Span<const float>(from.span().subspan(r * samples.row + first, count)));
        };
        to_columns(samples.x, D, x);
        to_columns(samples.xi, K, xi);
        if (log_weights != nullptr && log_weights->size() >= samples.n)
            copy_to_host(run.stream, weight.data(), log_weights->span().subspan(first, count));
        for (index i = 0; i < count; ++i) {
            window[at(i)] = static_cast<int>(block.first_window +
                                             (first + i - block.first) % block.trajectories() / block.replicas);
            log_weight[at(i)] = static_cast<double>(weight[at(i)]);
        }
        file.append(count, x.data(), piece, xi.data(), piece, window.data(),
                    log_weights != nullptr ? log_weight.data() : nullptr);
    }
}

}  // namespace

void write_samples(Run& run, const Buffer<float>* log_weights) {
    SamplesInfo info = describe_samples(run, log_weights != nullptr);
    info.samples = run.samples.n;
    describe_blocks(run.samples.blocks, info);
    SamplesWriter file(run.dir / kSamples, info);
    for (const SampleBlock& b : run.samples.blocks) write_rows(run, file, b, b.first, b.first + b.size(), log_weights);
    file.finish();
    run.samples.in_file = true;
}

void write_thinned(Run& run) {
    const index thin = run.config.output.thin;
    if (thin == 1 || !run.samples.in_file || leaves_files()) return;
    const SamplesReader all(run.dir / kSamples);
    std::vector<SampleBlock> kept = run.samples.blocks;
    for (SampleBlock& b : kept) b.samples = thinned_samples(b, thin);
    SamplesInfo info = all.info();
    info.compression = static_cast<int>(run.config.output.compress);
    info.samples = 0;
    for (const SampleBlock& b : kept) info.samples += b.size();
    describe_blocks(kept, info);
    SamplesWriter file(run.dir / kThinned, info);
    for (const SampleBlock& b : run.samples.blocks) {
        const index rows = b.trajectories(), piece = std::min<index>(1 << 18, rows);
        std::vector<float> state(at(piece) * info.variables.size()), cv(at(piece) * info.cvs.size());
        std::vector<long long> window(at(piece));
        std::vector<double> weight(at(piece));
        for (index s = 0; s < b.samples; s += thin)
            for (index first = 0; first < rows; first += piece) {
                check_stop();
                const index count = std::min(piece, rows - first);
                all.read(b.first + s * rows + first, count, state.data(), cv.data(), window.data(),
                         info.weighted ? weight.data() : nullptr);
                file.append_rows(count, state.data(), cv.data(), window.data(), weight.data());
            }
    }
    file.finish();
}

void take_thinned(const fs::path& dir) {
    if (leaves_files()) return;
    std::error_code none;
    fs::rename(dir / kThinned, dir / kSamples, none);
}

void write_segments(Run& run) {
    Samples& samples = run.samples;
    if (samples.in_file || samples.n == 0 || run.position.done()) {
        samples.forget_segments();
        return;
    }
    SamplesInfo info = describe_samples(run, false);
    const std::size_t row = 4 * at(run.model.dim() + run.model.n_cvs()) + 8;
    const auto most = static_cast<index>(std::max<std::size_t>(1, kSegmentBytes / row));
    std::vector<SampleBlock> blocks = samples.blocks;
    if (samples.open) {
        blocks.push_back(*samples.open);
        blocks.back().samples = (samples.n - blocks.back().first) / blocks.back().trajectories();
    }
    index first = std::accumulate(samples.segments.begin(), samples.segments.end(), index{0});
    while (first < samples.n) {
        info.samples = std::min(most, samples.n - first);
        const fs::path path = samples.segment(samples.segments.size());
        std::error_code problem;
        fs::create_directories(samples.folder(), problem);
        if (problem && !leaves_files()) throw_write_error(samples.folder(), problem.value());
        SamplesWriter file(path, info);
        const index end = first + info.samples;
        for (const SampleBlock& b : blocks) {
            const index from = std::max(first, b.first), to = std::min(end, b.first + b.size());
            if (from < to) write_rows(run, file, b, from, to, nullptr);
        }
        file.finish();
        samples.segments.push_back(info.samples);
        first = end;
    }
}

void remove_segments(Run& run) {
    if (leaves_files()) return;
    const Samples& samples = run.samples;
    std::error_code ignored;  // they do no harm
    std::vector<fs::path> gone;
    for (const fs::directory_entry& file : fs::directory_iterator(samples.folder(), ignored)) {
        const std::string name = file.path().filename();
        if (name.size() < kSegmentDigits + 3 || name.find_first_not_of("0123456789") != name.size() - 3 ||
            !name.ends_with(".h5"))
            continue;  // somebody else's
        const long long number = std::strtoll(name.c_str(), nullptr, 10) - samples.first_segment;
        if (number < 0 || number >= std::ssize(samples.segments)) gone.push_back(file.path());
    }
    for (const fs::path& file : gone) fs::remove(file, ignored);
    fs::remove(samples.folder(), ignored);  // where it is empty
}

}  // namespace microlift
