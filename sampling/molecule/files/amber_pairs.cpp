#include "sampling/molecule/files/amber_pairs.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/at.h"
#include "sampling/molecule/elements.h"

namespace microlift {

namespace {

constexpr std::size_t kMostExceptions = 20'000'000;

using AtomPair = std::array<index, 2>;
using ExceptionMap = std::map<AtomPair, PairException>;

AtomPair ordered(index i, index j) { return {std::min(i, j), std::max(i, j)}; }

struct PairLaw {
    double sigma = 0, epsilon = 0;  // Å, kcal/mol
};

// The coefficients A/r¹² − B/r⁶ of each pair of types.
class AmberTypes {
public:
    AmberTypes(const PrmtopSections& sections, const AmberPairCounts& counts)
        : sections_(sections), types_(counts.types) {
        const index pairs = types_ * (types_ + 1) / 2;
        place_ = sections.integers("NONBONDED_PARM_INDEX", types_ * types_, "NTYPES of POINTERS");
        a_ = sections.numbers("LENNARD_JONES_ACOEF", pairs, "NTYPES of POINTERS");
        b_ = sections.numbers("LENNARD_JONES_BCOEF", pairs, "NTYPES of POINTERS");
        for (index i = 0; i < static_cast<index>(place_.size()); ++i)
            if (place_[at(i)] > pairs)
                sections.refuse("NONBONDED_PARM_INDEX",
                                std::to_string(place_[at(i)]) + " is beyond the " +
                                    std::to_string(pairs) + " coefficients of LENNARD_JONES_ACOEF",
                                i);
        for (index k = 0; k < pairs; ++k) check(k);
    }

    PairLaw law(index type1, index type2) const {
        const long long k = place_[at(types_ * type1 + type2)] - 1;
        if (k < 0 || a_[at(k)] == 0) return {};  // a 10–12 pair, whose coefficients are zero
        const double a = a_[at(k)], b = b_[at(k)];
        return {std::pow(a / b, 1.0 / 6), b * b / (4 * a)};
    }

    // Whether the pair's coefficients are those that the mixing rule gives.
    bool mixes(index type1, index type2) const {
        const PairLaw one = law(type1, type1), two = law(type2, type2), both = law(type1, type2);
        const double sigma6 = std::pow((one.sigma + two.sigma) / 2, 6);
        const double b = 4 * std::sqrt(one.epsilon * two.epsilon) * sigma6, a = b * sigma6;
        const double own6 = std::pow(both.sigma, 6);
        const double own_b = 4 * both.epsilon * own6, own_a = own_b * own6;
        constexpr double kRounding = 1e-6;  // OpenMM's; eight digits stand in the file
        return std::fabs(own_a - a) <= kRounding * own_a && std::fabs(own_b - b) <= kRounding * own_b;
    }

private:
    void check(index k) const {
        const double a = a_[at(k)], b = b_[at(k)];
        if ((a == 0 && b == 0) || (a > 0 && b > 0)) return;
        const bool of_a = a < 0 || (a == 0 && b > 0);
        sections_.refuse(of_a ? "LENNARD_JONES_ACOEF" : "LENNARD_JONES_BCOEF",
                         "coefficient " + std::to_string(k + 1) +
                             " has no minimum with its partner; both must be positive, or both zero",
                         k);
    }

