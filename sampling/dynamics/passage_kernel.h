// First-passage kernels: free dynamics of one system until a trajectory enters a set. To run a system of
// your own, call make_passage_kernel.
#pragma once

#include <memory>

#include "engine/error.h"
#include "engine/launch/lanes.h"
#include "kernels/dynamics/first_passage.h"
#include "sampling/dynamics/schemes.h"

namespace microlift {

// Advances first-passage runs of one system. Heun's scheme in registers for compiled systems,
// Euler–Maruyama for formulas.
class PassageKernel {
public:
    virtual ~PassageKernel() = default;
    virtual int dim() const = 0;
    virtual void launch(Stream& stream, const PassageArgs& args) const = 0;
    virtual double forces_per_step() const = 0;
};

HOST_PASS_BEGIN

template <class System>
class TypedPassageKernel final : public PassageKernel {
public:
    using Cvs = LinearCvs<System::dim>;
    TypedPassageKernel(const System& system, const Cvs& cvs, bool portable)
        : system_(system), cvs_(cvs), portable_(portable) {}
    int dim() const override { return System::dim; }
    double forces_per_step() const override { return 2; }
    void launch(Stream& stream, const PassageArgs& args) const override {
        if (stream.device().is_cpu() || portable_)
            for_each_lane(stream, args.columns, PassageBody<System, Portable>{system_, cvs_, args});
        else
            for_each_lane_on_cuda(stream, args.columns,
                                  PassageBody<System, Fast>{system_, cvs_, args});
    }

private:
    System system_;
    Cvs cvs_;
    bool portable_;
};

// The kernel for a system struct (kernels/dynamics/systems.h) and linear CVs; compile the call in a *.ops.cpp
// file to have it on CUDA too.
template <class System>
std::unique_ptr<PassageKernel> make_passage_kernel(const System& system, const PathSetup& s) {
    constexpr std::size_t D = System::dim, most = D < kMaxCvs ? D : kMaxCvs;
    const std::size_t n = s.cv_weight.size();
    if (n < 1 || n > most)
        throw InputError("cv.variables: 1 or 2 collective variables, no more than the system has "
                         "variables");
    LinearCvs<System::dim> cvs;
    cvs.n = static_cast<int>(n);
    for (std::size_t k = 0; k < n; ++k) {
        for (std::size_t d = 0; d < D; ++d)
            cvs.weight[k][d] = static_cast<float>(s.cv_weight[k][d]);
        cvs.offset[k] = k < s.cv_offset.size() ? static_cast<float>(s.cv_offset[k]) : 0.0f;
    }
    return std::make_unique<TypedPassageKernel<System>>(system, cvs, s.portable_math);
}

HOST_PASS_END

}  // namespace microlift
