#include "sampling/molecule/files/pdb.h"

#include <array>
#include <cstdio>
#include <map>
#include <set>

#include "engine/at.h"
#include "engine/error.h"
#include "sampling/molecule/elements.h"

namespace microlift {

namespace {

// Columns of ATOM and HETATM, counted from 0.
constexpr std::size_t kAtomName = 12, kAlternate = 16, kResidueName = 17, kChain = 21, kResidueNumber = 22,
                      kInsertion = 26, kX = 30, kElement = 76;

class PdbReader {
public:
    explicit PdbReader(const TextFile& file) : file_(file) {}

    Pdb read() {
        for (line_ = 0; line_ < file_.size(); ++line_) {
            const std::string_view line = file_.line(line_);
            const std::string_view record = without_blanks(line.substr(0, 6));
            if (record == "ATOM" || record == "HETATM") {
                read_atom(line);
            } else if (record == "MODEL") {
                if (in_model_ && atoms_ > 0) end_model();
                in_model_ = true;
            } else if (record == "ENDMDL") {
                end_model();
                in_model_ = false;
            } else if (record == "END") {
                if (atoms_ > 0) end_model();
            } else if (record == "CRYST1") {
                note_box(line);
            }
        }
        line_ = file_.size() - 1;
        if (atoms_ > 0) end_model();
        if (pdb_.models == 0) file_.refuse("it has no ATOM or HETATM record; give a PDB file");
        if (alternates_)
            pdb_.notes.push_back(file_.path().string() +
                                 ": of alternate places of an atom the first is taken");
        return std::move(pdb_);
    }

private:
    void read_atom(std::string_view line) {
        Atom atom;
        atom.name = without_blanks(column_field(line, kAtomName, 4));
        atom.residue = without_blanks(column_field(line, kResidueName, 4));  // the fourth: CHARMM's
        atom.chain = without_blanks(column_field(line, kChain, 1));
        if (atom.name.empty())
            file_.refuse(line_, "columns 13 to 16 name no atom; give a PDB file of fixed columns");
        atom.residue_number = residue_number(column_field(line, kResidueNumber, 4));
        const char alternate = line.size() > kAlternate ? line[kAlternate] : ' ';
        if (alternate != ' ' && !first_of_its_place(atom, column_field(line, kInsertion, 1))) {
            alternates_ = true;
            return;
        }
        std::array<double, 3> position{};
        for (std::size_t d = 0; d < 3; ++d) {
            const std::string_view field = column_field(line, kX + 8 * d, 8);
            if (!parse_number(field, position[d]))
                file_.refuse(line_, "the coordinate " + quote_field(field) + " in columns " +
                                        std::to_string(kX + 8 * d + 1) + " to " +
                                        std::to_string(kX + 8 * d + 8) + " is not a number");
        }
        atom.element = element_of_symbol(without_blanks(column_field(line, kElement, 2)));
        if (atom.element == 0) atom.element = element_from_columns(line);
        if (pdb_.models == 0) {
            pdb_.atoms.push_back(atom);
            if (std::ssize(pdb_.atoms) > kMostAtoms)
                file_.refuse(line_, "more than " + std::to_string(kMostAtoms) +
                                        " atoms in a model; give the molecule alone");
        } else if (atoms_ >= std::ssize(pdb_.atoms) || pdb_.atoms[at(atoms_)].name != atom.name) {
            file_.refuse(line_, "the model has another atom (" + atom.name +
                                    ") here than the first; all models must have the same atoms");
        }
        for (const double x : position) pdb_.position.push_back(x / 10);
        ++atoms_;
    }

    // The element's symbol ends in the second column of the name: " CA " is carbon, "CA  " calcium.
    static int element_from_columns(std::string_view line) {
        const std::string_view name = column_field(line, kAtomName, 4);
        const std::string_view two = without_blanks(name.substr(0, 2));
        static constexpr std::array<std::string_view, 13> kOfTwoLetters{
            "LI", "BE", "NA", "MG", "AL", "SI", "CL", "CA", "FE", "CU", "ZN", "SE", "BR"};
        for (const std::string_view known : kOfTwoLetters)
            if (two == known) return element_of_symbol(known);
        return element_of_name(name, 0);
    }

