// PTX in a fat binary: what nvcc puts into objects, and what the Library interface loads.
#pragma once

#include <string>

namespace emulator {

// The PTX of the highest architecture in the container that starts at `data`. Throws Refusal where it has none
// or where it is compressed.
std::string ptx_of_fatbin(const void* data);

// What cudaLibraryLoadData is given: a fat binary (or its wrapper), or PTX that ends with a zero.
std::string ptx_of_image(const void* image);

}  // namespace emulator
