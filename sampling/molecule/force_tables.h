// The force field of a molecule as the tables that kernels run through (kernels/molecule/force_view.h), on
// a device.
#pragma once

#include <vector>

#include "engine/device/buffer.h"
#include "kernels/molecule/force_view.h"
#include "sampling/molecule/molecule.h"

namespace microlift {

// The tables on the host.
template <class T>
struct ForceArrays {
    std::vector<EdgeEntry<T>> edges;
    std::vector<EdgePulls> pulls;
    std::vector<EdgePull> pull;
    std::vector<CornerEntry<T>> corners;
    std::vector<TorsionEntry<T>> torsions;
    std::vector<PeriodicEntry<T>> periodics;
    std::vector<CmapEntry<T>> cmaps;
    std::vector<T> maps;
    std::vector<RowTile> tiles;
    std::vector<TileEntry<T>> tile_entries;
    std::vector<PairEntry<T>> singles;
    std::vector<RestraintEntry<T>> restraints;
    std::vector<BornAtom<T>> born;
    std::vector<BornPair<T>> born_pairs;
    std::vector<NeckPair<T>> neck_pairs;
    ForceView<T> counts;  // all but the pointers
};

template <class T>
ForceArrays<T> flatten(const Molecule& molecule);

template <class T>
class ForceTables {
public:
    ForceTables(Stream& stream, const Molecule& molecule);
    const ForceView<T>& view() const { return view_; }

private:
    template <class Entry>
    const Entry* keep(Stream& stream, Buffer<Entry>& buffer, const std::vector<Entry>& entries);

    Buffer<EdgeEntry<T>> edges_;
    Buffer<EdgePulls> pulls_;
    Buffer<EdgePull> pull_;
    Buffer<CornerEntry<T>> corners_;
    Buffer<TorsionEntry<T>> torsions_;
    Buffer<PeriodicEntry<T>> periodics_;
    Buffer<CmapEntry<T>> cmaps_;
    Buffer<T> maps_;
    Buffer<RowTile> tiles_;
    Buffer<TileEntry<T>> tile_entries_;
    Buffer<PairEntry<T>> singles_;
    Buffer<RestraintEntry<T>> restraints_;
    Buffer<BornAtom<T>> born_;
    Buffer<BornPair<T>> born_pairs_;
    Buffer<NeckPair<T>> neck_pairs_;
    ForceView<T> view_;
};

extern template class ForceTables<float>;
extern template class ForceTables<double>;

}  // namespace microlift
