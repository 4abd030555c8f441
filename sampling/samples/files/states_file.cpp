#include "sampling/samples/files/states_file.h"

#include <algorithm>
#include <utility>

#include "engine/at.h"
#include "engine/error.h"
#include "sampling/molecule/files/read_molecule.h"

namespace microlift {

std::vector<std::string> atom_variables(index atoms) {
    std::vector<std::string> names;
    for (index atom = 0; atom < atoms; ++atom)
        for (const char* axis : {"x", "y", "z"}) names.push_back(axis + std::to_string(atom));
    return names;
}

StatesFile::StatesFile(std::filesystem::path file, std::vector<std::string> variables,
                       const LoadedMolecule* molecule, bool series)
    : file_(std::move(file)), variables_(std::move(variables)) {
    open(molecule, series);
    if (count_ == 0) throw InputError(file_.string() + ": it has no states; give one at least");
}

void StatesFile::open(const LoadedMolecule* molecule, bool series) {
    const std::filesystem::path kind = file_.extension();
    if (kind == ".h5")
        open_samples();
    else if (kind == ".npy" || kind == ".csv")
        open_table(molecule != nullptr, series);
    else if (molecule || kind == ".dcd" || kind == ".xtc" || kind == ".pdb")
        open_trajectory_of(molecule);
    else
        open_table(false, series);
}

void StatesFile::open_table(bool points, bool series) {
    table_ = read_table(file_, points, series);
    // One row may be one state, or a column of states of one variable.
    if (table_->rows == 1 && variables_.size() < 2) std::swap(table_->rows, table_->columns);
    const std::vector<std::string> names = table_->commented && std::ssize(table_->names) != table_->columns
                                               ? std::vector<std::string>()
                                               : table_->names;
    if (variables_.empty()) {
        variables_ = names;
        for (index d = std::ssize(variables_); d < table_->columns; ++d)
            variables_.push_back("x" + std::to_string(d));
    }
    check_count(table_->columns, "variables");
    find_columns(names, !table_->names.empty() && !table_->commented);
    count_ = table_->rows;
}

void StatesFile::open_trajectory_of(const LoadedMolecule* molecule) {
    trajectory_ = open_trajectory(file_);
    if (variables_.empty()) variables_ = atom_variables(trajectory_->atoms());
    check_count(3 * trajectory_->atoms(), "coordinates");
    if (molecule) check_order(file_, trajectory_->named_atoms(), molecule->molecule);
    count_ = trajectory_->frames();
    frame_.resize(variables_.size());
}

void StatesFile::open_samples() {
    samples_ = std::make_unique<SamplesReader>(file_);
    const SamplesInfo& info = samples_->info();
    if (variables_.empty()) variables_ = info.variables;
    check_count(std::ssize(info.variables), "variables");
    find_columns(info.variables, true);
    count_ = info.samples;
}

void StatesFile::check_count(index found, const char* what) const {
    if (found == std::ssize(variables_)) return;
    throw InputError(file_.string() + ": its states have " + std::to_string(found) + " " + what + ", the system has " +
                     std::to_string(variables_.size()) + "; give states of this system");
}

// `told`: names stand there for certain; a comment may say anything.
void StatesFile::find_columns(const std::vector<std::string>& names, bool told) {
    for (index d = 0; d < std::ssize(variables_); ++d) column_.push_back(d);
    if (names.empty()) return;
    std::vector<index> named;
    for (const std::string& variable : variables_) {
        const auto found = std::ranges::find(names, variable);
        if (found != names.end()) named.push_back(found - names.begin());
    }
    if (named.size() == variables_.size())
        column_ = named;
    else if (told)
        throw InputError(file_.string() + ": its line of names is not that of the system's variables; "
                                          "name these, or leave the line out");
}

std::vector<StatesFile::Part> StatesFile::parts() const {
    std::vector<Part> parts;
    if (samples_) {
        const std::vector<double>& blocks = samples_->info().blocks;
        index first = 0;
        for (std::size_t b = 0; b < blocks.size(); b += 4) {
            const auto number = [&](std::size_t i) { return static_cast<index>(blocks[b + i]); };
            const index trajectories = number(1) * number(2);
            for (index t = 0; t < trajectories; ++t)
                parts.push_back({first + t, trajectories, number(3), number(0) + t / number(2)});
            first += trajectories * number(3);
        }
        if (!parts.empty()) return parts;
    }
    const index series = table_ ? table_->series : 1, each = count_ / series;
    for (index t = 0; t < series; ++t) parts.push_back({t * each, 1, each, 0});
    return parts;
}

void StatesFile::read(const Part& part, index first, index count, std::vector<double>& rows) {
    if (part.stride == 1) return read(part.first + first, count, rows);
    const auto n = std::ssize(variables_);
    if (stored_.empty()) {
        stored_.resize(at(count_ * n));
        samples_->read(0, count_, stored_.data(), nullptr, nullptr, nullptr);
    }
    rows.resize(at(count * n));
    for (index s = 0; s < count; ++s)
        for (index d = 0; d < n; ++d)
            rows[at(s * n + d)] =
                static_cast<double>(stored_[at((part.first + (first + s) * part.stride) * n + column_[at(d)])]);
}

void StatesFile::read(index first, index count, std::vector<double>& rows) {
    const auto n = std::ssize(variables_);
    rows.resize(at(count * n));
    if (table_) {
        for (index s = 0; s < count; ++s)
            for (index d = 0; d < n; ++d)
                rows[at(s * n + d)] = table_->values[at((first + s) * n + column_[at(d)])];
        return;
    }
    if (samples_) {
        std::vector<float> stored(at(count * n));
        samples_->read(first, count, stored.data(), nullptr, nullptr, nullptr);
        for (index s = 0; s < count; ++s)
            for (index d = 0; d < n; ++d)
                rows[at(s * n + d)] = static_cast<double>(stored[at(s * n + column_[at(d)])]);
        return;
    }
    for (index s = 0; s < count; ++s) {
        trajectory_->read(first + s, frame_.data());
        std::copy(frame_.begin(), frame_.end(), rows.begin() + s * n);
    }
}

}  // namespace microlift
