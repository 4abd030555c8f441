#include "sampling/dynamics/molecule_variables.h"

#include <algorithm>
#include <numbers>

#include "engine/error.h"
#include "sampling/formula/program.h"

namespace microlift {

namespace {

// Of a coordination: its sums of powers are as long.
constexpr int kMostPower = 64;

[[noreturn]] void refuse(const std::string& what) { throw InputError("a molecule's variable: " + what); }

void check_group(const MoleculeVariable& from) {
    if (from.atoms.empty()) refuse("give its atoms");
    if (from.kind == MoleculeCvKind::coordination &&
        (from.numerator < 1 || from.denominator <= from.numerator || from.denominator > kMostPower ||
         !(from.range > 0)))
        refuse("a coordination has powers 0 < n < m <= " + std::to_string(kMostPower) + " and a range > 0");
    if (from.kind == MoleculeCvKind::rmsd && from.reference.size() != 3 * from.atoms.size())
        refuse("a deviation has a reference place for each of its " + std::to_string(from.atoms.size()) +
               " atoms");
}

void check_atoms(const Molecule& molecule, const std::vector<index>& atoms) {
    for (const index atom : atoms)
        if (atom < 0 || atom >= molecule.size()) refuse("there is no atom " + std::to_string(atom));
}

// Members with their weights and, of a deviation, their places about the centre.
std::vector<GroupAtom> group_atoms(const Molecule& molecule, const MoleculeVariable& from) {
    std::vector<index> members = from.atoms;
    members.insert(members.end(), from.others.begin(), from.others.end());
    std::vector<double> weight;
    double sum = 0, centre[3] = {};
    for (const index atom : members) {
        weight.push_back(from.by_mass ? molecule.atoms[static_cast<std::size_t>(atom)].mass : 1.0);
        sum += weight.back();
    }
    const bool deviates = from.kind == MoleculeCvKind::rmsd;
    for (std::size_t n = 0; deviates && n < members.size(); ++n)
        for (std::size_t d = 0; d < 3; ++d) centre[d] += weight[n] / sum * from.reference[3 * n + d];
    std::vector<GroupAtom> out;
    for (std::size_t n = 0; n < members.size(); ++n) {
        GroupAtom atom{static_cast<int32>(3 * members[n]), static_cast<float>(weight[n] / sum), {}};
        for (std::size_t d = 0; deviates && d < 3; ++d)
            atom.reference[d] = static_cast<float>(from.reference[3 * n + d] - centre[d]);
        out.push_back(atom);
    }
    return out;
}

template <class T>
const T* on_device(Stream& stream, Buffer<T>& buffer, const std::vector<T>& values) {
    if (values.empty()) return nullptr;
    buffer = Buffer<T>(stream.device(), static_cast<index>(values.size()));
    copy_to_device(stream, buffer.span(), values.data());
    return buffer.data();
}

}  // namespace

MoleculeVariables::MoleculeVariables(const Molecule& molecule, const std::vector<MoleculeVariable>& variables)
    : tables_(variables.size()) {
    if (variables.size() > kMaxCvs) throw InputError("cv.variables: give one or two");
    cvs_.count = static_cast<int32>(variables.size());
    int32 row = 0;
    for (std::size_t k = 0; k < variables.size(); ++k) {
        cvs_.cv[k] = make(molecule, variables[k], tables_[k]);
        cvs_.cv[k].first_row = row;
        row += cvs_.cv[k].rows();
    }
}

MoleculeCv MoleculeVariables::make(const Molecule& molecule, const MoleculeVariable& from, Tables& tables) {
    MoleculeCv cv;
    cv.kind = from.kind;
    cv.middle = static_cast<float>(from.middle);
    cv.period = static_cast<float>(from.kind == MoleculeCvKind::dihedral ? 2 * std::numbers::pi : from.period);
    check_atoms(molecule, from.atoms);
    check_atoms(molecule, from.others);
    if (from.kind == MoleculeCvKind::coordinate) {
        cv.atom[0] = static_cast<int32>(3 * from.atoms.at(0)) + from.axis;
    } else if (from.kind == MoleculeCvKind::formula) {
        make_formula(molecule, from, cv, tables);
    } else if (has_rows(from.kind)) {
        check_group(from);
        tables.atoms = group_atoms(molecule, from);
        cv.group.count = static_cast<int32>(from.atoms.size());
        cv.group.others = static_cast<int32>(from.others.size());
        cv.group.numerator = from.numerator;
        cv.group.denominator = from.denominator;
        cv.group.inverse_range = static_cast<float>(1 / from.range);
    } else {
        if (static_cast<int>(from.atoms.size()) != cv_atoms(from.kind))
            refuse("it has " + std::to_string(cv_atoms(from.kind)) + " atoms, not " +
                   std::to_string(from.atoms.size()));
        for (std::size_t n = 0; n < from.atoms.size(); ++n) cv.atom[n] = static_cast<int32>(3 * from.atoms[n]);
    }
    return cv;
}

void MoleculeVariables::make_formula(const Molecule& molecule, const MoleculeVariable& from, MoleculeCv& cv,
                                     Tables& tables) {
    if (from.of.empty() || from.of.size() != from.names.size())
        refuse("a formula has variables, each with its name");
    tables.of.resize(from.of.size());
    for (std::size_t k = 0; k < from.of.size(); ++k) {
        if (from.of[k].kind == MoleculeCvKind::formula)
            refuse("a formula of formulas; write '" + from.names[k] + "' out");
        tables.cvs.push_back(make(molecule, from.of[k], tables.of[k]));
    }
    Expressions graph;
    const Symbols symbols{from.names, {}};
    const NodeId value = from.build ? from.build(graph, symbols) : parse_formula(graph, from.formula, symbols);
    std::vector<NodeId> outputs{value};
    const int variables = static_cast<int>(from.names.size());
    for (const NodeId slope : graph.gradient(value, variables)) outputs.push_back(slope);
    const Program program = lower(graph, outputs, variables);
    tables.code = program.instructions;
    for (const ProgramOutput& output : program.outputs)
        tables.outputs.push_back({output.kind == ProgramOutput::Kind::constant ? -1 : output.slot, output.value});
    cv.formula.instructions = static_cast<int32>(program.instructions.size());
    cv.formula.slots = std::max(program.slots, 1);
    cv.formula.variables = variables;
}

void MoleculeVariables::copy(Stream& stream, MoleculeCv& cv, Tables& tables) {
    cv.group.atom = on_device(stream, tables.atoms_there, tables.atoms);
    for (std::size_t k = 0; k < tables.of.size(); ++k) copy(stream, tables.cvs[k], tables.of[k]);
    cv.formula.code = on_device(stream, tables.code_there, tables.code);
    cv.formula.output = on_device(stream, tables.outputs_there, tables.outputs);
    cv.formula.of = on_device(stream, tables.cvs_there, tables.cvs);
}

void MoleculeVariables::copy_tables(Stream& stream) {
    for (std::size_t k = 0; k < tables_.size(); ++k) copy(stream, cvs_.cv[k], tables_[k]);
}

}  // namespace microlift
