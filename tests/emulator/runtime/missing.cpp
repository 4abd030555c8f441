// Functions of the library that are not emulated end the program and say so; their list is made by CMake from
// the real library.
#include <cstdio>
#include <cstdlib>

extern "C" [[noreturn]] void emulator_missing(const char* name) {
    std::fprintf(stderr, "emulated device: %s is not emulated (tests/emulator)\n", name);
    std::abort();
}