    const PrmtopSections& sections_;
    index types_;
    std::vector<long long> place_;
    std::vector<double> a_, b_;
};

void refuse_hydrogen_bond_terms(const PrmtopSections& sections, index count) {
    if (count == 0) return;
    for (const char* flag : {"HBOND_ACOEF", "HBOND_BCOEF"}) {
        const std::vector<double> values = sections.numbers(flag, count, "NPHB of POINTERS");
        for (std::size_t i = 0; i < values.size(); ++i)
            if (values[i] != 0)
                sections.refuse(flag, "10-12 hydrogen bond terms are not supported; use a force field of "
                                      "AMBER 94 or later",
                                static_cast<index>(i));
    }
}

void add_end_pairs(const PrmtopSections& sections, const AmberPairCounts& counts,
                   const std::vector<AmberEndPair>& ends, const AmberTypes& types,
                   const std::vector<long long>& type_of, const Molecule& molecule, ExceptionMap& found) {
    const auto factors = [&](const char* flag, double usual) {
        return sections.has(flag) ? sections.numbers(flag, counts.torsion_kinds, "NPTRA of POINTERS")
                                  : std::vector<double>(at(counts.torsion_kinds), usual);
    };
    const std::vector<double> scee = factors("SCEE_SCALE_FACTOR", 1.2);
    const std::vector<double> scnb = factors("SCNB_SCALE_FACTOR", 2.0);
    for (const AmberEndPair& pair : ends) {
        const auto [i, j] = pair.atoms;
        const std::size_t kind = at(pair.torsion_kind);
        for (const auto& [flag, value] : {std::pair{"SCEE_SCALE_FACTOR", scee[kind]},
                                          std::pair{"SCNB_SCALE_FACTOR", scnb[kind]}})
            if (!(value > 0))
                sections.refuse(flag, "torsion kind " + std::to_string(kind + 1) +
                                          " scales a 1-4 pair and must be positive (1.2 and 2 are AMBER's)",
                                pair.torsion_kind);
        const PairLaw law = types.law(type_of[at(i)] - 1, type_of[at(j)] - 1);
        const AtomPair key = ordered(i, j);
        const PairException exception{
            key, molecule.atoms[at(i)].charge * molecule.atoms[at(j)].charge / scee[kind],
            law.sigma * kNanometre, law.epsilon * kKilojoule / scnb[kind]};
        if (!found.emplace(key, exception).second)
            sections.refuse(pair.flag,
                            "the 1-4 pair " + atom_label(molecule, i) + ", " + atom_label(molecule, j) +
                                " is counted twice; give the third atom of one torsion a minus sign",
                            pair.field);
    }
}

void add_exclusions(const PrmtopSections& sections, index listed, index n, ExceptionMap& found) {
    const std::vector<long long> number =
        sections.integers("NUMBER_EXCLUDED_ATOMS", n, "NATOM of POINTERS");
    const std::vector<long long> list =
        sections.integers("EXCLUDED_ATOMS_LIST", listed, "NNB of POINTERS");
    index next = 0;
    for (index i = 0; i < n; ++i) {
        const long long count = number[at(i)];
        if (count < 0 || count > listed - next)
            sections.refuse("NUMBER_EXCLUDED_ATOMS",
                            "atom " + std::to_string(i + 1) + " excludes " + std::to_string(count) +
                                " others, of which EXCLUDED_ATOMS_LIST has " +
                                std::to_string(listed - next) + " left",
                            i);
        const index end = next + count;
        for (; next < end; ++next) {
            const long long j = list[at(next)];
            if (j == 0) continue;  // stands where an atom excludes none
            if (j < 0 || j > n || j == i + 1)
                sections.refuse("EXCLUDED_ATOMS_LIST",
                                std::to_string(j) + " is no other atom; atoms are 1 to " +
                                    std::to_string(n),
                                next);
            const AtomPair key = ordered(i, j - 1);
            found.emplace(key, PairException{key, 0, 0, 0});
        }
    }
}

// NBFIX: pairs of types whose coefficients are their own.
void add_unmixed(const PrmtopSections& sections, const AmberTypes& types, index type_count,
                 const std::vector<long long>& type_of, const Molecule& molecule, ExceptionMap& found) {
    std::vector<std::vector<index>> members(at(type_count));
    for (index i = 0; i < molecule.size(); ++i) members[at(type_of[at(i)] - 1)].push_back(i);
    for (index t = 0; t < type_count; ++t)
        for (index u = 0; u <= t; ++u) {
            if (members[at(t)].empty() || members[at(u)].empty() || types.mixes(t, u)) continue;
            const PairLaw law = types.law(t, u);
            for (const index i : members[at(t)])
                for (const index j : members[at(u)]) {
                    if (i == j || (t == u && j > i)) continue;
                    const AtomPair key = ordered(i, j);
                    found.emplace(key, PairException{key,
                                                     molecule.atoms[at(i)].charge *
                                                         molecule.atoms[at(j)].charge,
                                                     law.sigma * kNanometre, law.epsilon * kKilojoule});
                    if (found.size() > kMostExceptions)
                        sections.refuse("LENNARD_JONES_ACOEF",
                                        "more than " + std::to_string(kMostExceptions) +
                                            " pairs do not follow the mixing rule (NBFIX); give a "
                                            "smaller molecule");
                }
        }
}

}  // namespace

void read_amber_pairs(const PrmtopSections& sections, const AmberPairCounts& counts,
                      const std::vector<AmberEndPair>& ends, Molecule& molecule) {
    const index n = molecule.size();
    const std::vector<long long> type_of =
        sections.integers("ATOM_TYPE_INDEX", n, "NATOM of POINTERS");
    for (index i = 0; i < n; ++i)
        if (type_of[at(i)] < 1 || type_of[at(i)] > counts.types)
            sections.refuse("ATOM_TYPE_INDEX",
                            std::to_string(type_of[at(i)]) + " is no type; types are 1 to " +
                                std::to_string(counts.types),
                            i);
    refuse_hydrogen_bond_terms(sections, counts.hydrogen_bonds);
    const AmberTypes types(sections, counts);
    for (index i = 0; i < n; ++i) {
        const PairLaw own = types.law(type_of[at(i)] - 1, type_of[at(i)] - 1);
        molecule.atoms[at(i)].sigma = own.sigma * kNanometre;
        molecule.atoms[at(i)].epsilon = own.epsilon * kKilojoule;
    }
    ExceptionMap found;
    add_end_pairs(sections, counts, ends, types, type_of, molecule, found);
    add_exclusions(sections, counts.excluded, n, found);
    add_unmixed(sections, types, counts.types, type_of, molecule, found);
    for (const auto& [atoms, exception] : found) molecule.exceptions.push_back(exception);
}

}  // namespace microlift
