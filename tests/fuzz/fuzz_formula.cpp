// Fuzzer for user formulas: parse, derive, lower, run, print. Any text may be refused with a
// FormulaError; nothing else may happen, and what is accepted must run at width 1 as in a tile.
//   clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -ffp-contract=off -march=native -I.
//           tests/fuzz/fuzz_formula.cpp sampling/formula*.cpp -o fuzz_formula
//   ./fuzz_formula -max_total_time=180 -dict=tests/fuzz/fuzz_formula.dict
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "sampling/formula/system.h"
#include "tests/fuzz/fuzz.h"

namespace microlift {

namespace {

// The first byte chooses which formulas the text becomes: parts are separated by ';'.
FormulaSystemText system_text(std::string_view text) {
    FormulaSystemText result;
    result.variables = {"x", "y", "z"};
    result.parameters = {{"a", 2.5}, {"eps", 0.01}};
    result.beta = 1.5;
    if (text.empty()) return result;
    const unsigned choice = static_cast<unsigned char>(text[0]);
    text.remove_prefix(1);
    std::vector<std::string> parts;
    for (;;) {
        const std::size_t end = text.find(';');
        parts.emplace_back(text.substr(0, end));
        if (end == std::string_view::npos) break;
        text.remove_prefix(end + 1);
    }
    const auto part = [&parts](std::size_t i) { return parts[i % parts.size()]; };
    if (choice & 1u) {
        result.potential = part(0);
    } else {
        result.drift = {part(0), part(1), part(2)};
        if (choice & 2u) {
            result.diffusion = {part(1), "1", part(2)};
        } else {
            result.diffusion_matrix = {{part(0), "0", "x"}, {"1", part(1), "y"}, {"0", "0", "a"}};
        }
    }
    result.cv = {part(1)};
    if (choice & 4u) result.cv.push_back(part(2));
    if (choice & 8u) result.observe = {part(3), part(0)};
    return result;
}

void run(const Program& program) {
    if (program.slots > 20000) return;
    const std::unique_ptr<float, void (*)(void*)> slots(
        static_cast<float*>(std::aligned_alloc(64, sizeof(float) * (program.tile_floats() + 16))),
        std::free);
    for (std::size_t i = 0; i < static_cast<std::size_t>(program.inputs) * kTile; ++i)
        slots.get()[i] = 0.37f * static_cast<float>(i % 11) - 1.5f;
    execute(program, slots.get());
    constexpr std::size_t kLane = 71;
    std::vector<float> x(static_cast<std::size_t>(program.inputs)), y(program.outputs.size());
    for (std::size_t d = 0; d < x.size(); ++d) x[d] = slots.get()[d * kTile + kLane];
    execute_scalar(program, x.data(), y.data());
    for (std::size_t o = 0; o < y.size(); ++o) {
        const ProgramOutput& out = program.outputs[o];
        if (out.kind == ProgramOutput::Kind::constant) continue;
        const float lane = slots.get()[static_cast<std::size_t>(out.slot) * kTile + kLane];
        const bool both_nan = lane != lane && y[o] != y[o];  // the sign of a NaN is not defined
        if (!both_nan && std::memcmp(&lane, &y[o], sizeof lane) != 0) std::abort();
    }
}

}  // namespace

void fuzz_formula(std::string_view text) {
    try {
        const FormulaSystem system = make_formula_system(system_text(text));
        for (const Program* program : {&system.force, &system.potential, &system.observe,
                                       &system.cv, &system.closure, &system.fixman})
            run(*program);
        system_source(system, "System", true);
        cv_source(system, "Cv");
        const double point[] = {0.5, -1.0, 2.0};
        for (NodeId id : system.drift_nodes) system.graph.evaluate(id, point);
    } catch (const FormulaError&) {
    }
}

}  // namespace microlift

std::vector<std::string> fuzz_seeds() {
    return {"\1(x^2-1)^2 + a*y^2;x;y", "\7x*exp(-y)/eps;sin(x)+y;z", "\2-x;-y;-z", "\x0f" "x^4;x*y;z;tanh(x)",
            "\0x;atan2(y, x);sqrt(z)"};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    microlift::fuzz_formula({reinterpret_cast<const char*>(data), size});
    return 0;
}
