#include "sampling/estimate/sample_kernels.h"

#include "engine/launch/lanes.h"
#include "engine/launch/reduce.h"
#include "kernels/lane/math.h"

namespace microlift {

// --- range ---------------------------------------------------------------------------------------

struct FirstBadBody {
    const float* x;
    uint64* bad;

    LANE_FN void operator()(index i) const {
        if (is_bad(x[i])) atomic_min(bad, static_cast<uint64>(i));
    }
};

// --- windows -------------------------------------------------------------------------------------

struct StillBody {
    static constexpr index kGrain = 64;
    const float* x;
    index trajectories, replicas, samples;
    int32* out;

    LANE_FN void operator()(index t) const {
        const float first = samples > 1 ? x[t] : x[t / replicas * replicas];
        bool still = true;
        for (index s = 0; s < samples && still; ++s) still = x[s * trajectories + t] == first;
        out[t] = still ? 1 : 0;
    }
};

struct NearWindowsBody {
    index trajectories, replicas;
    const float* centers;
    float period;
    float* xi;

    LANE_FN void operator()(index j) const {
        const float center = centers[quotient(modulo(j, trajectories), replicas)];
        xi[j] = xi[j] - whole_turns(xi[j] - center, period);
    }
};

struct HalfChangeBody {
    const float* x;
    index trajectories, samples;
    float* out;

    template <class L>
    LANE_FN void operator()(L, index t) const {
        const index half = samples / 2;
        const L change = sum<L>(t, samples - half) - sum<L>(t, 0);
        store(out, t, change * broadcast<L>(1.0f / static_cast<float>(half)));
    }

    template <class L>
    LANE_FN L sum(index t, index first) const {
        constexpr index kPiece = 64;  // sums of sums, so that long runs do not lose digits
        L all = broadcast<L>(0.0f);
        const index end = first + samples / 2;
        for (index s = first; s < end; s += kPiece) {
            L part = broadcast<L>(0.0f);
            for (index i = s; i < s + kPiece && i < end; ++i)
                part = part + load<L>(x, i * trajectories + t);
            all = all + part;
        }
        return all;
    }
};

// --- histograms: integer sums, so the order of additions does not matter -------------------------

struct CellHistogramBody {
    const float* xi;
    index row;
    CellGrid grid;
    uint64* counts;
    uint64* offsets;

    LANE_FN void operator()(index i) const {
        double o0 = 0.0, o1 = 0.0;
        index cell = grid.cell(0, static_cast<double>(xi[i]), &o0);
        if (grid.dims == 2)
            cell = cell * grid.cells[1] + grid.cell(1, static_cast<double>(xi[row + i]), &o1);
        atomic_add(counts + cell, 1);
        atomic_add(offsets + cell, static_cast<uint64>(o0 * kOffsetScale));
        if (grid.dims == 2)
            atomic_add(offsets + grid.size() + cell, static_cast<uint64>(o1 * kOffsetScale));
    }
};

struct BlockHistogramBody {
    const float* xi;  // of the run's first column
    index row;
    BlockDivision division;
    CellGrid grid;
    const int32* map;
    index kept;
    uint64* counts;

    LANE_FN void operator()(index i) const {
        double o;
        index cell = grid.cell(0, static_cast<double>(xi[i]), &o);
        if (grid.dims == 2)
            cell = cell * grid.cells[1] + grid.cell(1, static_cast<double>(xi[row + i]), &o);
        const int32 place = map[cell];
        if (place >= 0) atomic_add(counts + division.block(i) * kept + place, 1);
    }
};

HOST_PASS_BEGIN

void sample_range(Stream& stream, const BiasedSamples& samples, double* out, index* bad) {
    const index cvs = samples.n_cvs;
    const Rows<float> rows(samples.xi.data, cvs, samples.n, samples.row);
    Buffer<double> found(stream.device(), 3 * cvs);
    Buffer<double> scratch(stream.device(), reduce_scratch(cvs, samples.n));
    const auto part = [&](index which) { return found.span().subspan(which * cvs, cvs); };
    row_min(stream, rows, part(0), scratch.span());
    row_max(stream, rows, part(1), scratch.span());
    row_non_finite(stream, rows, part(2), scratch.span());
    const std::vector<double> host = to_host(stream, Span<const double>(found.span()));
    for (index k = 0; k < cvs; ++k) {
        out[2 * k] = host[static_cast<std::size_t>(k)];
        out[2 * k + 1] = host[static_cast<std::size_t>(cvs + k)];
        bad[k] = -1;
        if (!(host[static_cast<std::size_t>(2 * cvs + k)] > 0.0)) continue;
        Buffer<uint64> first(stream.device(), 1);
        const uint64 none = ~static_cast<uint64>(0);
        copy_to_device(stream, first.span(), &none);
        for_each_index(stream, samples.n,
                       FirstBadBody{samples.xi.data + k * samples.row, first.data()});
        bad[k] = static_cast<index>(to_host(stream, Span<const uint64>(first.span()))[0]);
    }
}

void still_trajectories(Stream& stream, Span<const float> x, const SampleBlock& run,
                        Span<int32> out) {
    for_each_index(stream, run.trajectories(),
                   StillBody{x.data + run.first, run.trajectories(), run.replicas, run.samples,
                             out.data});
}

void near_windows(Stream& stream, const SampleBlock& run, Span<const float> centers, float period,
                  Span<float> xi) {
    for_each_index(stream, run.size(),
                   NearWindowsBody{run.trajectories(), run.replicas, centers.data + run.first_window,
                                   period, xi.data + run.first});
}

void half_change(Stream& stream, Span<const float> x, const SampleBlock& run, Span<float> out) {
    for_each_lane(stream, run.trajectories(),
                  HalfChangeBody{x.data + run.first, run.trajectories(), run.samples, out.data});
}

void cell_histogram(Stream& stream, const BiasedSamples& samples, const CellGrid& grid,
                    Span<uint64> counts, Span<uint64> offsets) {
    for_each_index(
        stream, samples.n,
        CellHistogramBody{samples.xi.data, samples.row, grid, counts.data, offsets.data});
}

void block_histogram(Stream& stream, const BiasedSamples& samples, const SampleBlock& run,
                     const BlockDivision& division, const CellGrid& grid, Span<const int32> map,
                     index kept, Span<uint64> counts) {
    for_each_index(stream, run.size(),
                   BlockHistogramBody{samples.xi.data + run.first, samples.row, division, grid,
                                      map.data, kept, counts.data});
}

HOST_PASS_END

}  // namespace microlift
