#include "sampling/closure/first_passage.h"

#include <algorithm>
#include <cmath>

#include "engine/comm/columns.h"
#include "engine/launch/reduce.h"
#include "engine/launch/work.h"
#include "kernels/random/streams.h"
#include "sampling/closure/first_passage_kernels.h"
#include "sampling/model/model.h"
#include "sampling/dynamics/systems.h"

namespace microlift {

namespace {

constexpr uint64 kDefaultMaxSteps = 2000000000ull;

// Any model: its path kernel stores every step of a short piece, and the crossings are found in that.
class StoredPassageKernel final : public PassageKernel {
public:
    StoredPassageKernel(const Model& model, const PathSetup& setup) : model_(model) {
        PathSetup s = setup;
        s.scheme = Scheme::euler_maruyama;  // the bridge needs independent steps
        s.bias = BiasKind::harmonic;
        kernel_ = model.path_kernel(s);
    }
    int dim() const override { return model_.dim(); }
    double forces_per_step() const override { return 1; }
    void launch(Stream& stream, const PassageArgs& args) const override {
        for (const PassageSet& set : args.sets)
            if (set.kind == PassageSet::ball && !model_.gradient())
                throw InputError("first passage: a set given as a ball needs a system with a "
                                 "potential; give it by the collective variable");
        const index together = std::min(args.columns, most_together(stream.device()));
        reserve(stream.device(), together);
        for (index first = 0; first < args.columns; first += together) {
            PassageArgs a = args;
            a.columns = a.row = std::min(together, args.columns - first);
            a.number += first;
            a.alive += first;
            a.x = tile_x_.data();
            copy_columns(stream, a.x, a.row, args.x + first, args.row, a.columns);
            run(stream, a);
            copy_columns(stream, args.x + first, args.row, a.x, a.row, a.columns);
        }
    }

private:
    // A path that goes all round ends at one place from either side: it lies between the two.
    CvPeriods periods(const PassageArgs& args) const {
        CvPeriods periods = model_.periods();
        for (const PassageSet& set : args.sets)
            if (set.kind == PassageSet::cv && set.sign < 0)
                periods.middle[set.k] = set.bound + 0.5f * periods.period[set.k];
        return periods;
    }
    // Steps stored at a time.
    static constexpr index kPiece = 64;

    // Of passages whose paths are stored at a time, beside one another.
    index most_together(const Device& device) const {
        constexpr index kOnCpu = index{1} << 20;
        const index each = kPiece * (model_.dim() + model_.n_cvs() + model_.closure_outputs());
        return std::max<index>(64, floats_at_once(device, kOnCpu) / each / 64 * 64);
    }

    void reserve(const Device& device, index columns) const {
        if (columns <= reserved_) return;
        reserved_ = columns;
        const index row = columns * kPiece;
        x_ = Buffer<float>(device, model_.dim() * row);
        xi_ = Buffer<float>(device, model_.n_cvs() * row);
        closure_ = Buffer<float>(device, model_.closure_outputs() * row);
        tile_x_ = Buffer<float>(device, model_.dim() * columns);
        begin_x_ = Buffer<float>(device, model_.dim() * columns);
        begin_xi_ = Buffer<float>(
            device, static_cast<index>(model_.formulas().cv.outputs.size()) * columns);
        free_ = Buffer<float>(device, 2 * model_.n_cvs() * columns);
        path_status_ = Buffer<uint64>(device, 2);
    }

    void copy_columns(Stream& stream, float* to, index to_row, const float* from, index from_row,
                      index columns) const {
        for (int d = 0; d < model_.dim(); ++d)
            copy(stream, Span<float>(to + d * to_row, columns),
                 Span<const float>(from + d * from_row, columns));
    }

    void run(Stream& stream, const PassageArgs& args) const {
        const int D = model_.dim(), K = model_.n_cvs();
        const index n = args.columns, row = n * kPiece;
        PathArgs path{};
        path.trajectories = n;
        path.numbers = args.number;
        path.seed = args.seed;
        path.stream = args.stream;
        path.stride = 1;
        path.x = args.x;
        path.center = free_.data();
        path.stiffness = free_.data() + K * n;
        path.sample_x = x_.data();
        path.sample_xi = xi_.data();
        path.sample_row = row;
        path.periods = kernel_->periods();
        path.status = path_status_.data();  // not looked at: it counts those that have passed, too
        const float diffusion =
            model_.gradient() ? static_cast<float>(1 / model_.formulas().beta) : 0.0f;
        PassageArgs a = args;
        for (uint64 done = 0; done < args.steps; done += a.steps) {
            copy(stream, begin_x_.span().subspan(0, D * n), Span<const float>(args.x, D * n));
            model_.evaluate_cvs(stream, begin_x_.span(), n, n, begin_xi_.span(), n);
            a.first_step = path.first_step = args.first_step + done;
            a.steps = std::min(static_cast<uint64>(kPiece), args.steps - done);
            path.segments = static_cast<index>(a.steps);
            kernel_->launch(stream, path);
            model_.closure(stream, x_.span(), row, path.segments * n, closure_.span(), row);
            find_stored_passages(stream, a,
                                 {D, K, row, path.segments, begin_x_.data(), begin_xi_.data(),
                                  x_.data(), xi_.data(), closure_.data(), diffusion, periods(args)});
        }
    }

