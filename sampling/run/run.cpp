#include "sampling/run/run.h"

#include "engine/files/files.h"
#include "engine/text.h"
#include "sampling/lift/lifting.h"
#include "sampling/run/biased_runs.h"

namespace microlift {

namespace {

index sample_capacity(const RunConfig& config) {
    const UmbrellaConfig& u = config.umbrella;
    const CouplingConfig& c = config.coupling;
    const index first = u.histogram ? 0 : u.sample_count();
    return c.enabled ? first + c.rounds * c.windows * c.replicas * (c.steps / u.stride) : first;
}

std::shared_ptr<const PathKernel> kernel_of(const RunConfig& config, const Model& model) {
    if (model.states_alone()) return nullptr;
    PathSetup setup = model.path_setup(config.integrator);
    setup.bias = bias_kind(config.bias);
    return model.path_kernel(setup);
}

}  // namespace

Run::Run(const RunConfig& of, const RunOptions& options, const Device& on, Progress& to)
    : config(of), dir(options.out_dir), progress(to), device(on), stream(device), model(of),
      grid(of.grid()), free(free_variables(model)),
      kernel(kernel_of(of, model)),
      samples(stream, dir / "samples.h5", of.checksum()), histogram(stream), bias(stream) {
    samples.reserve(model.dim(), model.n_cvs(), sample_capacity(config));
    samples.weighted = config.learn.enabled;
    if (config.sampled) model.check_bias();
    if (config.bias.shared()) bias.method = make_shared_bias(*this);
    if (config.bias.steered()) bias.steered = make_steered_bias(*this);
    windows.beta = model.cv_beta();
    for (int k = 0; k < grid.dims; ++k) windows.period[static_cast<std::size_t>(k)] = grid.period(k);
}

std::vector<Product*> Run::products() {
    return {&position,    &record,    &windows,  &samples,  &histogram, &bias,
            &free_energy, &generator, &coupling, &sampling, &training, &rates};
}

void Run::warn(const std::string& message) {
    // Names of the user's are in it.
    const std::string text = printable(config.config.renamed(message), kWholeText, Controls::blank);
    if (record.add_warning(text)) progress.note("warning: " + text);
}

void Run::write_metrics() const {
    write_file(dir / "metrics.json", record.metrics.dump(1) + "\n");
}

std::string number(double value) { return number(value, 4); }

}  // namespace microlift
