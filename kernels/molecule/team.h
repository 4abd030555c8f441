// Who works on a replica: one lane alone, or a team of lanes of a warp, which share its rows (CUDA). A team takes every
// sum in the order in which one lane takes it, so that no bit depends on how many lanes it has.
#pragma once

#include "kernels/molecule/force_view.h"

namespace microlift {

// Items that add to rows, by turns: those of one turn have no row in common, and each comes after all before it that
// share a row with it. One for each lane, -1 where there is none.
struct Turns {
    int32 turns = 0;
    const int32* item = nullptr;  // (turn, lane)
};

struct TeamView {
    int32 lanes = 1;
    Turns torsions, periodics, cmaps, pulls, singles;
    // Two atoms with all later ones are a lane's for as many rounds as there are later ones (team_pairs.h).
    int32 rounds = 0;
    const int32* start = nullptr;  // the first round of each two
};

// In both `for (int32 n = team.lane(); n < count; n += team.lanes())` shares what no two lanes write, and
// `for (auto turn = team.in_turns(&TeamView::torsions, count); turn.more(); turn.next())` what they add to.
struct OneLane {
    static constexpr bool kAlone = true;
    LANE_FN int32 lane() const { return 0; }
    LANE_FN int32 lanes() const { return 1; }
    LANE_FN bool leads() const { return true; }
    LANE_FN void sync() const {}
    template <class Mask>
    LANE_FN Mask any_of(Mask p) const {
        return p;
    }
    struct InTurns {
        int32 n, count;
        LANE_FN bool more() const { return n < count; }
        LANE_FN bool idle() const { return false; }
        LANE_FN int32 item() const { return n; }
        LANE_FN void next() { ++n; }
    };
    LANE_FN InTurns in_turns(Turns TeamView::*, int32 count) const { return {0, count}; }
};

class LaneTeam {
public:
    static constexpr bool kAlone = false;
    LANE_FN LaneTeam(const TeamView& view, int32 lane) : view_(view), lane_(lane) {}
    LANE_FN const TeamView& view() const { return view_; }
    LANE_FN int32 lane() const {
        int32 lane = lane_;
#if defined(__CUDA_ARCH__)
        // Else the compiler keeps where a lane begins in each table for the whole loop over steps, which takes more
        // registers than there are.
        asm volatile("" : "+r"(lane));
#endif
        return lane;
    }
    LANE_FN int32 lanes() const { return view_.lanes; }
    LANE_FN bool leads() const { return lane_ == 0; }
    // What lanes wrote into rows, all of the warp see: its teams go through the same steps side by side.
    static LANE_FN void sync() {
#if defined(__CUDA_ARCH__)
        __syncwarp();
#endif
    }
    LANE_FN bool any_of(bool p) const {
#if defined(__CUDA_ARCH__)
        const uint32 of_one = 0xffffffffu >> (32 - view_.lanes);
        return (__ballot_sync(0xffffffffu, p) >> (threadIdx.x % 32 - static_cast<uint32>(lane_)) & of_one) != 0;
#else
        return p;
#endif
    }
    struct InTurns {
        const int32 *at, *end;
        int32 lanes;
        LANE_FN bool more() const { return at < end; }
        LANE_FN bool idle() const { return *at < 0; }
        LANE_FN int32 item() const { return *at; }
        LANE_FN void next() {
            at += lanes;
            sync();
        }
    };
    LANE_FN InTurns in_turns(Turns TeamView::*which, int32) const {
        const Turns& t = view_.*which;
        return {t.item + lane(), t.item + t.turns * view_.lanes, view_.lanes};
    }

private:
    const TeamView& view_;
    int32 lane_;
};

}  // namespace microlift
