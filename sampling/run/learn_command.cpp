// `microlift learn`: of a run that is done.
#include <filesystem>

#include "sampling/run/pipeline.h"

namespace microlift {

LearnedSummary learn_coordinates(const LearnOptions& options, Progress& progress) {
    const std::string file = (std::filesystem::path(options.dir) / "config.toml").string();
    const RunConfig run = load_run_config(file);
    Stream stream(Device::pick(options.device, options.threads));
    LearnOptions seeded = options;
    seeded.seed = options.seed.value_or(run.seed);
    try {
        return learn_coordinates(stream, run, seeded, progress);
    } catch (const KeyError& error) {
        throw run.config.located(error);
    }
}

}  // namespace microlift
