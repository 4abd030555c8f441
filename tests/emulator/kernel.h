// For the emulator's own tests: kernels written by hand, buffers of the device, launches.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "tests/emulator/fault.h"
#include "tests/emulator/memory.h"
#include "tests/emulator/ptx.h"

namespace emulator {

template <class T>
class Array {
public:
    explicit Array(std::size_t n, const std::string& what = "array")
        : n_(n), address_(Memory::device().allocate(n * sizeof(T), what)) {}
    Array(const std::vector<T>& values, const std::string& what = "array")
        : Array(values.size(), what) {
        if (n_)
            std::memcpy(Memory::device().at(address_, n_ * sizeof(T), Access::write), values.data(),
                        n_ * sizeof(T));
    }
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;
    ~Array() { Memory::device().free(address_); }

    std::uint64_t address() const { return address_; }
    std::vector<T> values() const {
        std::vector<T> result(n_);
        if (n_)
            std::memcpy(result.data(), Memory::device().at(address_, n_ * sizeof(T), Access::read),
                        n_ * sizeof(T));
        return result;
    }

private:
    std::size_t n_;
    std::uint64_t address_;
};

inline std::string module_text(const std::string& rest) {
    return ".version 9.0\n.target sm_90\n.address_size 64\n" + rest;
}
// An entry "k" whose parameters p0, p1, … are 64-bit, loaded into %q0, %q1, …, as addresses of
// global memory.
inline std::string kernel_text(int parameters, const std::string& body) {
    std::string text = ".visible .entry k(";
    for (int p = 0; p < parameters; ++p)
        text += (p ? ", " : "") + (".param .u64 p" + std::to_string(p));
    text += ")\n{\n.reg .b64 %q<" + std::to_string(parameters + 1) + ">;\n";
    for (int p = 0; p < parameters; ++p)
        text += "ld.param.u64 %q" + std::to_string(p) + ", [p" + std::to_string(p) + "];\n";
    return module_text(text + body + "\nret;\n}\n");
}

template <class... P>
void launch(const std::string& text, Dim3 grid, Dim3 block, const Execution& execution,
            P... parameters) {
    const std::uint64_t packed[] = {static_cast<std::uint64_t>(parameters)..., 0};
    const auto module = Module::parse(text);
    execute(*module->kernel("k"), grid, block, 0, std::as_bytes(std::span(packed, sizeof...(P))),
            execution);
}
template <class... P>
void launch(const std::string& text, Dim3 grid, Dim3 block, P... parameters) {
    launch(text, grid, block, Execution{}, parameters...);
}

// What the launch is refused with; "": nothing.
template <class... P>
std::string fault_of(const std::string& text, Dim3 grid, Dim3 block, P... parameters) {
    try {
        launch(text, grid, block, parameters...);
    } catch (const Fault& fault) {
        return fault.what();
    }
    return "";
}

inline bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != text.npos;
}

template <class T>
std::string type_of() {
    const std::string bits = std::to_string(8 * sizeof(T));
    return std::is_floating_point_v<T> ? "f" + bits : (std::is_signed_v<T> ? "s" : "u") + bits;
}

// Runs `body`, which sets register d from a, b and c, for all elements of the inputs.
template <class D, class... S>
std::vector<D> evaluate(const std::string& body, const std::vector<S>&... inputs) {
    constexpr int sources = sizeof...(S);
    const std::size_t n = std::get<0>(std::tie(inputs...)).size();
    const char* names[] = {"a", "b", "c", "e"};
    std::string text =
        ".reg .pred p, q;\n.reg .b32 %n, %t, r, s;\n.reg .b64 %o;\n.reg ." + type_of<D>() + " d;\n";
    int k = 0;
    ((text += ".reg ." + type_of<S>() + " " + names[k++] + ";\n"), ...);
    text += "mov.u32 %n, %tid.x;\n";
    k = 0;
    const auto address = [&](int parameter, std::size_t bytes) {
        return "mul.wide.u32 %o, %n, " + std::to_string(bytes) + ";\nadd.s64 %o, %o, %q" +
               std::to_string(parameter) + ";\n";
    };
    ((text += address(k, sizeof(S)) + "ld.global." + type_of<S>() + " " + names[k] + ", [%o];\n",
      ++k),
     ...);
    text += "{\n" + body + "\n}\n" + address(sources, sizeof(D)) + "st.global." + type_of<D>() +
            " [%o], d;\n";
    Array<D> result(n);
    const auto run = [&](const auto&... arrays) {
        launch(kernel_text(sources + 1, text), {1, 1, 1}, {static_cast<unsigned>(n), 1, 1},
               arrays.address()..., result.address());
    };
    run(Array<S>(inputs)...);
    return result.values();
}

}  // namespace emulator
