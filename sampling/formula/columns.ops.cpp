#include "sampling/formula/columns.h"

#include <algorithm>

#include "engine/launch/lanes.h"
#include "engine/launch/work.h"
#include "kernels/dynamics/bias.h"
#include "sampling/formula/execute.h"

namespace microlift {

// On CUDA one thread interprets the program for one state, its slots side by side with those of the
// threads around it. Slow beside a compiled kernel, and fine for work that is done once a sample.
struct ColumnProgramBody {
    const Instruction* first;
    const Instruction* last;
    const ProgramOutput* outputs;
    int n_inputs, n_outputs;
    const float* in;
    index in_row;
    float* out;
    index out_row;
    float* memory;  // (slot, state)
    int row;        // of it

    LANE_FN void operator()(index j) const {
        float* const slots = memory + j;
        for (int d = 0; d < n_inputs; ++d) slots[static_cast<index>(d) * row] = in[d * in_row + j];
        interpret<float, Portable>(first, last, slots, row, 1);
        for (int o = 0; o < n_outputs; ++o)
            out[o * out_row + j] = outputs[o].kind == ProgramOutput::Kind::constant
                                       ? outputs[o].value
                                       : slots[static_cast<index>(outputs[o].slot) * row];
    }
};

struct FoldBody {
    CvPeriods periods;
    int k;
    float* values;
    LANE_FN void operator()(index j) const { values[j] = periods.image(k, values[j]); }
};

struct NewtonStepBody {
    int dim, cvs;
    CvPeriods periods;
    const float* target;
    index target_row;
    const float* values;
    index values_row;
    float* x;
    index row;
    float longest;  // of a variable's move; 0: any. What is longer, or no number, is cut to it, or none

    // What all moves are multiplied by.
    template <int K, class L, class Gradient>
    LANE_FN L share(const L (&moves)[K], const Gradient& gradient) const {
        L most = broadcast<L>(0.0f);
        Mask<L> bad = is_bad(moves[0]);
        for (int k = 1; k < K; ++k) bad = bad | is_bad(moves[k]);
        for (int d = 0; d < dim; ++d) {
            L step = moves[0] * gradient(0, d);
            for (int k = 1; k < K; ++k) step = fma(moves[k], gradient(k, d), step);
            most = max(most, abs(step));
        }
        const L one = broadcast<L>(1.0f), limit = broadcast<L>(longest);
        return select(bad, broadcast<L>(0.0f), min(one, limit / max(most, broadcast<L>(1e-30f))));
    }

    template <int K, class L>
    LANE_FN void move(L, index i) const {
        const auto gradient = [&](int k, int d) {
            return load<L>(values + (cvs + k * dim + d) * values_row, i);
        };
        L residual[K], moves[K];
        for (int k = 0; k < K; ++k)
            residual[k] = nearest_image(load<L>(target + k * target_row, i) -
                                            load<L>(values + k * values_row, i),
                                        periods.period[k]);
        newton_move(residual, dim, gradient, gradient, moves);
        if (longest > 0) {
            const L part = share<K, L>(moves, gradient);
            for (int k = 0; k < K; ++k) moves[k] = select(part > broadcast<L>(0.0f), part * moves[k], broadcast<L>(0.0f));
        }
        for (int d = 0; d < dim; ++d) {
            L p = load<L>(x + d * row, i);
            for (int k = 0; k < K; ++k) p = fma(moves[k], gradient(k, d), p);
            store(x + d * row, i, p);
        }
    }
    template <class L>
    LANE_FN void operator()(L lane, index i) const {
        cvs == 2 ? move<2>(lane, i) : move<1>(lane, i);
    }
};

HOST_PASS_BEGIN

void fold(Stream& stream, const CvPeriods& periods, int k, Span<float> values) {
    for_each_index(stream, values.size, FoldBody{periods, k, values.data});
}

void newton_step(Stream& stream, int dim, int cvs, const CvPeriods& periods, Span<const float> target,
                 index target_row, Span<const float> values, index values_row, index n, Span<float> x,
                 index row, float longest) {
    for_each_lane(stream, n, NewtonStepBody{dim, cvs, periods, target.data, target_row, values.data,
                                            values_row, x.data, row, longest});
}

void run_columns_on_cuda(Stream& stream, index n, const ColumnProgramBody& body) {
    for_each_index(stream, n, body);
}

HOST_PASS_END

#if !defined(__CUDACC__)

ColumnProgram::ColumnProgram(const Device&, const Program& program) : program_(program) {}

void ColumnProgram::upload(Stream& stream) const {
    if (uploaded_) return;
    instructions_ = Buffer<Instruction>(stream.device(),
                                        static_cast<index>(program_.instructions.size()));
    outputs_ = Buffer<ProgramOutput>(stream.device(), outputs());
    copy_to_device(stream, instructions_.span(), program_.instructions.data());
    copy_to_device(stream, outputs_.span(), program_.outputs.data());
    uploaded_ = true;
}

void ColumnProgram::run(Stream& stream, Span<const float> in, index in_row, index n,
                        Span<float> out, index out_row) const {
    if (n == 0) return;
    count_launch<Program>(n, program_.instructions.size());
    if (!stream.device().is_cpu()) {
        upload(stream);
        const Instruction* first = instructions_.data();
        const index slot_bytes = static_cast<index>(program_.slots) * 4;
        const index row = std::min(n, rows_at_once(stream.device(), 1024, slot_bytes));
        if (slots_.size() < row * program_.slots)
            slots_ = Buffer<float>(stream.device(), row * program_.slots);
        for (index from = 0; from < n; from += row)
            run_columns_on_cuda(stream, std::min(row, n - from),
                                {first, first + instructions_.size(), outputs_.data(),
                                 program_.inputs, outputs(), in.data + from, in_row, out.data + from,
                                 out_row, slots_.data(), static_cast<int>(row)});
        return;
    }
    ThreadPool& pool = stream.device().pool();
    const Program* program = &program_;
    stream.submit([&pool, program, in, in_row, n, out, out_row] {
        split_over_threads(pool, n, 16 * kTile, kTile, [&](index from, index to) {
            std::vector<float> memory(program->tile_floats() + 16);
            auto* slots = reinterpret_cast<float*>(
                (reinterpret_cast<std::uintptr_t>(memory.data()) + 63) / 64 * 64);
            for (index j = from; j < to; j += kTile) {
                const int lanes = static_cast<int>(std::min<index>(kTile, to - j));
                for (int d = 0; d < program->inputs; ++d)
                    std::copy_n(in.data + d * in_row + j, lanes, slots + d * kTile);
                execute(*program, slots, lanes);
                for (std::size_t o = 0; o < program->outputs.size(); ++o) {
                    const ProgramOutput& result = program->outputs[o];
                    float* to_row = out.data + static_cast<index>(o) * out_row + j;
                    if (result.kind == ProgramOutput::Kind::constant)
                        std::fill_n(to_row, lanes, result.value);
                    else
                        std::copy_n(slots + static_cast<index>(result.slot) * kTile, lanes, to_row);
                }
            }
        });
    });
}

#endif

}  // namespace microlift
