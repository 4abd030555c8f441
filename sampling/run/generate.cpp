// `microlift generate`.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "engine/files/files.h"
#include "engine/files/safetensors.h"
#include "engine/progress.h"
#include "sampling/dynamics/mathematics.h"
#include "sampling/lift/lifting.h"
#include "sampling/run/config/inputs.h"
#include "sampling/run/pipeline.h"
#include "sampling/samples/files/states_writer.h"

namespace microlift {

namespace fs = std::filesystem;

namespace {

std::string shown(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", value);
    return text;
}

}  // namespace

void generate_states(const GenerateOptions& options, Progress& progress, const StatesTaker& take) {
    const fs::path dir = options.dir;
    Device device = Device::pick(options.device, options.threads);
    RunConfig run = load_run_config((dir / "config.toml").string());
    run.integrator.portable_math = portable_mathematics(options.math, device);
    device.compute_portably(run.integrator.portable_math);
    const Model model(run);
    if (options.heal_steps > 0 && model.states_alone())
        throw InputError("--heal " + std::to_string(options.heal_steps) + ": healing needs a system that moves, and the run's "
                         "[samples] have no [system]; leave --heal out, or run a configuration with the [system] that they are of");
    Stream stream(device);
    const fs::path weights = dir / "generator.safetensors";
    if (!fs::exists(weights))
        throw InputError(weights.string() + ": there is none; run a configuration with [generator]");
    if (static_cast<int>(options.at.size()) != model.n_cvs())
        throw InputError("--at: " + std::to_string(options.at.size()) + " values for " +
                         std::to_string(model.n_cvs()) + " collective variables; give one for each");
    const SafeTensors content = read_safetensors(weights);
    const auto configuration = content.metadata.find("configuration");
    if (configuration != content.metadata.end()) check_same_run(weights, configuration->second, run);
    Lifter lifter(stream, model, Generator(stream, content), run.generator.project,
                  coordinates_of(stream, model, content));
    if (const std::string refusal = lifter.choose_among(run.lifting.candidates); !refusal.empty())
        progress.warn("lifting.candidates has no effect: " + refusal);
    for (int k = 0; k < model.n_cvs(); ++k) {
        const auto i = static_cast<std::size_t>(k);
        if (!std::isfinite(static_cast<float>(options.at[i])))
            throw InputError("--at " + format_double(options.at[i]) +
                             ": it is beyond single precision; give a value near the range [" +
                             toml_number(run.umbrella.from[i]) + ", " + toml_number(run.umbrella.to[i]) +
                             "] that was sampled");
        if (!model.all_round(k) && !(options.at[i] >= run.umbrella.from[i] && options.at[i] <= run.umbrella.to[i]))
            progress.warn("--at " + shown(options.at[i]) + " lies outside the range [" + shown(run.umbrella.from[i]) +
                          ", " + shown(run.umbrella.to[i]) + "] that was sampled; the generator extrapolates");
    }
    if (const std::string remark = healing_remark(run.integrator);
        options.heal_steps > 0 && !remark.empty())
        progress.warn(remark);
    const uint64 seed = options.seed.value_or(run.seed);
    const index piece = std::min<index>(options.count, 1 << 18);
    take(model, lifter.dim(), nullptr, 0);
    progress.begin("generate", static_cast<double>(options.count), "states");
    const auto D = static_cast<std::size_t>(lifter.dim());
    index lost = 0;
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
                 static_cast<uint64>(first), x.span(), [](index) { throw_if_stopped(); }, &lost);
        const std::vector<float> host = to_host(stream, Span<const float>(x.span()));
        if (!std::all_of(host.begin(), host.end(), [](float v) { return std::isfinite(v); }))
            throw NumericError("the generator gives states that are not finite at this --at; give a "
                               "value within the range that was sampled");
        std::vector<float> rows(host.size());
        for (index i = 0; i < n; ++i)
            for (std::size_t d = 0; d < D; ++d)
                rows[static_cast<std::size_t>(i) * D + d] =
                    host[d * static_cast<std::size_t>(n) + static_cast<std::size_t>(i)];
        take(model, lifter.dim(), rows.data(), n);
        progress.update(static_cast<double>(first + n));
        throw_if_stopped();
    }
    progress.end();
    if (lost > 0)
        progress.warn(std::to_string(lost) + " states blew up while they were healed, and others stand for them: the "
                      "generator makes overlapping atoms");
}

void generate_states(const GenerateOptions& options, Progress& progress) {
    std::optional<StatesWriter> file;
    generate_states(options, progress, [&](const Model& model, index dim, const float* rows, index n) {
        if (!file) file.emplace(options.out_file, options.count, dim, model.molecule().get());
        if (n > 0) file->append(rows, n);
    });
    file->finish();
}

}  // namespace microlift