    const Model& model_;
    std::unique_ptr<PathKernel> kernel_;
    mutable index reserved_ = 0;
    mutable Buffer<float> x_, xi_, closure_, tile_x_, begin_x_, begin_xi_, free_;
    mutable Buffer<uint64> path_status_;
};

PassageSet half_space(int k, double bound, float sign) {
    PassageSet set;
    set.kind = PassageSet::cv;
    set.k = k;
    set.sign = sign;
    set.bound = static_cast<float>(bound);
    return set;
}

}  // namespace

PassageSet above(int k, double bound) { return half_space(k, bound, 1.0f); }
PassageSet below(int k, double bound) { return half_space(k, bound, -1.0f); }

PassageSet ball(std::span<const double> center, double radius) {
    PassageSet set;
    set.kind = PassageSet::ball;
    set.radius = static_cast<float>(radius);
    for (std::size_t d = 0; d < center.size(); ++d) set.center[d] = static_cast<float>(center[d]);
    return set;
}

PassageSet ellipse(std::span<const double> center, std::span<const double> radius,
                   std::span<const double> period) {
    PassageSet set;
    set.kind = PassageSet::ellipse;
    for (std::size_t k = 0; k < center.size(); ++k) {
        set.center[k] = static_cast<float>(center[k]);
        set.inverse_radius[k] = static_cast<float>(1 / radius[k]);
        if (k < period.size()) set.period[k] = static_cast<float>(period[k]);
        if (set.period[k] > 0) set.inverse_period[k] = 1 / set.period[k];
    }
    return set;
}

std::unique_ptr<PassageKernel> builtin_passage_kernel(const std::string& name,
                                                      std::span<const double> parameters,
                                                      const PathSetup& setup) {
    for (const SystemInfo& info : system_registry())
        if (info.name == name && info.passage) return info.passage(parameters, setup);
    return nullptr;
}

std::unique_ptr<PassageKernel> passage_kernel(const Model& model, const PathSetup& setup) {
    if (model.linear_cvs() && !setup.periodic()) {
        std::vector<double> parameters;
        for (const auto& [name, value] : model.text().parameters) parameters.push_back(value);
        if (auto kernel = builtin_passage_kernel(model.name(), parameters, setup)) return kernel;
    }
    return std::make_unique<StoredPassageKernel>(model, setup);
}

namespace {

// The passages of this process that are not over, side by side.
class Running {
public:
    Running(Stream& stream, int dim, index n, Share share, Span<const float> start)
        : stream_(stream), dim_(dim), row_(share.count), columns_(row_), now_(stream.device(), dim, row_),
          next_(stream.device(), dim, row_), place_(stream.device(), row_),
          scratch_(stream.device(), reduce_scratch(1, row_)) {
        take_columns(stream, start.data, dim, n, share, now_.x.data(), 1);
        number_passages(stream, share.first, row_, now_.view());
    }
    index columns() const { return columns_; }
    PassageColumns view() { return now_.view(); }

