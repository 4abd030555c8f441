#include "engine/launch/lanes.h"
#include "kernels/lane/whole.h"
#include "sampling/lift/coupling.h"

namespace microlift {

// out[i] = a column of a block whose windows were thinned to `list`.
struct ThinBlockBody {
    const float* in;
    float* out;
    const int32* list;
    index trajectories, replicas, kept;

    LANE_FN void operator()(index i) const {
        const index width = kept * replicas;
        const index s = quotient(i, width), rest = i - s * width;
        const index w = quotient(rest, replicas);
        out[i] = in[s * trajectories + list[w] * replicas + (rest - w * replicas)];
    }
};

// A window's columns of one row: out[s*replicas + r].
struct WindowColumnsBody {
    const float* in;
    float* out;
    index trajectories, replicas, offset;

    LANE_FN void operator()(index i) const {
        const index s = quotient(i, replicas);
        out[i] = in[s * trajectories + offset + (i - s * replicas)];
    }
};

HOST_PASS_BEGIN

WindowData window_data(Stream& stream, const SampleSet& samples, const BiasWindows& windows,
                       index window, Span<const float> x, index row, int variables) {
    WindowData out;
    for (const SampleBlock& b : samples.blocks) {
        if (window < b.first_window || window >= b.first_window + b.windows) continue;
        out.center = windows.center[static_cast<std::size_t>(window)];
        out.stiffness = windows.stiffness[static_cast<std::size_t>(window)];
        out.period = windows.period;
        out.samples = b.samples;
        out.replicas = b.replicas;
        out.variables = variables;
        out.dims = samples.n_cvs;
        const index n = b.samples * b.replicas;
        Buffer<float> columns(stream.device(), n);
        const auto take = [&](const float* from, std::vector<float>& to) {
            for_each_index(stream, n,
                           WindowColumnsBody{from + b.first, columns.data(), b.trajectories(),
                                             b.replicas, (window - b.first_window) * b.replicas});
            const std::vector<float> host = to_host(stream, Span<const float>(columns.span()));
            to.insert(to.end(), host.begin(), host.end());
        };
        for (int v = 0; v < variables; ++v) take(x.data + v * row, out.x);
        for (int k = 0; k < samples.n_cvs; ++k) take(samples.xi.data() + k * samples.row, out.xi);
    }
    return out;
}

void remove_windows(Stream& stream, SampleSet& samples, BiasWindows& windows,
                    const std::vector<bool>& remove) {
    std::vector<SampleBlock> blocks;
    std::vector<std::vector<int32>> lists;
    BiasWindows left;
    left.beta = windows.beta;
    left.period = windows.period;
    index n = 0;
    for (const SampleBlock& b : samples.blocks) {
        std::vector<int32> list;
        SampleBlock now = b;
        now.first = n;
        now.first_window = left.size();
        for (index w = 0; w < b.windows; ++w) {
            const auto i = static_cast<std::size_t>(b.first_window + w);
            if (remove[i]) continue;
            list.push_back(static_cast<int32>(w));
            left.center.push_back(windows.center[i]);
            left.stiffness.push_back(windows.stiffness[i]);
        }
        now.windows = static_cast<index>(list.size());
        n += now.size();
        blocks.push_back(now);
        lists.push_back(std::move(list));
    }
    Buffer<float> scratch(stream.device(), n);
    const auto thin = [&](Buffer<float>& rows, int count, const std::vector<Buffer<int32>>& tables) {
        for (int r = 0; r < count; ++r) {
            for (std::size_t b = 0; b < blocks.size(); ++b)
                for_each_index(stream, blocks[b].size(),
                               ThinBlockBody{rows.data() + r * samples.row + samples.blocks[b].first,
                                             scratch.data() + blocks[b].first, tables[b].data(),
                                             samples.blocks[b].trajectories(), blocks[b].replicas,
                                             blocks[b].windows});
            copy(stream, rows.span().subspan(r * samples.row, n),
                 Span<const float>(scratch.span()));
        }
    };
    std::vector<Buffer<int32>> tables;
    for (const auto& list : lists) {
        tables.emplace_back(stream.device(), static_cast<index>(list.size()));
        if (!list.empty()) copy_to_device(stream, tables.back().span(), list.data());
    }
    thin(samples.x, samples.dim, tables);
    thin(samples.xi, samples.n_cvs, tables);
    std::erase_if(blocks, [](const SampleBlock& b) { return b.windows == 0; });
    samples.blocks = std::move(blocks);
    samples.n = n;
    windows = std::move(left);
}

HOST_PASS_END

}  // namespace microlift
