// PTX in a fat binary: what nvcc puts into objects, and what the Library interface loads.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace emulator {

// The PTX of the highest architecture in the container that starts at `data`. Throws Refusal where it has none
// or where it is compressed.
std::string ptx_of_fatbin(const void* data);

// The same of every container in a file: a program, a library, an archive of objects.
std::vector<std::string> ptx_of_file(std::string_view bytes);

// What cudaLibraryLoadData is given: a fat binary (or its wrapper), or PTX that ends with a zero.
std::string ptx_of_image(const void* image);

}  // namespace emulator
