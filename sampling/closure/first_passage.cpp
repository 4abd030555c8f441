#include "sampling/closure/first_passage.h"

#include <algorithm>
#include <cmath>

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
        const int D = model_.dim(), K = model_.n_cvs();
        const int cv_rows = static_cast<int>(model_.formulas().cv.outputs.size());
        const index row = args.slots * kPiece;
        if (x_.size() != D * row) {
            x_ = Buffer<float>(stream.device(), D * row);
            xi_ = Buffer<float>(stream.device(), K * row);
            closure_ = Buffer<float>(stream.device(), model_.closure_outputs() * row);
            begin_x_ = Buffer<float>(stream.device(), D * args.slots);
            begin_xi_ = Buffer<float>(stream.device(), cv_rows * args.slots);
            free_ = Buffer<float>(stream.device(), 2 * K * args.slots);
        }
        PassageArgs a = args;
        for (uint64 done = 0; done < args.steps;) {
            const uint64 now = std::min(static_cast<uint64>(kPiece), args.steps - done);
            copy(stream, begin_x_.span(), Span<const float>(args.x, D * args.slots));
            model_.evaluate_cvs(stream, begin_x_.span(), args.slots, args.slots, begin_xi_.span(),
                                args.slots);
            a.first_step = args.first_step + done;
            a.steps = now;
            PathArgs path{};
            path.trajectories = args.slots;
            path.seed = args.seed;
            path.stream = args.stream;
            path.first_step = a.first_step;
            path.stride = 1;
            path.segments = static_cast<index>(now);
            path.x = args.x;
            path.center = free_.data();
            path.stiffness = free_.data() + K * args.slots;
            path.sample_x = x_.data();
            path.sample_xi = xi_.data();
            path.sample_row = row;
            path.status = args.status;
            path.periods = kernel_->periods();
            path.checked = args.first_step;
            kernel_->launch(stream, path);
            const index stored = static_cast<index>(now) * args.slots;
            model_.closure(stream, x_.span(), row, stored, closure_.span(), row);
            const float diffusion =
                model_.gradient() ? static_cast<float>(1 / model_.formulas().beta) : 0.0f;
            find_stored_passages(stream, a,
                                 {D, K, row, static_cast<index>(now), begin_x_.data(),
                                  begin_xi_.data(), x_.data(), xi_.data(), closure_.data(),
                                  diffusion, periods(args)});
            done += now;
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
    // Steps stored at a time, on every device: a slot's next trajectory begins with a piece.
    static constexpr index kPiece = 64;
    const Model& model_;
    std::unique_ptr<PathKernel> kernel_;
    mutable Buffer<float> x_, xi_, closure_, begin_x_, begin_xi_, free_;
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

PassageResult run_passages(Stream& stream, const PassageKernel& kernel, Span<const float> start,
                           index n, const PassageSet& first, const PassageSet& second,
                           const PassageOptions& options) {
    PassageResult result;
    if (n == 0) return result;
    if (!(options.dt > 0)) throw InputError("first passage: the time step must be positive");
    if (first.kind == PassageSet::none && second.kind == PassageSet::none)
        throw InputError("first passage: no set to enter");
    const Device& device = stream.device();
    const int D = kernel.dim();
    const index slots =
        std::min(n, options.slots > 0 ? options.slots : std::max<index>(64, (n + 7) / 8));
    Buffer<float> x(device, D * slots), time(device, n);
    Buffer<uint32> turn(device, slots);
    Buffer<uint64> born(device, slots), status(device, 3);
    Buffer<int32> entered(device, n);
    const uint64 clear[3] = {0, kStatusClear, 0};
    copy_to_device(stream, status.span(), clear);
    start_passages(stream, D, slots, n, start, x.span());

    PassageArgs a{};
    a.slots = slots;
    a.total = n;
    a.seed = options.seed;
    a.stream = kStreamPassage;
    a.bridge_stream = kStreamBridge;
    a.dt = static_cast<float>(options.dt);
    a.sets[0] = first;
    a.sets[1] = second;
    a.start = start.data;
    a.x = x.data();
    a.turn = turn.data();
    a.born = born.data();
    a.time = time.data();
    a.entered = entered.data();
    a.status = status.data();
    const uint64 most = options.max_steps ? options.max_steps : kDefaultMaxSteps;
    constexpr double kCost = 2;  // the way to the sets beside the step
    const uint64 piece =
        std::max<uint64>(64, launch_steps(stream.device(), slots, kCost) / 64 * 64);
    while (a.first_step < most) {
        a.steps = std::min(piece, most - a.first_step);
        kernel.launch(stream, a);
        a.first_step += a.steps;
        uint64 word[3];
        copy_to_host(stream, word, Span<const uint64>(status.span()));
        if (word[0])
            throw NumericError("a first-passage run blew up: slot " +
                               std::to_string(word[1] & 0xffffffffull) +
                               " was no longer finite at step " +
                               std::to_string(a.first_step - a.steps + (word[1] >> 32)) +
                               "; choose a smaller time step for it");
        if (options.after) options.after(static_cast<double>(word[2]) / static_cast<double>(n));
        if (static_cast<index>(word[2]) == n) break;
    }
    result.time = to_host(stream, Span<const float>(time.span()));
    result.entered = to_host(stream, Span<const int32>(entered.span()));
    for (index i = 0; i < n; ++i)
        if (result.entered[static_cast<std::size_t>(i)]) {
            ++result.finished;
            result.waited += static_cast<double>(result.time[static_cast<std::size_t>(i)]);
        }
    if (result.finished < n) {
        const auto begun = to_host(stream, Span<const uint64>(born.span()));
        const auto turns = to_host(stream, Span<const uint32>(turn.span()));
        for (index i = 0; i < slots; ++i) {
            const auto s = static_cast<std::size_t>(i);
            if (i + static_cast<index>(turns[s]) * slots < n)
                result.waited += options.dt * static_cast<double>(a.first_step - begun[s]);
        }
    }
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

Share second_before_first(const PassageResult& result, index from, index to) {
    Share share;
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
