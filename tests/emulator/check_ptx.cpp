// ptx_check FILE…: decodes every kernel and says what is not understood.
#include <cstdio>
#include <fstream>
#include <iterator>

#include "tests/emulator/fault.h"
#include "tests/emulator/ptx.h"

int main(int argc, char** argv) {
    int kernels = 0, bad = 0;
    for (int k = 1; k < argc; ++k) {
        std::ifstream file(argv[k], std::ios::binary);
        const std::string text((std::istreambuf_iterator<char>(file)), {});
        try {
            const auto module = emulator::Module::parse(text);
            for (const std::string& name : module->kernels()) {
                ++kernels;
                try {
                    emulator::facts(*module->kernel(name));
                } catch (const emulator::Fault& fault) {
                    ++bad;
                    std::printf("%s: %s: %s\n", argv[k], name.c_str(), fault.what());
                }
            }
        } catch (const emulator::Fault& fault) {
            ++bad;
            std::printf("%s: %s\n", argv[k], fault.what());
        }
    }
    const emulator::Coverage coverage = emulator::coverage();
    std::printf("%d kernels, %d not understood, %zu opcodes held\n", kernels, bad,
                coverage.held().size());
    return bad != 0;
}
