#include "sampling/model/molecule_variable.h"

#include <algorithm>
#include <optional>

#include "engine/at.h"
#include "engine/error.h"

namespace microlift {

namespace {

MoleculeVariable plain_variable(const CvVariable& cv, MoleculeCvKind kind) {
    MoleculeVariable variable{kind, cv.atoms, cv.middle};
    variable.others = cv.others;
    variable.range = cv.range;
    variable.by_mass = cv.by_mass;
    variable.reference = cv.reference;
    return variable;
}

std::string trimmed(const std::string& text) {
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    if (first == std::string::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t\r\n") + 1 - first);
}

// What a formula is made of: named quantities, geometry of plain coordinates under names of its own, and
// coordinates.
class Parts {
public:
    explicit Parts(const std::vector<std::string>& coordinates) : coordinates_(coordinates) {}

    void add(const std::string& name, MoleculeVariable variable) {
        names_.push_back(name);
        variables_.push_back(std::move(variable));
    }

    // The text with such geometry by name.
    std::string shorten(const std::string& text) {
        std::string out = text;
        for (const auto& [function, kind] : {std::pair{"distance", MoleculeCvKind::distance},
                                             std::pair{"angle", MoleculeCvKind::angle},
                                             std::pair{"dihedral", MoleculeCvKind::dihedral}})
            for (std::size_t from = 0; (from = out.find(std::string(function) + "(", from)) != std::string::npos;) {
                const std::size_t open = from + std::string(function).size(), close = out.find(')', open);
                const std::optional<std::vector<index>> atoms =
                    close == std::string::npos ? std::nullopt
                                               : atoms_of(out.substr(open + 1, close - open - 1));
                if (!atoms || std::ssize(*atoms) != cv_atoms(kind)) {
                    from = open;
                    continue;
                }
                const std::string name = name_of(kind, *atoms);
                out.replace(from, close + 1 - from, name);
                from += name.size();
            }
        return out;
    }

    // Those that `use` reads, as quantities of the formula.
    template <class Use>
    void keep_used(const Use& use, MoleculeVariable& formula) {
        Symbols all{names_, {}};
        all.variables.insert(all.variables.end(), coordinates_.begin(), coordinates_.end());
        Expressions graph;
        const NodeId value = use(graph, all);
        std::vector<bool> used(all.variables.size(), false);
        for (const NodeId id : graph.reachable({&value, 1}))
            if (graph.node(id).op == Op::variable) used[at(graph.node(id).a)] = true;
        for (std::size_t k = 0; k < used.size(); ++k) {
            if (!used[k]) continue;
            formula.names.push_back(all.variables[k]);
            formula.of.push_back(k < names_.size() ? variables_[k] : coordinate(k - names_.size()));
        }
    }

private:
    static MoleculeVariable coordinate(std::size_t number) {
        MoleculeVariable variable{MoleculeCvKind::coordinate, {static_cast<index>(number / 3)}};
        variable.axis = static_cast<int>(number % 3);
        return variable;
    }
    // Of "x4, y4, z4, x6, …"; nothing of anything else.
    std::optional<std::vector<index>> atoms_of(const std::string& arguments) const {
        std::vector<index> atoms;
        std::size_t from = 0;
        for (std::size_t k = 0; from <= arguments.size(); ++k) {
            const std::size_t comma = std::min(arguments.find(',', from), arguments.size());
            const std::string name = trimmed(arguments.substr(from, comma - from));
            const auto found = std::ranges::find(coordinates_, name);
            if (found == coordinates_.end()) return std::nullopt;
            const auto number = static_cast<std::size_t>(found - coordinates_.begin());
            if (number % 3 != k % 3) return std::nullopt;
            if (k % 3 == 0) atoms.push_back(static_cast<index>(number / 3));
            if (atoms.back() != static_cast<index>(number / 3)) return std::nullopt;
            from = comma + 1;
        }
        return atoms;
    }
    std::string name_of(MoleculeCvKind kind, const std::vector<index>& atoms) {
        for (std::size_t k = 0; k < own_.size(); ++k)
            if (own_[k].first == kind && own_[k].second == atoms) return own_name(k);
        own_.emplace_back(kind, atoms);
        add(own_name(own_.size() - 1), {kind, atoms});
        return own_name(own_.size() - 1);
    }
    // Such as no configuration can have.
    static std::string own_name(std::size_t k) { return "_geometry_" + std::to_string(k); }

    const std::vector<std::string>& coordinates_;
    std::vector<std::string> names_;
    std::vector<MoleculeVariable> variables_;
    std::vector<std::pair<MoleculeCvKind, std::vector<index>>> own_;
};

}  // namespace

MoleculeVariable molecule_variable(const CvVariable& cv, const std::vector<std::string>& coordinates,
                                   const std::shared_ptr<const LearnedCoordinates>& learned) {
    if (const std::optional<MoleculeCvKind> kind = molecule_cv_kind(cv.kind)) return plain_variable(cv, *kind);
    MoleculeVariable formula{MoleculeCvKind::formula, {}, cv.middle};
    formula.period = cv.round ? cv.period : 0;
    Parts parts(coordinates);
    for (const CvVariable& own : cv.of) parts.add(own.name, plain_variable(own, molecule_cv_kind(own.kind).value()));
    if (learned) {
        LearnedCoordinates own = *learned;
        for (std::string& feature : own.features) feature = parts.shorten(feature);
        formula.build = [own, k = cv.coordinate](Expressions& graph, const Symbols& symbols) {
            return own.build(graph, symbols, k);
        };
        parts.keep_used(formula.build, formula);
    } else {
        formula.formula = parts.shorten(cv.text);
        parts.keep_used(
            [&](Expressions& graph, const Symbols& symbols) { return parse_formula(graph, formula.formula, symbols); },
            formula);
    }
    return formula;
}

}  // namespace microlift