    // When so few of the columns are alive, the others go: lanes of a pack or a warp take as long as its last one.
    void keep(index alive) {
        constexpr index kPassed = 16;
        if (alive == 0 || kPassed * (columns_ - alive) < columns_) return;
        prefix_sum(stream_, Span<const float>(now_.alive.data(), columns_), place_.span(),
                   scratch_.span());
        keep_alive(stream_, dim_, row_, columns_, place_.span(), now_.view(), next_.view());
        std::swap(now_, next_);
        columns_ = alive;
    }

private:
    struct Columns {
        Buffer<float> x, alive;
        Buffer<uint32> number;
        Columns(const Device& device, int dim, index n)
            : x(device, dim * n), alive(device, n), number(device, n) {}
        PassageColumns view() { return {x.data(), number.data(), alive.data()}; }
    };
    Stream& stream_;
    int dim_;
    index row_, columns_;
    Columns now_, next_;
    Buffer<double> place_, scratch_;
};

// Steps of a launch after so many: an eighth as many again, so that what is over at its end has not been for
// long, in whole groups of noise and pieces of stored paths.
uint64 steps_after(uint64 steps, const Device& device, index columns) {
    constexpr uint64 kPiece = 64, kShare = 8;
    constexpr double kCost = 2;  // the way to the sets beside the step
    const uint64 most = launch_steps(device, columns, kCost) / kPiece * kPiece;
    return std::max(kPiece, std::min(most, steps / kShare / kPiece * kPiece));
}

// Of all processes: where some have passages left, these took all steps that there are.
void gather_passages(Stream& stream, Buffer<float>& time, Buffer<int32>& entered, uint64& steps, index& left) {
    Communicator& world = Communicator::world();
    std::vector<index> parts;
    for (int r = 0; r < world.size(); ++r) parts.push_back(share_of(time.size(), r, world.size()).count);
    collect_parts(stream, time.data(), parts);
    collect_parts(stream, entered.data(), parts);
    steps = world.most(steps);
    left = static_cast<index>(world.sum(static_cast<uint64>(left)));
}

}  // namespace

PassageResult run_passages(Stream& stream, const PassageKernel& kernel, Span<const float> start,
                           index n, const PassageSet& first, const PassageSet& second,
                           const PassageOptions& options) {
    PassageResult result;
    if (n == 0) return result;
    if (!(options.dt > 0)) throw InputError("first passage: the time step must be positive");
    if (first.kind == PassageSet::none && second.kind == PassageSet::none)
        throw InputError("first passage: no set to enter");
    const Device& device = stream.device();
    const Share share = Communicator::world().share_or_all(n);
    Running running(stream, kernel.dim(), n, share, start);
    Buffer<float> time(device, n);
    Buffer<uint64> status(device, 3);
    Buffer<int32> entered(device, n);
    const uint64 clear[3] = {0, kStatusClear, 0};
    copy_to_device(stream, status.span(), clear);

    PassageArgs a{};
    a.row = share.count;
    a.seed = options.seed;
    a.stream = kStreamPassage;
    a.bridge_stream = kStreamBridge;
    a.dt = static_cast<float>(options.dt);
    a.sets[0] = first;
    a.sets[1] = second;
    a.time = time.data();
    a.entered = entered.data();
    a.status = status.data();
    const uint64 most = options.max_steps ? options.max_steps : kDefaultMaxSteps;
    index left = share.count;
    while (left > 0 && a.first_step < most) {
        const PassageColumns columns = running.view();
        a.columns = running.columns();
        a.x = columns.x;
        a.number = columns.number;
        a.alive = columns.alive;
        a.steps = std::min(options.launch_steps ? options.launch_steps
                                                : steps_after(a.first_step, device, a.columns),
                           most - a.first_step);
        kernel.launch(stream, a);
        a.first_step += a.steps;
        uint64 word[3];
        copy_to_host(stream, word, Span<const uint64>(status.span()));
        if (word[0])
            throw NumericError("a first-passage run blew up: passage " + std::to_string(word[1]) +
                               " was no longer finite after step " + std::to_string(a.first_step) +
                               "; choose a smaller time step for it");
        if (options.after) options.after(static_cast<double>(word[2]) / static_cast<double>(share.count));
        left = share.count - static_cast<index>(word[2]);
        running.keep(left);
    }
    if (share.count != n) gather_passages(stream, time, entered, a.first_step, left);
    result.time = to_host(stream, Span<const float>(time.span()));
    result.entered = to_host(stream, Span<const int32>(entered.span()));
    result.finished = n - left;
    for (float t : result.time) result.waited += static_cast<double>(t);  // 0 of those that are not over
    result.waited += options.dt * static_cast<double>(a.first_step) * static_cast<double>(left);
    result.steps = result.waited / options.dt;
    result.force_evaluations = result.steps * kernel.forces_per_step();
    return result;
}

MeanTime mean_passage_time(const PassageResult& result) {
    MeanTime out;
    out.n = result.finished;
    out.unfinished = static_cast<index>(result.time.size()) - result.finished;
    const double n = static_cast<double>(result.finished);
    if (result.finished == 0) {
        out.mean = out.error = std::nan("");
        return out;
    }
    if (out.unfinished > 0) {
        out.mean = result.waited / n;
        out.error = out.mean / std::sqrt(n);
        return out;
    }
    double sum = 0, squares = 0;
    for (float t : result.time) sum += static_cast<double>(t);
    out.mean = sum / n;
    for (float t : result.time) {
        const double d = static_cast<double>(t) - out.mean;
        squares += d * d;
    }
    out.error = n > 1 ? std::sqrt(squares / (n - 1) / n) : std::nan("");
    return out;
}

SecondFirst second_before_first(const PassageResult& result, index from, index to) {
    SecondFirst share;
    double hits = 0;
    for (index i = from; i < to; ++i) {
        const int32 e = result.entered[static_cast<std::size_t>(i)];
        share.n += e != 0;
        hits += e == 2;
    }
    const double n = static_cast<double>(share.n);
    share.value = share.n ? hits / n : std::nan("");
    // Laplace's rule keeps the error above 0 where all went one way.
    const double p = (hits + 1) / (n + 2);
    share.error = std::sqrt(p * (1 - p) / (n + 2));
    return share;
}

}  // namespace microlift
