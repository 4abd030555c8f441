// samples.h5: with weights where the free energy is estimated, without them where it is not.
#include "sampling/run/stages/store.h"

#include "engine/files/files.h"
#include "engine/files/store.h"
#include "engine/launch/gather.h"
#include "sampling/molecule/files/pdb.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/run/stages.h"
#include "sampling/run/targets.h"
#include "sampling/samples/samples_file.h"

namespace microlift {

namespace {

SamplesInfo describe_samples(const Run& run, bool weighted) {
    SamplesInfo info;
    info.weighted = weighted;
    info.samples = run.samples.n;
    info.variables = run.model.variables();
    info.cvs = run.model.cv_names();
    for (const CvVariable& cv : run.config.cv.variables) info.cv_units.push_back(cv.unit);
    info.system = run.model.name();
    info.configuration = run.config.checksum();
    for (const CvValue& center : run.windows.center)
        info.centers.insert(info.centers.end(), center.begin(), center.begin() + run.grid.dims);
    info.stiffness = run.config.umbrella.stiffness;
    if (run.config.samples.enabled) info.stiffness.assign(info.stiffness.size(), 0.0);  // each window has its own
    for (const SampleBlock& b : run.samples.blocks)
        for (const index part : {b.first_window, b.windows, b.replicas, b.samples})
            info.blocks.push_back(static_cast<double>(part));
    return info;
}

}  // namespace

void write_samples(Run& run, const Buffer<float>* log_weights) {
    const SampleSet& samples = run.samples;
    SamplesWriter file(run.dir / "samples.h5", describe_samples(run, log_weights != nullptr));
    constexpr index piece = 1 << 18;
    const index D = run.model.dim(), K = run.model.n_cvs();
    std::vector<float> x(static_cast<std::size_t>(D * piece)), xi(static_cast<std::size_t>(K * piece));
    std::vector<float> weight(piece, 0.0f);
    std::vector<double> log_weight(piece, 0.0);
    std::vector<int> window(piece);
    std::size_t block = 0;
    for (index first = 0; first < samples.n; first += piece) {
        const index count = std::min(piece, samples.n - first);
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
            const index j = first + i;
            while (j >= samples.blocks[block].first + samples.blocks[block].size()) ++block;
            const SampleBlock& b = samples.blocks[block];
            const auto at = static_cast<std::size_t>(i);
            window[at] = static_cast<int>(b.first_window +
                                          (j - b.first) % b.trajectories() / b.replicas);
            log_weight[at] = static_cast<double>(weight[at]);
        }
        file.append(count, x.data(), piece, xi.data(), piece, window.data(),
                    log_weights != nullptr ? log_weight.data() : nullptr);
    }
    file.finish();
    run.samples.in_file = true;
}

void store(Run& run) { write_samples(run, nullptr); }

namespace {

// Of some samples, evenly spread, for the report's maps: which they are, ξ, and the torsions.
void write_torsions(Run& run) {
    constexpr index kMost = 40000;
    const SampleSet& samples = run.samples;
    const index n = std::min(samples.n, kMost), D = run.model.dim();
    if (run.model.torsion_names().empty() || n == 0) return;
    const std::vector<index> which = spread_over(samples.n, n);
    Buffer<index> chosen(run.device, n);
    copy_to_device(run.stream, chosen.span(), which.data());
    Buffer<float> x(run.device, D * n);
    gather_columns(run.stream, samples.x.data(), samples.row, D, std::as_const(chosen).span(), x.data());
    Store file;
    file.put("sample", std::vector<long long>(which.begin(), which.end()));
    const auto T = std::ssize(run.model.torsion_names());
    file.put("physics", torsion_angles(run, std::as_const(x).span(), n, n), {n, T});
    std::string joined;
    for (const std::string& name : run.model.torsion_names()) joined += (joined.empty() ? "" : ",") + name;
    file.attributes["torsions"] = joined;
    file.save(run.dir / "torsions.h5", "torsions");
}

}  // namespace

// The molecule with its atoms' names, for viewers, and its torsions, for the report.
void write_reference(Run& run) {
    write_torsions(run);
    const LoadedMolecule& loaded = *run.model.molecule();
    const index D = run.model.dim();
    std::vector<double> position = loaded.position;
    if (position.empty()) {
        std::vector<float> first(static_cast<std::size_t>(D));
        for (index d = 0; d < D; ++d)
            copy_to_host(run.stream, first.data() + d,
                         Span<const float>(run.samples.x.span().subspan(d * run.samples.row, 1)));
        position.assign(first.begin(), first.end());
    }
    write_file(run.dir / "reference.pdb",
               format_pdb(loaded.molecule, position.data(), "atoms of lifted.dcd and samples.h5"));
}

}  // namespace microlift
