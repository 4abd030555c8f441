// Trajectories, matrix products and formulas at the level that MICROLIFT_CPU_LEVEL names: prints the level,
// the lanes, the mean of x, and a hash of every result's bits. tests/engine/test_dispatch.py compares levels.
#include <algorithm>
#include <cstdio>

#include "engine/device/cpu.h"
#include "engine/error.h"
#include "sampling/formula/program.h"
#include "tests/engine/dispatch/kernels.h"

namespace microlift {
namespace {

template <class T>
void print_hash(const char* name, const std::vector<T>& values) {
    uint64 hash = 0xcbf29ce484222325ull;  // FNV-1a
    const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
    for (std::size_t i = 0; i < values.size() * sizeof(T); ++i)
        hash = (hash ^ bytes[i]) * 0x100000001b3ull;
    std::printf("%s %016llx\n", name, hash);
}

void paths() {
    constexpr index n = 997;  // a tail at every width
    const std::vector<float> center(n, -0.5f), stiffness(n, 500.0f);
    std::vector<float> x(2 * n, -0.5f);
    std::fill(x.begin() + n, x.end(), 1.5f);
    uint64 status[2] = {0, kStatusClear};
    dispatch_test_paths({n, 0, 5, 1, 0, 2000, 1, x.data(), nullptr, center.data(), stiffness.data(),
                         nullptr, nullptr, 0, status, nullptr, {}, 0});
    double sum = 0;
    for (index i = 0; i < n; ++i) sum += static_cast<double>(x[static_cast<std::size_t>(i)]);
    std::printf("mean %.6f\n", sum / n);
    print_hash("paths", x);
}

void formulas() {
    Expressions graph;
    const Symbols symbols{{"x", "y"}, {}};
    const NodeId f = parse_formula(
        graph, "exp(-x^2)*sin(3*y) + log(1 + y^2)*tanh(x) + atan(x*y)/(1 + x^2) + erf(y)", symbols);
    const Program program = lower(graph, {&f, 1}, 2);
    alignas(64) static float slots[64 * kTile];
    for (int i = 0; i < kTile; ++i) {
        slots[i] = 0.01f * static_cast<float>(i) - 1.3f;
        slots[kTile + i] = 2.0f - 0.017f * static_cast<float>(i);
    }
    execute(program, slots);
    const float* out = slots + program.outputs[0].slot * kTile;
    print_hash("formula", std::vector<float>(out, out + kTile));
}

}  // namespace
}  // namespace microlift

int main() {
    using namespace microlift;
    try {
        check_cpu_level();
        std::printf("level %s\nlanes %d\n", cpu_level(), cpu_lanes());
        paths();
        print_hash("arithmetic", dispatch_test_arithmetic());
        print_hash("float", dispatch_test_products());
        print_hash("double", dispatch_test_products_double());
        formulas();
    } catch (const Error& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return error.exit_code();
    }
}
