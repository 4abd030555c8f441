// In front of the real NVRTC (LD_PRELOAD): where a program asks for machine code, which is not executed here, it is
// given the PTX of the same architecture. All else is NVRTC's.
#include <dlfcn.h>
#include <nvrtc.h>

#include <string>
#include <vector>

namespace {

template <class Function>
Function* real(const char* name) {
    return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

nvrtcResult nvrtcCompileProgram(nvrtcProgram program, int count, const char* const* options) {
    static const std::string kReal = "--gpu-architecture=sm_", kVirtual = "--gpu-architecture=compute_";
    std::vector<std::string> texts(options, options + count);
    std::vector<const char*> changed;
    for (std::string& text : texts) {
        if (text.starts_with(kReal)) text = kVirtual + text.substr(kReal.size());
        changed.push_back(text.c_str());
    }
    return real<decltype(nvrtcCompileProgram)>("nvrtcCompileProgram")(program, count, changed.data());
}

nvrtcResult nvrtcGetCUBINSize(nvrtcProgram program, std::size_t* bytes) {
    return real<decltype(nvrtcGetPTXSize)>("nvrtcGetPTXSize")(program, bytes);
}

nvrtcResult nvrtcGetCUBIN(nvrtcProgram program, char* text) {
    return real<decltype(nvrtcGetPTX)>("nvrtcGetPTX")(program, text);
}

}  // extern "C"