    // Beyond 9999 some programs write letters (hybrid-36) or begin again; the order of atoms counts.
    int residue_number(std::string_view field) {
        long long number = 0;
        if (parse_integer(field, number)) return static_cast<int>(number);
        const std::string_view text = without_blanks(field);
        if (text.size() == 4 && ((text[0] >= 'A' && text[0] <= 'Z') || (text[0] >= 'a' && text[0] <= 'z')))
            return 10000 + static_cast<int>(at(atoms_));
        if (text.empty()) return 1;
        file_.refuse(line_, "the residue's number " + quote_field(field) + " in columns 23 to 26 is none");
    }

    bool first_of_its_place(const Atom& atom, std::string_view insertion) {
        return places_
            .insert(atom.chain + "/" + std::to_string(atom.residue_number) + std::string(insertion) + "/" +
                    atom.residue + "/" + atom.name)
            .second;
    }

    void end_model() {
        if (atoms_ == 0) file_.refuse(line_, "a model without atoms; leave it out");
        if (pdb_.models > 0 && atoms_ != std::ssize(pdb_.atoms))
            file_.refuse(line_, "the model has " + std::to_string(atoms_) + " atoms, the first " +
                                    std::to_string(pdb_.atoms.size()) +
                                    "; all models must have the same atoms");
        ++pdb_.models;
        atoms_ = 0;
        places_.clear();
    }

    void note_box(std::string_view line) {
        double edge = 0;
        if (pdb_.notes.empty() && parse_number(column_field(line, 6, 9), edge) && edge > 1)
            pdb_.notes.push_back(file_.path().string() + ": the periodic box (CRYST1) is left out");
    }

    const TextFile& file_;
    Pdb pdb_;
    std::set<std::string> places_;
    index line_ = 0, atoms_ = 0;
    bool in_model_ = false, alternates_ = false;
};

// Names begin in the second of four columns, but for long names and elements of two letters.
std::string name_in_columns(const Atom& atom) {
    const std::string name = atom.name.substr(0, 4);
    const bool wide = name.size() == 4 || (atom.element > 0 && symbol_of_element(atom.element).size() == 2);
    return wide ? name : " " + name;
}

}  // namespace

Pdb read_pdb(const TextFile& file) { return PdbReader(file).read(); }

std::string format_pdb(const Molecule& molecule, const double* position, const std::string& remark) {
    std::string text = remark.empty() ? "" : "REMARK   1 " + remark.substr(0, 68) + "\n";
    char line[128];
    for (index i = 0; i < molecule.size(); ++i) {
        const Atom& atom = molecule.atoms[at(i)];
        for (index d = 0; d < 3; ++d)
            if (!(position[3 * i + d] > -99.9 && position[3 * i + d] < 999.9))
                throw InputError(atom_label(molecule, i) +
                                 " is beyond the 1000 nm that a PDB file can hold; move it to the origin");
        const std::string name = atom.name.empty() ? symbol_of_element(atom.element) : name_in_columns(atom);
        std::string symbol = atom.element > 0 ? symbol_of_element(atom.element) : "";
        for (char& c : symbol) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
        std::snprintf(line, sizeof line,
                      "ATOM  %5lld %-4.4s %-3.4s%s%1.1s%4d    %8.3f%8.3f%8.3f%6.2f%6.2f          %2.2s\n",
                      (i + 1) % 100000, name.c_str(), atom.residue.empty() ? "MOL" : atom.residue.c_str(),
                      atom.residue.size() > 3 ? "" : " ", atom.chain.empty() ? "A" : atom.chain.c_str(),
                      ((atom.residue_number % 10000) + 10000) % 10000, 10 * position[3 * i],
                      10 * position[3 * i + 1], 10 * position[3 * i + 2], 1.0, 0.0, symbol.c_str());
        text += line;
    }
    text += "TER\n";
    // Bonds, which viewers would have to guess otherwise.
    std::map<index, std::vector<index>> neighbours;
    for (const auto& [a, b] : molecule.bonded) {
        neighbours[a].push_back(b);
        neighbours[b].push_back(a);
    }
    if (molecule.size() < 100000)
        for (const auto& [a, others] : neighbours)
            for (std::size_t k = 0; k < others.size(); ++k) {
                if (k % 4 == 0) {
                    std::snprintf(line, sizeof line, "%sCONECT%5lld", k ? "\n" : "", a + 1);
                    text += line;
                }
                std::snprintf(line, sizeof line, "%5lld%s", others[k] + 1,
                              k + 1 == others.size() ? "\n" : "");
                text += line;
            }
    return text + "END\n";
}

}  // namespace microlift
