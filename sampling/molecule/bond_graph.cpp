#include "sampling/molecule/bond_graph.h"

namespace microlift {

BondGraph::BondGraph(const Molecule& molecule) : of_(at(molecule.size())) {
    for (const auto& [a, b] : molecule.bonded) {
        of_[at(a)].push_back(b);
        of_[at(b)].push_back(a);
    }
}

std::vector<index> BondGraph::side(index from, index to) const {
    std::vector<bool> seen(of_.size(), false);
    std::vector<index> reached{to};
    seen[at(to)] = true;
    for (std::size_t next = 0; next < reached.size(); ++next)
        for (const index other : of(reached[next])) {
            if (reached[next] == to && other == from) continue;
            if (other == from) return {};
            if (seen[at(other)]) continue;
            seen[at(other)] = true;
            reached.push_back(other);
        }
    return reached;
}

}  // namespace microlift
