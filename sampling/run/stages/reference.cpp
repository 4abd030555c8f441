// reference.pdb: the molecule with its atoms' names, for viewers of lifted.dcd.
#include "engine/files/files.h"
#include "sampling/molecule/files/pdb.h"
#include "sampling/molecule/files/read_molecule.h"
#include "sampling/run/stages.h"

namespace microlift {

void write_reference(Run& run) {
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
