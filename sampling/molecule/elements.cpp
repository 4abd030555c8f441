#include "sampling/molecule/elements.h"

#include <array>
#include <cctype>
#include <cmath>

#include "engine/at.h"
#include "engine/error.h"

namespace microlift {

namespace {

constexpr std::array<const char*, 119> kElementSymbols{
    "X",  "H",  "He", "Li", "Be", "B",  "C",  "N",  "O",  "F",  "Ne", "Na", "Mg", "Al", "Si", "P",  "S",
    "Cl", "Ar", "K",  "Ca", "Sc", "Ti", "V",  "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As",
    "Se", "Br", "Kr", "Rb", "Sr", "Y",  "Zr", "Nb", "Mo", "Tc", "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn",
    "Sb", "Te", "I",  "Xe", "Cs", "Ba", "La", "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho",
    "Er", "Tm", "Yb", "Lu", "Hf", "Ta", "W",  "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po",
    "At", "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U",  "Np", "Pu", "Am", "Cm", "Bk", "Cf", "Es", "Fm", "Md",
    "No", "Lr", "Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh", "Fl", "Mc", "Lv", "Ts", "Og"};

struct ElementMass {
    int element;
    double mass;  // u
};

// Of what force fields know.
constexpr std::array<ElementMass, 23> kElementMasses{
    {{1, 1.008},   {3, 6.94},    {4, 9.012},   {5, 10.81},   {6, 12.011},  {7, 14.007},
     {8, 15.999},  {9, 18.998},  {11, 22.990}, {12, 24.305}, {13, 26.982}, {14, 28.086},
     {15, 30.974}, {16, 32.06},  {17, 35.45},  {19, 39.098}, {20, 40.078}, {26, 55.845},
     {29, 63.546}, {30, 65.38},  {34, 78.971}, {35, 79.904}, {53, 126.904}}};

}  // namespace

int element_of_symbol(std::string_view symbol) {
    if (symbol.empty() || symbol.size() > 2) return 0;
    if (symbol == "D" || symbol == "d") return 1;
    for (std::size_t z = 1; z < kElementSymbols.size(); ++z) {
        const std::string_view known = kElementSymbols[z];
        if (known.size() != symbol.size()) continue;
        bool same = true;
        for (std::size_t i = 0; i < known.size(); ++i)
            same = same && std::toupper(static_cast<unsigned char>(known[i])) ==
                               std::toupper(static_cast<unsigned char>(symbol[i]));
        if (same) return static_cast<int>(z);
    }
    return 0;
}

std::string symbol_of_element(int element) {
    const bool known = element > 0 && element < static_cast<int>(kElementSymbols.size());
    return kElementSymbols[known ? at(element) : 0];
}

int element_of_mass(double mass) {
    for (const ElementMass& known : kElementMasses)
        // Closer than a united atom (CH2, 14.027) is to nitrogen.
        if (std::fabs(mass - known.mass) < (known.mass < 36 ? 0.015 : 0.1)) return known.element;
    return 0;
}

int element_of_name(std::string_view name, double mass) {
    while (!name.empty() && !std::isalpha(static_cast<unsigned char>(name[0]))) name.remove_prefix(1);
    const int long_symbol = element_of_symbol(name.substr(0, 2));
    for (const ElementMass& known : kElementMasses)
        if (long_symbol == known.element && name.size() > 1 && std::fabs(mass - known.mass) < 0.3)
            return long_symbol;
    return element_of_symbol(name.substr(0, 1));
}

bool is_hydrogen(const Molecule& molecule, index atom) {
    const Atom& a = molecule.atoms[at(atom)];
    if (a.element > 0) return a.element == 1;
    constexpr double kHeaviestHydrogen = 5;  // u, with mass from its neighbour
    if (a.mass > kHeaviestHydrogen) return false;
    throw InputError(atom_label(molecule, atom) + " of " + std::to_string(a.mass) +
                     " u: whether it is a hydrogen is not known; give coordinates as a PDB file with "
                     "elements");
}

std::string atom_label(const Molecule& molecule, index atom) {
    const Atom& a = molecule.atoms[at(atom)];
    if (a.name.empty()) return "atom " + std::to_string(atom);
    return a.residue + (a.residue.empty() ? "" : std::to_string(a.residue_number) + ":") + a.name;
}

}  // namespace microlift
