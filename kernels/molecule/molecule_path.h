// The time loop of a molecule: a replica for a lane or for a team of lanes, its numbers in rows (kernels/lane/rows.h).
#pragma once

#include "kernels/molecule/forcefield.h"
#include "kernels/molecule/molecule_cv.h"
#include "kernels/molecule/molecule_motion.h"
#include "kernels/dynamics/path.h"
#include "kernels/random/normal_blocks.h"

namespace microlift {

// A molecule that nothing holds in space would leave what single precision resolves: its centre goes back
// to the origin after every so many steps.
inline constexpr uint64 kCentreEvery = 1024;

// A call on the CPU: one force field serves both places that need it.
template <class M, class L, class Team, class Rows>
LANE_CALL void forces_without_energies(const ForceView<float>& v, const Team& team, const Rows& rows) {
    NoEnergies<L> none;
    molecule_forces<M, L>(v, team, rows, none);
}

template <class M>
struct MoleculePathBody {
    static constexpr index kGrain = 1;  // a pack is a long piece of work
    ForceView<float> view;
    MotionView motion;
    MoleculeCvs cvs;
    PathArgs a;

    LANE_FN uint64 steps() const { return a.steps(); }

    // Normals are drawn in blocks of four when what stands on edges is not needed any more: they stand there.
    static LANE_FN int32 noise_blocks(int32 atoms) { return (3 * atoms + 3) / 4; }
    static LANE_FN int32 velocity_row(const ForceView<float>& view) {
        const int32 noise_end = view.edge_row() + 4 * noise_blocks(view.atoms) + 4;
        return noise_end > view.rows() ? noise_end : view.rows();
    }
    static LANE_FN int32 cv_row(const ForceView<float>& view) { return velocity_row(view) + 3 * view.atoms; }
    static LANE_FN int32 rows_of(const ForceView<float>& view, const MoleculeCvs& cvs) {
        int32 rows = cv_row(view);
        for (int k = 0; k < cvs.count; ++k) rows += cvs.cv[k].rows();
        return rows;
    }

    template <class L, class Rows>
    LANE_FN void operator()(L, index i, int lanes, const Rows& rows) const {
        run<L>(i, lanes, OneLane{}, rows);
    }

    template <class L, class Team, class Rows>
    LANE_FN void run(index i, int lanes, const Team& team, const Rows& rows) const {
        const MotionRows at{view.force_row(), velocity_row(view), view.edge_row()};
        for (int32 r = team.lane(); r < 3 * view.atoms; r += team.lanes()) {
            rows[r] = load<L>(a.x + r * a.trajectories, i, lanes);
            rows[at.velocity + r] = load<L>(a.v + r * a.trajectories, i, lanes);
        }
        team.sync();
        const NormalBlocks<L> rng(a.seed, a.stream, a.first_trajectory + i);
        const bool baoab = motion.scheme == MoleculeScheme::baoab;
        const uint64 end = a.first_step + a.steps();
        uint64 step = a.first_step, sampled = step;
        // Forces stand in one place, as they are most of the code: there a step begins and one of BAOAB ends.
        for (index column = i;;) {
            if (baoab || step != end) forces<L>(team, rows, i, lanes);
            if (baoab && step != a.first_step) end_baoab<M, L>(motion, at, team, rows);
            if (step == end) break;
            move<L>(rng, step++, at, team, rows);
            if (step - sampled != a.stride) continue;
            end_segment<L>(team, rows, i, lanes, step, column);
            sampled = step;
            column += a.trajectories;
        }
        for (int32 r = team.lane(); r < 3 * view.atoms; r += team.lanes()) {
            store(a.x + r * a.trajectories, i, L(rows[r]), lanes);
            store(a.v + r * a.trajectories, i, L(rows[at.velocity + r]), lanes);
        }
    }

private:
    // Two blocks at a time. Where their number is odd, the last one alone; on CUDA, where the code for it would take
    // registers from the other, with one that is not used.
    template <int Rounds, class L, class Team, class Rows>
    LANE_FN void draw_normals(const NormalBlocks<L>& rng, uint64 step, const Team& team, const Rows& noise) const {
        constexpr int32 kAlone = kWidth<L> > 1 ? 1 : 0;
        const int32 blocks = noise_blocks(view.atoms);
        const uint64 first = step * static_cast<uint64>(blocks);
        int32 b = 2 * team.lane();
        for (; b + kAlone < blocks; b += 2 * team.lanes()) draw_blocks<Rounds, 2>(rng, first, b, noise);
        if constexpr (kAlone > 0)
            if (b < blocks) draw_blocks<Rounds, 1>(rng, first, b, noise);
        team.sync();
    }
    template <int Rounds, int Blocks, class L, class Rows>
    LANE_FN void draw_blocks(const NormalBlocks<L>& rng, uint64 first, int32 b, const Rows& noise) const {
        L z[Blocks][4];
        rng.template draw<M, Rounds>(first + static_cast<uint64>(b), z);
LANE_UNROLL
        for (int k = 0; k < 4 * Blocks; ++k) noise[4 * b + k] = z[k / 4][k % 4];
    }

