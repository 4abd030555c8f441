#include "engine/device/cpu.h"

#include <cstdlib>
#include <cstring>

#include "engine/error.h"

namespace microlift {

namespace {

constexpr const char* kLevels[] = {"baseline", "avx2", "avx512"};
constexpr int kLevelCount = 3;

// Whether the processor and the operating system (which must save the registers) have it.
bool machine_has(int level) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                      __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    if (level == 1) return avx2;
    if (level == 2)
        return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
#endif
    return level == 0;
}

int level_of(const char* name) {
    for (int level = 0; level < kLevelCount; ++level)
        if (std::strcmp(name, kLevels[level]) == 0) return level;
    return -1;
}

const char* asked() {
    const char* name = std::getenv("MICROLIFT_CPU_LEVEL");
    return name && *name ? name : nullptr;
}

std::string listed(const std::vector<std::string>& names) {
    std::string text;
    for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
    return text;
}

}  // namespace

#if defined(MICROLIFT_CPU_DISPATCH)

// Made by tools/build/dispatch_objects.sh: the addresses of the dispatched functions at each level, and the
// table that calls go through.
extern "C" {
extern void* microlift_cpu_entries[];
extern void* const microlift_cpu_baseline[];
extern void* const microlift_cpu_avx2[];
extern void* const microlift_cpu_avx512[];
extern const unsigned long microlift_cpu_entry_count;
// Before the constructors of global objects, which may call kernels.
[[gnu::constructor(101)]] void microlift_cpu_choose() {
    int level = kLevelCount - 1;
    while (!machine_has(level)) --level;
    // check_cpu_level() complains about what cannot be had.
    if (const char* name = asked())
        if (const int wanted = level_of(name); wanted >= 0 && wanted < level) level = wanted;
    void* const* chosen = level == 2   ? microlift_cpu_avx512
                          : level == 1 ? microlift_cpu_avx2
                                       : microlift_cpu_baseline;
    for (unsigned long i = 0; i < microlift_cpu_entry_count; ++i)
        microlift_cpu_entries[i] = chosen[i];
}
}

std::vector<std::string> cpu_levels() { return {kLevels, kLevels + kLevelCount}; }

#else

std::vector<std::string> cpu_levels() { return {cpu_level()}; }

#endif

void check_cpu_level() {
    const char* name = asked();
    const int used = level_of(cpu_level());
    if (!machine_has(used))
        throw DeviceError("this build of microlift needs a processor with " + std::string(cpu_level()) +
                          "; build it here, or with MICROLIFT_CPU=dispatch");
    if (!name) return;
    const int wanted = level_of(name);
    if (wanted < 0)
        throw InputError("MICROLIFT_CPU_LEVEL: '" + std::string(name) +
                         "' is no level; use avx512, avx2 or baseline");
    if (wanted == used) return;
    if (!machine_has(wanted))
        throw DeviceError("MICROLIFT_CPU_LEVEL: this machine has no " + std::string(name) +
                          "; the highest that it has is " + cpu_level());
    throw DeviceError("MICROLIFT_CPU_LEVEL: this build has no " + std::string(name) + ", only " +
                      listed(cpu_levels()) + "; build with MICROLIFT_CPU=dispatch");
}

}  // namespace microlift
