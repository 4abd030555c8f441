// Fuzzes the readers of .npy and .csv: the first byte says which, the rest is the file.
#include <unistd.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "engine/error.h"
#include "engine/files/table.h"
#include "tests/fuzz/fuzz.h"

namespace {

std::string npy(const std::string& type, const std::string& shape, const std::string& data) {
    std::string header = "{'descr': '" + type + "', 'fortran_order': False, 'shape': " + shape + ", }";
    while ((10 + header.size() + 1) % 64 != 0) header += ' ';
    header += '\n';
    return std::string("n\x93NUMPY\x01\x00", 9) + static_cast<char>(header.size() & 0xff) +
           static_cast<char>(header.size() >> 8) + header + data;
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
    return {npy("<f4", "(2, 2)", std::string(16, '\1')), npy("<f8", "(3,)", std::string(24, '\2')),
            npy("<f8", "(1000000000, 1000000000)", "x"), "cx,y\n1,2\n3,4\n", "c1.5,2e3\n# note\n-1,nan\n",
            "c\xef\xbb\xbf""0.5,1\n", "c\"x, y\",z\n1,2\n"};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace microlift;
    if (size == 0) return 0;
    static const std::string base =
        (std::filesystem::temp_directory_path() / ("microlift_fuzz_" + std::to_string(::getpid()))).string();
    const std::string file = base + (data[0] == 'n' ? ".npy" : ".csv");
    std::ofstream(file, std::ios::binary)
        .write(reinterpret_cast<const char*>(data) + 1, static_cast<std::streamsize>(size - 1));
    try {
        const Table table = read_table(file);
        if (table.rows < 1 || table.columns < 1 ||
            static_cast<std::size_t>(table.rows * table.columns) != table.values.size())
            std::abort();
    } catch (const InputError&) {
    }
    std::filesystem::remove(file);
    return 0;
}
