#include "sampling/dynamics/cuda_path.h"

#include <algorithm>
#include <map>
#include <mutex>

#include "sampling/dynamics/kernel_headers.h"
#include "sampling/dynamics/bytecode_path.h"

#if defined(MICROLIFT_HAVE_CUDA)
#include <cuda_runtime_api.h>
#include <nvrtc.h>
#endif

namespace microlift {

namespace {

const char* bias_type(const PathSetup& setup) {
    switch (setup.bias) {
        case BiasKind::harmonic: return setup.periodic() ? "PeriodicBias" : "HarmonicBias";
        case BiasKind::grid: return "GridBias";
        case BiasKind::level_set: return "LevelSetConstraint";
    }
    return "";
}

Directions directions_for(const FormulaSystem& system, const PathSetup& setup) {
    switch (setup.bias) {
        case BiasKind::harmonic: return Directions::of_a_sum;
        case BiasKind::grid: return Directions::of_one_bias;
        case BiasKind::level_set:
            return held_coordinate(system, setup) < 0 ? Directions::held : Directions::in_place;
    }
    return Directions::of_a_sum;
}

}  // namespace

std::string formula_body_source(const FormulaSystem& given, const PathSetup& setup,
                                const std::string& policy) {
    std::string integrator;
    bool metropolis = false;
    visit_scheme(effective_scheme(given, setup), [&](const auto& scheme) {
        integrator = scheme.type;
        metropolis = std::remove_cvref_t<decltype(scheme)>::Integrator::metropolis;
    });
    const FormulaSystem system = metropolis ? with_energy(given) : given;
    const int rounds = setup.held() ? kPhiloxRounds : setup.philox_rounds;
    return "#include \"kernels/dynamics/path.h\"\n#include \"kernels/lane/special.h\"\nnamespace microlift {\n" +
           system_source(system, "UserSystem", setup.held()) + "\n" +
           cv_source(system, "UserCv", directions_for(system, setup)) +
           "\nusing UserIntegrator = " + integrator + ";\n"
           "using UserBody = PathBody<UserSystem, UserCv, " + bias_type(setup) +
           ", UserIntegrator, " + policy +
           ", " + std::to_string(rounds) + ">;\n"
           "}  // namespace microlift\n";
}

std::string formula_cuda_source(const FormulaSystem& system, const PathSetup& setup) {
    return formula_body_source(system, setup, setup.portable_math ? "Portable" : "Fast") +
           "extern \"C\" __global__ void __launch_bounds__(256) microlift_path(\n"
           "    microlift::UserIntegrator integrator, microlift::PathArgs args) {\n"
           "    using namespace microlift;\n"
           "    const UserBody body{UserSystem{}, UserCv{}, integrator, args};\n"
           "    const microlift::index i = (microlift::index)blockIdx.x * blockDim.x + threadIdx.x;\n"
           "    if (i < args.trajectories) body(float{}, i);\n"
           "}\n";
}

#if defined(MICROLIFT_HAVE_CUDA)

namespace {

// A program of NVRTC, destroyed on every way out.
struct Compilation {
    nvrtcProgram program = nullptr;
    ~Compilation() {
        if (program) nvrtcDestroyProgram(&program);
    }
    std::string log() const {
        std::size_t size = 0;
        nvrtcGetProgramLogSize(program, &size);
        std::string text(size, '\0');
        nvrtcGetProgramLog(program, text.data());
        return text;
    }
};

template <class Integrator>
void launch_compiled(cudaKernel_t kernel, Stream& stream, Integrator integrator, PathArgs args) {
    void* parameters[] = {&integrator, &args};
    const auto blocks = static_cast<unsigned>((args.trajectories + 255) / 256);
    CUDA_CHECK(cudaLaunchKernel(reinterpret_cast<const void*>(kernel), dim3(blocks), dim3(256),
                                parameters, 0, static_cast<cudaStream_t>(stream.cuda_stream())));
}

}  // namespace

namespace {

// "compute_90" makes PTX alone, "sm_90" machine code.
void compile(Compilation& c, const std::string& source, const std::string& target) {
    const auto& headers = kernel_headers();
    std::vector<const char*> names, texts;
    for (const auto& [name, text] : headers) {
        names.push_back(name);
        texts.push_back(text);
    }
    CUDA_CHECK(nvrtcCreateProgram(&c.program, source.c_str(), "formula.cu",
                                  static_cast<int>(names.size()), texts.data(), names.data()));
    const std::string architecture = "--gpu-architecture=" + target;
    const char* options[] = {architecture.c_str(), "--std=c++20", "--fmad=false"};
    if (nvrtcCompileProgram(c.program, 3, options) != NVRTC_SUCCESS)
        throw DeviceError("the formula's CUDA kernel does not compile:\n" + c.log());
}

std::string ptx_of(const Compilation& c) {
    std::size_t size = 0;
    CUDA_CHECK(nvrtcGetPTXSize(c.program, &size));
    std::string ptx(size, '\0');
    CUDA_CHECK(nvrtcGetPTX(c.program, ptx.data()));
    ptx.pop_back();  // the size counts a zero at the end
    return ptx;
}

// Machine code of this architecture, which needs no compiler in the driver: an older driver would refuse the
// PTX of this toolkit. Of a GPU that the toolkit does not know yet the driver, which is newer, takes PTX.
std::string loadable(const std::string& source, int architecture) {
    int count = 0;
    CUDA_CHECK(nvrtcGetNumSupportedArchs(&count));
    std::vector<int> known(static_cast<std::size_t>(count));
    CUDA_CHECK(nvrtcGetSupportedArchs(known.data()));
    Compilation c;
    if (std::ranges::find(known, architecture) == known.end()) {
        compile(c, source, "compute_" + std::to_string(std::ranges::max(known)));
        return ptx_of(c);
    }
    compile(c, source, "sm_" + std::to_string(architecture));
    std::size_t size = 0;
    CUDA_CHECK(nvrtcGetCUBINSize(c.program, &size));
    std::string cubin(size, '\0');
    CUDA_CHECK(nvrtcGetCUBIN(c.program, cubin.data()));
    return cubin;
}

}  // namespace

std::string compile_formula_ptx(const std::string& source, int architecture) {
    Compilation c;
    compile(c, source, "compute_" + std::to_string(architecture));
    return ptx_of(c);
}

void launch_formula_on_cuda(Stream& stream, const FormulaSystem& system, const PathSetup& setup,
                            const PathArgs& args) {
    static std::mutex mutex;
    static std::map<std::string, cudaKernel_t> compiled;  // by device and source
    const std::string source = formula_cuda_source(system, setup);
    cudaKernel_t kernel = nullptr;
    {
        const std::lock_guard lock(mutex);
        cudaKernel_t& entry = compiled[std::to_string(stream.device().ordinal()) + "\n" + source];
        if (!entry) {
            int major = 0, minor = 0;
            CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor,
                                              stream.device().ordinal()));
            CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor,
                                              stream.device().ordinal()));
            const std::string code = loadable(source, 10 * major + minor);
            // The runtime's own loader: a program linked to libcuda would not start without a driver.
            cudaLibrary_t library = nullptr;
            CUDA_CHECK(cudaLibraryLoadData(&library, code.c_str(), nullptr, nullptr, 0, nullptr,
                                           nullptr, 0));
            CUDA_CHECK(cudaLibraryGetKernel(&entry, library, "microlift_path"));
        }
        kernel = entry;
    }
    count_launch<FormulaSystem>(args.trajectories, args.steps());
    visit_scheme(effective_scheme(system, setup), [&](const auto& scheme) {
        launch_compiled(kernel, stream, scheme.make(setup), args);
    });
}

#else

std::string compile_formula_ptx(const std::string&, int) {
    throw DeviceError("microlift was built without CUDA");
}

void launch_formula_on_cuda(Stream&, const FormulaSystem&, const PathSetup&, const PathArgs&) {
    throw DeviceError("microlift was built without CUDA; use --device cpu");
}

#endif

}  // namespace microlift
