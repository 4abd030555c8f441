// samples.h5 without weights, where no free energy is estimated; and what belongs to a molecule's samples.
#include "engine/files/files.h"
#include "engine/files/store.h"
#include "engine/launch/gather.h"
#include "sampling/molecule/files/pdb.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/run/files/sample_files.h"
#include "sampling/run/stages.h"
#include "sampling/run/targets.h"

namespace microlift {

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
