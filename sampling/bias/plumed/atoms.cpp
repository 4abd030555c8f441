#include "sampling/bias/plumed/atoms.h"

#include <algorithm>
#include <optional>

#include "engine/at.h"
#include "sampling/molecule/files/text_file.h"

namespace microlift {

namespace {

constexpr std::size_t kMostNamed = 4096;  // atoms in one list

// "2", "A2", "A_2" behind the dash of "@phi-2".
struct ResidueName {
    std::string chain;  // empty: the first
    index number = 0;
};

std::optional<ResidueName> residue_of(std::string_view text) {
    ResidueName residue;
    std::size_t digits = text.find('_');
    if (digits != std::string_view::npos) {
        residue.chain = text.substr(0, digits++);
    } else {
        digits = std::min(text.find_first_of("-0123456789"), text.size());
        residue.chain = text.substr(0, digits);
    }
    long long number = 0;
    if (!parse_integer(text.substr(digits), number)) return std::nullopt;
    residue.number = number;
    return residue;
}

// One atom of a shortcut: its name, and how many residues further it is.
struct ShortcutAtom {
    const char* name;
    int further = 0;
};

std::vector<ShortcutAtom> atoms_of_shortcut(const std::string& shortcut, const std::string& residue) {
    if (shortcut == "phi") return {{"C", -1}, {"N"}, {"CA"}, {"C"}};
    if (shortcut == "psi") return {{"N"}, {"CA"}, {"C"}, {"N", 1}};
    if (shortcut == "omega") return {{"CA", -1}, {"C", -1}, {"N"}, {"CA"}};
    if (shortcut != "chi1" || residue == "ALA" || residue == "GLY") return {};
    const char* gamma = residue == "ILE" || residue == "VAL" ? "CG1"
                        : residue == "CYS"                   ? "SG"
                        : residue == "THR"                   ? "OG1"
                        : residue == "SER"                   ? "OG"
                                                             : "CG";
    return {{"N"}, {"CA"}, {"CB"}, {gamma}};
}

class AtomList {
public:
    AtomList(const PlumedSettings& settings, std::string_view key, const PlumedNames& names, index atoms)
        : settings_(settings), key_(key), names_(names), atoms_(atoms) {}

    std::vector<index> read() {
        for (const std::string& part : settings_.parts(key_)) {
            if (part[0] == '@')
                add_shortcut(part.substr(1));
            else if (!add_group(part))
                add_numbers(part);
            if (list_.size() > kMostNamed)
                settings_.wrong(key_, "key '" + key_ + "' names more than " + std::to_string(kMostNamed) + " atoms",
                                "name fewer");
        }
        return std::move(list_);
    }

private:
    void add(index number, const std::string& part) {
        if (number < 1 || number > atoms_)
            settings_.wrong(key_,
                            "key '" + key_ + "' names atom " + std::to_string(number) +
                                (part == std::to_string(number) ? "" : " ('" + printable(part, 40) + "')") +
                                ", and the molecule has " + std::to_string(atoms_),
                            "count atoms from 1, as PLUMED does");
        list_.push_back(number - 1);
    }

    bool add_group(const std::string& part) {
        for (const auto& [name, atoms] : names_.groups) {
            if (name != part) continue;
            list_.insert(list_.end(), atoms.begin(), atoms.end());
            return true;
        }
        return false;
    }

    [[noreturn]] void no_atoms(const std::string& part) const {
        settings_.wrong(
            key_, "'" + printable(part, 40) + "' in '" + key_ + "' is no atom and no label of a GROUP before it",
            "give numbers from 1, ranges such as 1-9 or 1-9:2, or shortcuts of MOLINFO; centres of atoms are not read");
    }

    void add_numbers(const std::string& part) {
        const std::size_t dash = part.find('-', 1), colon = part.find(':');
        long long first = 0, last = 0, step = 1;
        const std::string_view text = part;
        bool good = parse_integer(text.substr(0, std::min(dash, colon)), first);
        last = first;
        if (dash != std::string::npos)
            good =
                good && dash < colon && parse_integer(text.substr(dash + 1, colon - std::min(colon, dash + 1)), last);
        if (colon != std::string::npos) good = good && dash < colon && parse_integer(text.substr(colon + 1), step);
        if (!good || step == 0 || step > kMostAtoms || step < -kMostAtoms) no_atoms(part);
        add(first, part);
        add(last, part);
        list_.pop_back();  // both ends were looked at
        if (step > 0 ? last < first : last > first)
            settings_.wrong(key_, "the range '" + printable(part, 40) + "' in '" + key_ + "' is empty",
                            "let it rise, or give a negative step");
        for (index n = first + step; step > 0 ? n <= last : n >= last; n += step) {
            add(n, part);
            if (list_.size() > kMostNamed) return;
        }
    }

