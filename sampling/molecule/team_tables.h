// What teams of lanes need beyond the tables of one lane (kernels/molecule/team.h): which items lanes take at a time,
// and pairs in the order in which lanes meet them.
#pragma once

#include "kernels/molecule/team.h"
#include "sampling/molecule/force_tables.h"

namespace microlift {

class TeamTables {
public:
    // `tables` are the molecule's, on the stream's device, and stay there; lanes: of a team.
    TeamTables(Stream& stream, const Molecule& molecule, const ForceTables<float>& tables, int lanes);
    const ForceView<float>& view() const { return view_; }  // for teams alone
    const TeamView& team() const { return team_; }

private:
    Turns keep(Stream& stream, const std::vector<int32>& items);

    std::vector<Buffer<int32>> numbers_;
    Buffer<TileEntry<float>> tile_entries_;
    Buffer<BornPair<float>> born_pairs_;
    Buffer<NeckPair<float>> neck_pairs_;
    ForceView<float> view_;
    TeamView team_;
};

}  // namespace microlift
