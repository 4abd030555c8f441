// `microlift learn`.
#include <filesystem>

#include "sampling/dynamics/mathematics.h"
#include "sampling/learn/learn.h"
#include "sampling/run/config/inputs.h"
#include "sampling/run/pipeline.h"
#include "sampling/samples/samples_file.h"

namespace microlift {

namespace fs = std::filesystem;

namespace {

void check_names(const SamplesInfo& info, const Model& model, const fs::path& file) {
    if (info.variables == model.variables()) return;
    std::string names;
    for (const std::string& name : info.variables) names += (names.empty() ? "" : ", ") + name;
    throw InputError(file.string() + ": its samples are of the variables " + names +
                     ", which are not those of " + (file.parent_path() / "config.toml").string() +
                     "; take the file that belongs to this run, or run again");
}

SomeSamples read_some(const SamplesReader& file, const std::vector<index>& rows) {
    const index samples = file.info().samples;
    const auto D = static_cast<index>(file.info().variables.size());
    SomeSamples some;
    some.n = static_cast<index>(rows.size());
    some.x.resize(static_cast<std::size_t>(D * some.n));
    constexpr index kPiece = 1 << 18;
    std::vector<float> state(static_cast<std::size_t>(D * kPiece));
    std::vector<double> weight(kPiece);
    index next = 0;
    for (index first = 0; first < samples && next < some.n; first += kPiece) {
        const index count = std::min(kPiece, samples - first);
        file.read(first, count, state.data(), nullptr, nullptr,
                  file.info().weighted ? weight.data() : nullptr);
        for (; next < some.n && rows[static_cast<std::size_t>(next)] < first + count; ++next) {
            const index r = rows[static_cast<std::size_t>(next)] - first;
            for (index d = 0; d < D; ++d)
                some.x[static_cast<std::size_t>(d * some.n + next)] =
                    state[static_cast<std::size_t>(r * D + d)];
            some.log_weight.push_back(weight[static_cast<std::size_t>(r)]);
        }
    }
    return some;
}

}  // namespace

std::string learn_from_run(const LearnOptions& options, Progress& progress) {
    const fs::path dir = options.dir;
    Device device = Device::pick(options.device, options.threads);
    RunConfig run = load_run_config((dir / "config.toml").string());
    run.integrator.portable_math = portable_mathematics(options.math, device);
    device.compute_portably(run.integrator.portable_math);
    const Model model(run);
    const fs::path file = dir / "samples.h5";
    if (!fs::exists(file))
        throw InputError(file.string() + ": there is none: the run kept no samples; let it keep some, or learn from another run");
    Stream stream(device);
    const uint64 seed = options.seed.value_or(run.seed);
    const SamplesReader reader(file);
    if (!reader.info().weighted && !options.unweighted)
        throw InputError(file.string() + ": its samples have no weights, which [estimate] finds; add "
                         "that to the run, or take the biased samples as they are with --unweighted");
    check_names(reader.info(), model, file);
    check_same_run(file, reader.info().configuration, run);
    const std::vector<index> rows = samples_to_read(reader.info().samples, options, seed);
    const std::string out =
        options.out_file.empty() ? (dir / "diffusion_map.json").string() : options.out_file;
    try {
        return learn_coordinates(stream, model, run.integrator, options, read_some(reader, rows),
                                 seed, out, progress).text;
    } catch (const KeyError& error) {
        throw run.config.located(error);
    }
}

}  // namespace microlift
