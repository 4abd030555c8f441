// The whole method in one file: what it does between launches as a kernel body, compiled for the CPU and
// for CUDA, and the class that the table makes. Trajectory t's work is the change of its bias energy at
// each move of the centre.
#include "tests/support/dragged.h"

#include "engine/files/store.h"
#include "engine/launch/lanes.h"
#include "sampling/bias/energy.h"

namespace microlift {

struct DragBody {
    float stiffness, now, next;
    const float* xi;
    float* center;
    float* work;
    LANE_FN void operator()(index t) const {
        HarmonicBias<float, 1> bias;
        bias.stiffness[0] = stiffness;
        bias.center[0] = now;
        const float before = bias.energy({xi[t]}, 0.0f);
        bias.center[0] = next;
        work[t] += bias.energy({xi[t]}, 0.0f) - before;
        center[t] = next;
    }
};

HOST_PASS_BEGIN

void drag(Stream& stream, index n, const DragBody& body) { for_each_index(stream, n, body); }

HOST_PASS_END

#if !defined(__CUDACC__)

namespace {

class Dragged final : public BiasMethod {
public:
    Dragged(Stream& stream, const BiasSetup& setup)
        : stream_(stream), options_(options_of<DraggedOptions>(setup)), n_(setup.trajectories),
          center_(stream.device(), n_), stiffness_(stream.device(), n_),
          work_(stream.device(), n_) {
        if (setup.cvs != 1) throw InputError("dragged: one collective variable");
        const std::vector<float> center(static_cast<std::size_t>(n_),
                                        static_cast<float>(options_.from));
        const std::vector<float> stiffness(center.size(), static_cast<float>(options_.stiffness));
        copy_to_device(stream, center_.span(), center.data());
        copy_to_device(stream, stiffness_.span(), stiffness.data());
        fill_zero(stream, work_.span());
    }
    BiasKind kind() const override { return BiasKind::harmonic; }
    void begin(Ensemble& ensemble) override {
        copy(stream_, ensemble.center(), Span<const float>(center_.span()));
        copy(stream_, ensemble.stiffness(), Span<const float>(stiffness_.span()));
    }
    index period() const override { return options_.period; }
    void step(Ensemble& ensemble, Span<const float> xi) override {
        const double done = static_cast<double>(ensemble.step()) / static_cast<double>(options_.steps);
        const auto next = static_cast<float>(options_.from + (options_.to - options_.from) * done);
        drag(stream_, n_,
              {static_cast<float>(options_.stiffness), now_, next, xi.data, center_.data(),
               work_.data()});
        now_ = next;
        begin(ensemble);
    }
    void energy(Stream& stream, Span<const float> xi, index row, index n,
                Span<float> out) const override {
        bias_energy(stream, {center_.data(), stiffness_.data(), n_}, 1, xi, row, n, out);
    }
    void save(Stream& stream, Store& store) const override {
        store.put("dragged_work", to_host(stream, Span<const float>(work_.span())));
        store.put_scalar("dragged_center", now_);
    }
    void load(Stream& stream, const Store& store) override {
        const auto work = store.get<float>("dragged_work", n_);
        copy_to_device(stream, work_.span(), work.data());
        now_ = store.scalar<float>("dragged_center");
        const std::vector<float> center(static_cast<std::size_t>(n_), now_);
        copy_to_device(stream, center_.span(), center.data());
    }

private:
    Stream& stream_;
    DraggedOptions options_;
    index n_;
    float now_ = static_cast<float>(options_.from);
    Buffer<float> center_, stiffness_, work_;  // by trajectory
};

}  // namespace

std::unique_ptr<BiasMethod> make_dragged(Stream& stream, const BiasSetup& setup) {
    return std::make_unique<Dragged>(stream, setup);
}

#endif

}  // namespace microlift