    // From the force's place to the next.
    template <class L, class Team, class Rows>
    LANE_FN void move(const NormalBlocks<L>& rng, uint64 step, const MotionRows& at, const Team& team,
                      const Rows& rows) const {
        const Rows noise = rows.from(at.noise);
        if (motion.few_rounds)
            apart([&] { draw_normals<kPhiloxFewRounds>(rng, step, team, noise); });
        else
            apart([&] { draw_normals<kPhiloxRounds>(rng, step, team, noise); });
        if (motion.scheme == MoleculeScheme::baoab)
            apart([&] { move_baoab<M, L>(motion, at, team, rows); });
        else
            apart([&] { move_lf_middle<M, L>(motion, at, team, rows); });
        centre<L>(team, rows, step);
    }

    template <class L, class Team, class Rows>
    LANE_FN void forces(const Team& team, const Rows& rows, index i, int lanes) const {
        forces_without_energies<M, L>(view, team, rows);
        if (team.leads()) pulls<L>(rows, i, lanes);
        team.sync();
    }
    // Of biases. Variables with rows of their own are evaluated in one place, as they are much code.
    template <class L, class Rows>
    LANE_FN void pulls(const Rows& rows, index i, int lanes) const {
        const Rows force = rows.from(view.force_row());
        const bool grid = a.grid.polynomials != nullptr;  // one function of all of them
        L xi[kMaxCvs]{}, pull[kMaxCvs]{};
        for (int32 k = 0; k < cvs.count; ++k)
            if (grid || has_rows(cvs.cv[k].kind)) (k == 0 ? xi[0] : xi[1]) = value_of<L>(k, rows);
        if (grid) grid_pull(a.grid, cvs.count, xi, pull);
        for (int32 k = 0; k < cvs.count; ++k) {
            const MoleculeCv& cv = cvs.cv[k];
            const auto pull_at = [&](L value) {
                if (!grid) return window_pull(k, value, i, lanes);
                return k == 0 ? pull[0] : pull[1];  // an index would send both to memory
            };
            if (has_rows(cv.kind)) {
                const Rows own = rows.from(cv_row(view) + cv.first_row);
                pull_in_rows<M>(cv, rows, own, force, pull_at(k == 0 ? xi[0] : xi[1]));
            } else {
                const CvGradient<L> at = evaluate_cv<M, L>(cv, rows);
                pull_atoms<M>(cv, at, force, pull_at(at.value));
            }
        }
    }
    template <class L, class Rows>
    LANE_FN L value_of(int32 k, const Rows& rows) const {
        const MoleculeCv& cv = cvs.cv[k];
        return has_rows(cv.kind) ? value_in_rows<M, L>(cv, rows, rows.from(cv_row(view) + cv.first_row))
                                 : evaluate_cv<M, L>(cv, rows).value;
    }
    // Of the image that is nearest to the centre.
    template <class L>
    LANE_FN L window_pull(int32 k, L value, index i, int lanes) const {
        const HarmonicBias<L, 1> bias(WindowView{a.center, a.stiffness, a.trajectories}.variable(k), i, lanes);
        const L xi[1] = {value - whole_turns(value - bias.center[0], cvs.cv[k].period)};
        L pull[1];
        bias.pull(xi, pull);
        return pull[0];
    }

    template <class L, class Team, class Rows>
    LANE_FN void centre(const Team& team, const Rows& rows, uint64 step) const {
        if ((step + 1) % kCentreEvery != 0 || view.restraints > 0) return;
        for (int d = team.lane(); d < 3; d += team.lanes()) {
            L sum = number<L>(0.0f);
            for (int32 n = 0; n < view.atoms; ++n) sum = sum + rows[3 * n + d];
            const L mean = sum * number<L>(1.0f / static_cast<float>(view.atoms));
            for (int32 n = 0; n < view.atoms; ++n) rows[3 * n + d] = rows[3 * n + d] - mean;
        }
        team.sync();
    }

    // What is counted, and the sample.
    template <class L, class Team, class Rows>
    LANE_FN void end_segment(const Team& team, const Rows& rows, index i, int lanes, uint64 step, index column) const {
        // Roots are taken two at a time, of a product: where fourth powers overflow, forces vanish, and a wild state
        // would stay finite for ever.
        const auto bad_power = [&](int32 r) { return is_bad(square(square(L(rows[r])))); };
        Mask<L> bad = bad_power(team.lane() < 3 * view.atoms ? team.lane() : 0);
        for (int32 r = team.lane() + team.lanes(); r < 3 * view.atoms; r += team.lanes()) bad = bad | bad_power(r);
        bad = team.any_of(bad);
        if (team.leads()) report_bad<L>(a, i, lanes, step, bad);
        if (!a.sample_x) return;
        for (int32 r = team.lane(); r < 3 * view.atoms; r += team.lanes())
            store(a.sample_x + r * a.sample_row, column, L(rows[r]), lanes);
        if (!team.leads()) return;
        for (int32 k = 0; k < cvs.count; ++k) {
            const L xi = value_of<L>(k, rows);
            store(a.sample_xi + k * a.sample_row, column,
                  xi - whole_turns(xi - number<L>(cvs.cv[k].middle), cvs.cv[k].period), lanes);
        }
    }
};

// The same by a team; its tables of pairs are in the order of team_pairs.h.
template <class M>
struct MoleculeTeamBody {
    MoleculePathBody<M> path;
    TeamView team;

    LANE_FN uint64 steps() const { return path.steps(); }
    template <class L, class Rows>
    LANE_FN void operator()(L, index i, int32 lane, const Rows& rows) const {
        path.template run<L>(i, 1, LaneTeam(team, lane), rows);
    }
};

}  // namespace microlift
