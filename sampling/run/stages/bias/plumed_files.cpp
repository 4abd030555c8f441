// COLVAR and HILLS as PLUMED writes them.
#include <algorithm>
#include <cctype>
#include <cstdio>

#include "engine/at.h"
#include "engine/files/files.h"
#include "sampling/run/stages/bias/bias.h"

namespace microlift {

namespace {

// Of a molecule picoseconds, else the system's own time.
double time_of(const Run& run, index step) { return static_cast<double>(step) * run.config.integrator.dt; }

// Steps of the walkers behind stored sample j when it was stored.
index step_of(const Run& run, index j) {
    const std::vector<SampleBlock>& blocks = run.samples.blocks;
    const UmbrellaConfig& u = run.config.umbrella;
    const bool all = std::ssize(blocks) == run.position.round + 1;  // no round was discarded
    for (const SampleBlock& block : blocks) {
        if (j >= block.first + block.size()) continue;
        const bool first = all && &block == &blocks.front();
        return (first ? u.equilibrate : run.config.coupling.equilibrate) +
               ((j - block.first) / block.trajectories() + 1) * u.stride;
    }
    throw InputError("COLVAR: there are more samples than blocks of them hold");
}

// Names that PLUMED can read.
std::vector<std::string> plumed_names(const Run& run) {
    std::vector<std::string> names;
    for (int k = 0; k < run.grid.dims; ++k) {
        std::string name = run.model.cv_names()[at(k)];
        const bool plain = !name.empty() && std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) || c == '_'; });
        names.push_back(plain ? name : "cv_" + std::to_string(k + 1));
    }
    return names;
}

std::string text_of(double value) {
    char text[40];
    std::snprintf(text, sizeof text, " %.17g", value);
    return text;
}

// Of variables that go all round.
std::string periods(const Run& run, const std::vector<std::string>& names) {
    std::string text;
    for (std::size_t k = 0; k < names.size(); ++k)
        if (run.grid.round[k])
            text += "#! SET min_" + names[k] + text_of(run.grid.from[k]) + "\n#! SET max_" + names[k] + text_of(run.grid.to[k]) + "\n";
    return text;
}

// A hill for every point and frame: what was deposited there since the frame before. Mirror images stand beyond the
// ends of what has no period, as the bias has them. Heights are those of F, as PLUMED's are.
std::string hills(const Run& run, const BiasFrames& frames) {
    const AdaptiveBias& method = *run.bias.method;
    const AdaptiveOptions& o = method.options();
    const GridAxes& axes = o.axes;
    const std::vector<std::string> names = plumed_names(run);
    std::string text = "#! FIELDS time";
    for (const std::string& name : names) text += " " + name;
    for (const std::string& name : names) text += " sigma_" + name;
    text += " height biasf\n#! SET multivariate false\n" + periods(run, names);
    const index columns = axes.cvs == 2 ? axes.points[1] : 1;
    for (std::size_t f = 0; f < frames.step.size(); ++f)
        for (index j = 0; j < axes.size(); ++j) {
            const double height = frames.hills[f * at(axes.size()) + at(j)];
            if (height == 0) continue;
            const index at_point[2] = {j / columns, j % columns};
            std::vector<double> centres[2];
            for (int k = 0; k < axes.cvs; ++k) {
                const auto i = at(k);
                const index last = axes.points[i] - 1, p = at_point[k];
                const double h = axes.spacing(k), reach = kGaussianReach * method.sigma()[i] / h;
                const auto add = [&](index point) { centres[k].push_back(axes.from[i] + h * static_cast<double>(point)); };
                add(p);
                if (axes.periodic[i]) continue;
                if (p > 0 && static_cast<double>(p) <= reach) add(-p);
                if (p < last && static_cast<double>(last - p) <= reach) add(2 * last - p);
            }
            if (axes.cvs == 1) centres[1] = {0.0};
            for (const double a : centres[0])
                for (const double b : centres[1]) {
                    text += text_of(time_of(run, frames.step[f])) + text_of(a);
                    if (axes.cvs == 2) text += text_of(b);
                    for (int k = 0; k < axes.cvs; ++k) text += text_of(method.sigma()[at(k)]);
                    text += text_of(height * o.biasfactor / (o.biasfactor - 1)) + text_of(o.biasfactor) + "\n";
                }
        }
    return text;
}

}  // namespace

void write_plumed_files(Run& run, const BiasFrames& frames) {
    const std::vector<std::string> names = plumed_names(run);
    if (run.bias.method->has_hills()) write_file(run.dir / "HILLS", hills(run, frames));
    AtomicFile file(run.dir / "COLVAR");
    std::string text = "#! FIELDS time";
    for (const std::string& name : names) text += " " + name;
    text += " " + run.config.bias.method + ".bias\n" + periods(run, names);
    const SampleSet& samples = run.samples;
    const index K = run.grid.dims;
    constexpr index kPiece = 1 << 16;
    Buffer<float> energy(run.device, std::min(kPiece, samples.n));
    std::vector<float> xi(at(K * kPiece)), u(at(kPiece));
    for (index first = 0; first < samples.n; first += kPiece) {
        const index n = std::min(kPiece, samples.n - first);
        const Span<const float> here{samples.xi.data() + first, (K - 1) * samples.row + n};
        run.bias.method->energy(run.stream, here, samples.row, n, energy.span());
        copy_to_host(run.stream, u.data(), Span<const float>(energy.span().subspan(0, n)));
        for (index k = 0; k < K; ++k)
            copy_to_host(run.stream, xi.data() + k * kPiece, here.subspan(k * samples.row, n));
        for (index j = 0; j < n; ++j) {
            text += text_of(time_of(run, step_of(run, first + j)));
            for (index k = 0; k < K; ++k) text += text_of(static_cast<double>(xi[at(k * kPiece + j)]));
            text += text_of(static_cast<double>(u[at(j)])) + "\n";
        }
        file.write(text);
        text.clear();
    }
    file.commit();
}

}  // namespace microlift
