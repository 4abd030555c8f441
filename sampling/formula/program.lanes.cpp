// Running formula bytecode, and printing it as source.
#include "sampling/formula/program.h"

#include <charconv>
#include <cmath>

#include "kernels/lane/simd.h"
#include "sampling/formula/execute.h"

namespace microlift {

void execute(const Program& program, float* slots, int lanes) {
    const Instruction* first = program.instructions.data();
    const Instruction* last = first + program.instructions.size();
    if (lanes >= kTile) {
        interpret<NativeLane, Portable>(first, last, slots, kTile, kTile);
    } else {
        const int rounded = (lanes + kNativeWidth - 1) / kNativeWidth * kNativeWidth;
        interpret<NativeLane, Portable>(first, last, slots, kTile, rounded);
    }
}

void execute_scalar(const Program& program, const float* inputs, float* outputs) {
    std::vector<float> slots(static_cast<std::size_t>(program.slots), 0.0f);
    std::copy(inputs, inputs + program.inputs, slots.begin());
    const Instruction* first = program.instructions.data();
    interpret<float, Portable>(first, first + program.instructions.size(), slots.data(), 1, 1);
    for (std::size_t o = 0; o < program.outputs.size(); ++o) {
        const ProgramOutput& out = program.outputs[o];
        outputs[o] = out.kind == ProgramOutput::Kind::constant
                         ? out.value
                         : slots[static_cast<std::size_t>(out.slot)];
    }
}

// --- source ------------------------------------------------------------------------------------------

std::string source_literal(float value) {
    if (std::isnan(value)) return "as_float(0x7fc00000u)";
    if (std::isinf(value)) return value > 0 ? "as_float(0x7f800000u)" : "as_float(0xff800000u)";
    char text[48];
    const auto end = std::to_chars(text, text + sizeof text, value).ptr;
    std::string literal(text, end);
    if (literal.find_first_of(".e") == std::string::npos) literal += ".0";
    return literal + "f";
}

namespace {

// The right-hand side of an instruction: the same operations as interpret().
std::string source_expression(const Instruction& in, const std::string& a, const std::string& b,
                              const std::string& c) {
    const auto immediate = [](float x) { return "broadcast<L>(" + source_literal(x) + ")"; };
    const std::string k = immediate(in.k), l = immediate(in.l), m = immediate(in.m);
    const auto call = [](const std::string& f, const std::string& x) { return f + "(" + x + ")"; };
    const auto fma = [](const std::string& x, const std::string& y, const std::string& z) {
        return "fma(" + x + ", " + y + ", " + z + ")";
    };
    const std::string one_or_zero = ", " + immediate(1.0f) + ", " + immediate(0.0f) + ")";
    switch (in.code) {
        case Code::add: return a + " + " + b;
        case Code::add_k: return a + " + " + k;
        case Code::sub: return a + " - " + b;
        case Code::k_sub: return k + " - " + a;
        case Code::mul: return a + " * " + b;
        case Code::mul_k: return a + " * " + k;
        case Code::mul_kab: return "(" + a + " * " + k + ") * " + b;
        case Code::div: return a + " / " + b;
        case Code::k_div: return k + " / " + a;
        case Code::neg: return "-" + a;
        case Code::fma: return fma(a, b, c);
        case Code::fma_k: return fma(a, b, k);
        case Code::fma_ak: return fma(a, k, b);
        case Code::fma_akl: return fma(a, k, l);
        case Code::fms: return "fms(" + a + ", " + b + ", " + c + ")";
        case Code::fnma: return "fnma(" + a + ", " + b + ", " + c + ")";
        case Code::fnma_k: return "fnma(" + a + ", " + b + ", " + k + ")";
        case Code::linear: return fma(a, k, b + " * " + l);
        case Code::linear_m: return fma(a, k, fma(b, l, m));
        case Code::exp2: return call("exp2<M>", a);
        case Code::exp: return call("exp<M>", a);
        case Code::exp_k: return call("exp<M>", a + " * " + k);
        case Code::log: return call("log<M>", a);
        case Code::sqrt: return call("sqrt<M>", a);
        case Code::sin:
        case Code::cos:
        case Code::sincos: break;
        case Code::tanh: return call("tanh<M>", a);
        case Code::sinh: return call("sinh<M>", a);
        case Code::cosh: return call("cosh<M>", a);
        case Code::atan: return call("atan<M>", a);
        case Code::erf: return call("erf<M>", a);
        case Code::abs: return call("abs", a);
        case Code::sign:
            return "select(" + a + " > " + immediate(0.0f) + ", " + immediate(1.0f) + ", select(" +
                   a + " < " + immediate(0.0f) + ", " + immediate(-1.0f) + ", " + a + "))";
        case Code::min: return "min(" + a + ", " + b + ")";
        case Code::min_k: return "min(" + k + ", " + a + ")";
        case Code::max: return "max(" + a + ", " + b + ")";
        case Code::max_k: return "max(" + k + ", " + a + ")";
        case Code::less: return "select(" + a + " < " + b + one_or_zero;
        case Code::less_k: return "select(" + a + " < " + k + one_or_zero;
        case Code::k_less: return "select(" + k + " < " + a + one_or_zero;
    }
    return {};
}

// Which instructions the outputs that are assigned need.
std::vector<char> needed_for(const Program& program, std::span<const std::string> outputs) {
    std::vector<char> live(static_cast<std::size_t>(program.slots) + 1, 0);  // by slot; the last: none
    const auto at = [&](std::int32_t slot) -> char& {
        return slot < 0 ? live.back() : live[static_cast<std::size_t>(slot)];
    };
    for (std::size_t o = 0; o < outputs.size(); ++o)
        if (!outputs[o].empty() && !program.is_constant(o)) at(program.outputs[o].slot) = 1;
    std::vector<char> needed(program.instructions.size(), 0);
    for (std::size_t i = needed.size(); i-- > 0;) {
        const Instruction& in = program.instructions[i];
        live.back() = 0;
        if (!at(in.destination) && !at(in.second_destination)) continue;
        needed[i] = 1;
        at(in.destination) = at(in.second_destination) = 0;
        for (const std::int32_t operand : {in.a, in.b, in.c}) at(operand) = 1;
    }
    return needed;
}

}  // namespace

std::string source_statements(const Program& program, std::span<const std::string> inputs,
                              std::span<const std::string> outputs) {
    std::vector<std::string> name(static_cast<std::size_t>(program.slots));
    std::copy(inputs.begin(), inputs.end(), name.begin());
    const std::vector<char> needed = needed_for(program, outputs);
    std::string text;
    int count = 0;
    const auto temporary = [&count] { return std::string("t").append(std::to_string(count++)); };
    for (std::size_t i = 0; i < program.instructions.size(); ++i) {
        if (!needed[i]) continue;
        const Instruction& in = program.instructions[i];
        const auto operand = [&name](int slot) { return name[static_cast<std::size_t>(slot)]; };
        const std::string a = operand(in.a), b = operand(in.b), c = operand(in.c);
        const std::string result = temporary();
        if (in.code == Code::sin || in.code == Code::cos || in.code == Code::sincos) {
            const std::string second = temporary();
            text += "L " + result + ", " + second + ";\nsincos<M>(" + a + ", " + result + ", " +
                    second + ");\n";
            name[static_cast<std::size_t>(in.destination)] =
                in.code == Code::cos ? second : result;
            if (in.code == Code::sincos)
                name[static_cast<std::size_t>(in.second_destination)] = second;
            continue;
        }
        text += "const L " + result + " = " + source_expression(in, a, b, c) + ";\n";
        name[static_cast<std::size_t>(in.destination)] = result;
    }
    for (std::size_t o = 0; o < outputs.size(); ++o) {
        if (outputs[o].empty()) continue;
        const ProgramOutput& out = program.outputs[o];
        text += outputs[o] + " = " +
                (out.kind == ProgramOutput::Kind::constant
                     ? "broadcast<L>(" + source_literal(out.value) + ")"
                     : name[static_cast<std::size_t>(out.slot)]) +
                ";\n";
    }
    return text;
}

}  // namespace microlift