    const PlumedAtom* find(const std::string& name, const ResidueName& residue, index number) const {
        const auto found = std::ranges::find_if(names_.residues, [&](const PlumedAtom& atom) {
            return atom.name == name && atom.residue_number == number &&
                   (residue.chain.empty() || atom.chain == residue.chain);
        });
        return found == names_.residues.end() ? nullptr : &*found;
    }

    void add_shortcut(const std::string& text) {
        const std::size_t dash = text.find('-');
        const std::optional<ResidueName> residue =
            dash == std::string::npos ? std::nullopt : residue_of(std::string_view(text).substr(dash + 1));
        const std::string name = text.substr(0, dash), shown = "'@" + printable(text, 40) + "' in '" + key_ + "'";
        if (!residue)
            settings_.wrong(key_, shown + " is no shortcut that is read",
                            "write @phi-2, @psi-2, @omega-2, @chi1-2, or an atom of a residue such as @CA-2");
        if (names_.residues.empty())
            settings_.wrong(key_, shown + " is a residue's, and no MOLINFO stands before it",
                            "give MOLINFO STRUCTURE=….pdb first, or numbers of atoms");
        const PlumedAtom* own = nullptr;
        for (const PlumedAtom& atom : names_.residues)
            if (!own && atom.residue_number == residue->number &&
                (residue->chain.empty() || atom.chain == residue->chain))
                own = &atom;
        if (!own)
            settings_.wrong(key_,
                            shown + " names residue " + std::to_string(residue->number) +
                                ", and MOLINFO's structure has none of that number",
                            "see the residues in that file");
        std::vector<ShortcutAtom> wanted = atoms_of_shortcut(name, own->residue);
        if (wanted.empty()) wanted = {{name.c_str()}};
        for (const ShortcutAtom& atom : wanted) {
            const PlumedAtom* found = find(atom.name, *residue, residue->number + atom.further);
            if (!found)
                settings_.wrong(key_,
                                shown + " needs atom " + printable(atom.name, 40) + " of residue " +
                                    std::to_string(residue->number + atom.further) +
                                    ", which MOLINFO's structure lacks",
                                "write @phi-2, @psi-2, @omega-2, @chi1-2, or an atom of a residue such as @CA-2");
            add(found->number, "@" + text);
        }
    }

    const PlumedSettings& settings_;
    std::string key_;
    const PlumedNames& names_;
    index atoms_;
    std::vector<index> list_;
};

}  // namespace

std::vector<PlumedAtom> read_plumed_pdb(const std::filesystem::path& path) {
    const TextFile file(path);
    std::vector<PlumedAtom> atoms;
    for (index i = 0; i < file.size(); ++i) {
        const std::string_view line = file.line(i);
        const std::string_view record = without_blanks(line.substr(0, 6));
        if (record == "END" || record == "ENDMDL") break;
        if (record != "ATOM" && record != "HETATM") continue;
        PlumedAtom atom;
        long long number = 0, residue = 0;
        if (!parse_integer(column_field(line, 6, 5), number) || number < 1)
            file.refuse(i, "columns 7 to 11 have no number of an atom; give PLUMED's PDB, which counts from 1");
        if (!parse_integer(column_field(line, 22, 4), residue))
            file.refuse(i, "columns 23 to 26 have no number of a residue");
        atom.number = number;
        atom.residue_number = residue;
        atom.name = without_blanks(column_field(line, 12, 4));
        atom.residue = without_blanks(column_field(line, 17, 4));
        atom.chain = without_blanks(column_field(line, 21, 1));
        for (std::size_t d = 0; d < 3; ++d) {
            if (!parse_number(column_field(line, 30 + 8 * d, 8), atom.place[d]))
                file.refuse(i, "a coordinate is not a number");
            atom.place[d] *= 0.1;
        }
        parse_number(column_field(line, 54, 6), atom.align);
        parse_number(column_field(line, 60, 6), atom.displace);
        atoms.push_back(std::move(atom));
        if (std::ssize(atoms) > kMostAtoms) file.refuse(i, "there are too many atoms; give the molecule alone");
    }
    if (atoms.empty()) file.refuse("it has no ATOM or HETATM record; give a PDB file");
    return atoms;
}

std::filesystem::path plumed_file(const PlumedSettings& settings, std::string_view key,
                                  const std::filesystem::path& folder) {
    const std::filesystem::path file = folder / settings.text(key);
    std::error_code ignored;
    if (!std::filesystem::is_regular_file(file, ignored))
        settings.wrong(key,
                       "key '" + std::string(key) + "' names the file '" + printable(file.string(), 200) +
                           "', which does not exist",
                       "give its path from the folder of the input");
    return file;
}

std::vector<index> plumed_atoms(const PlumedSettings& settings, std::string_view key, const PlumedNames& names,
                                index atoms) {
    return AtomList(settings, key, names, atoms).read();
}

}  // namespace microlift
