// Records of what was executed, written, read and added up.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/emulator/coverage/record.h"
#include "tests/emulator/kernel.h"
#include "tests/emulator/runtime/fatbin.h"

namespace emulator {

TEST_CASE("coverage: records of processes add up, instructions by whether a warp reached them") {
    const auto folder = std::filesystem::temp_directory_path() / "microlift_coverage_test";
    std::filesystem::remove_all(folder);
    Coverage none;
    CHECK(!read_coverage(folder.string(), none));

    // No thread branches to L.
    const std::string body =
        ".reg .u32 x; .reg .pred p; mov.u32 x, %tid.x; setp.ge.u32 p, x, 40; @p bra L;\n"
        "popc.b32 x, x; bra M; L: clz.b32 x, x; M: not.b32 x, x;";
    const auto module = Module::parse(kernel_text(0, body));
    execute(*module->kernel("k"), {1, 1, 1}, {32, 1, 1}, 0, {});
    const auto of_k = [](const Coverage& c, const std::string& opcode) {
        for (const auto& [key, entry] : c.entries)
            for (std::size_t i = 0; i < entry.opcodes.size(); ++i)
                if (key.first == "k" && entry.opcodes.size() == 8 && entry.opcodes[i] == opcode &&
                    entry.opcodes[0] == "mov.u32" && entry.opcodes[1] == "setp.ge.u32")
                    return static_cast<int>(entry.executed[i]);
        return -1;
    };
    const Coverage seen = coverage(true);
    CHECK(of_k(seen, "popc.b32") == 1);
    CHECK(of_k(seen, "clz.b32") == 0);
    CHECK(of_k(seen, "not.b32") == 1);
    // 32 lanes go through seven of the eight; what else ran in this process counts apart.
    const auto times_of_k = [](const Coverage& c) {
        std::uint64_t times = 0;
        for (const auto& [key, entry] : c.entries)
            if (key.first == "k" && entry.opcodes.size() == 8 && entry.opcodes[5] == "clz.b32") times = entry.times;
        return times;
    };
    const std::uint64_t once = times_of_k(seen);
    CHECK(once >= 32 * 7);
    execute(*module->kernel("k"), {2, 1, 1}, {64, 1, 1}, 0, {});
    CHECK(times_of_k(coverage(true)) >= once + 2 * (40 * 7 + 24 * 6));
    write_coverage(folder.string(), seen);

    Coverage sum = seen;
    for (auto& [key, entry] : sum.entries) std::fill(entry.executed.begin(), entry.executed.end(), false);
    CHECK(read_coverage(folder.string(), sum));
    CHECK(of_k(sum, "popc.b32") == 1);
    CHECK(times_of_k(sum) == 2 * once);
    CHECK(of_k(sum, "clz.b32") == 0);
    CHECK(sum.executed().contains("not.b32"));

    std::ofstream(folder / "1.covered") << "k 5 9 0110";  // cut short
    CHECK_THROWS_AS(read_coverage(folder.string(), sum), Fault);
    std::filesystem::remove_all(folder);
}

TEST_CASE("coverage: a file without a fat binary holds no PTX") {
    CHECK(ptx_of_file("nothing of that kind").empty());
    CHECK(ptx_of_file(std::string("\x50\xed\x55\xba", 4) + std::string(40, 'x')).empty());
}

}  // namespace emulator
