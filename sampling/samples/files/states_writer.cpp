#include "sampling/samples/files/states_writer.h"

#include <utility>

#include "engine/error.h"
#include "sampling/molecule/files/pdb.h"
#include "sampling/molecule/files/read_molecule.h"

namespace microlift {

bool StatesWriter::writes(const std::filesystem::path& file) {
    const std::filesystem::path kind = file.extension();
    return kind == ".npy" || kind == ".dcd" || kind == ".pdb";
}

StatesWriter::StatesWriter(std::filesystem::path file, index count, index variables, const LoadedMolecule* molecule)
    : variables_(variables), molecule_(molecule), single_(count == 1) {
    const std::filesystem::path kind = file.extension();
    if (kind == ".npy") {
        npy_ = std::make_unique<NpyWriter>(std::move(file), count, variables, false);
        return;
    }
    if (!molecule)
        throw InputError(file.string() + ": " + kind.string().substr(1) + " files hold atoms, and these states are of no "
                         "molecule; write .npy, or describe the molecule in [system]");
    if (kind == ".dcd")
        dcd_ = std::make_unique<DcdWriter>(std::move(file), variables / 3, count);
    else
        pdb_ = std::make_unique<AtomicFile>(std::move(file));
}

void StatesWriter::append(const float* rows, index count) {
    if (npy_) return npy_->append(rows, count);
    for (index s = 0; s < count; ++s)
        if (dcd_)
            dcd_->append(rows + s * variables_);
        else
            append_pdb(rows + s * variables_);
}

// Models stand one after the other, their bonds once at the end.
void StatesWriter::append_pdb(const float* row) {
    const std::vector<double> position(row, row + variables_);
    const std::string text = format_pdb(molecule_->molecule, position.data(), "");
    if (single_) return pdb_->write(text);
    const std::size_t atoms = text.find("TER\n") + 4;
    end_ = text.substr(atoms);
    char number[16];
    std::snprintf(number, sizeof number, "%4lld", static_cast<long long>(++models_) % 10000);
    pdb_->write("MODEL     " + std::string(number) + "\n" + text.substr(0, atoms) + "ENDMDL\n");
}

void StatesWriter::finish() {
    if (npy_) npy_->finish();
    if (dcd_) dcd_->finish();
    if (!pdb_) return;
    pdb_->write(end_);
    pdb_->commit();
}

}  // namespace microlift
