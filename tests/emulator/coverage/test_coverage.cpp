// Records of what was executed, written, read and added up.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "tests/emulator/coverage/record.h"
#include "tests/emulator/kernel.h"
#include "tests/emulator/runtime/fatbin.h"

namespace emulator {

TEST_CASE("coverage: records of processes add up, of each instruction the lanes that reached it") {
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
    CHECK(of_k(seen, "popc.b32") == 32);
    CHECK(of_k(seen, "clz.b32") == 0);
    CHECK(of_k(seen, "not.b32") == 32);
    // Of a warp's lanes that part each counts where it goes.
    execute(*module->kernel("k"), {2, 1, 1}, {64, 1, 1}, 0, {});
    const Coverage more = coverage(true);
    CHECK(of_k(more, "popc.b32") == 32 + 2 * 40);
    CHECK(of_k(more, "clz.b32") == 2 * 24);
    CHECK(of_k(more, "not.b32") == 32 + 2 * 64);
    write_coverage(folder.string(), seen);

    Coverage sum = seen;
    for (auto& [key, entry] : sum.entries) std::fill(entry.executed.begin(), entry.executed.end(), 0);
    CHECK(read_coverage(folder.string(), sum));
    CHECK(of_k(sum, "popc.b32") == 32);
    CHECK(read_coverage(folder.string(), sum));
    CHECK(of_k(sum, "popc.b32") == 64);
    CHECK(of_k(sum, "clz.b32") == 0);
    CHECK(sum.executed().contains("not.b32"));

    for (const char* wrong : {"k 5 0*1,32*2", "k 5 0110\nend\n", "k 5 0*1,\nend\n"}) {  // the first is cut short
        std::ofstream(folder / "1.covered") << wrong;
        CHECK_THROWS_AS(read_coverage(folder.string(), sum), Fault);
    }
    std::filesystem::remove_all(folder);
}

TEST_CASE("coverage: a file without a fat binary holds no PTX") {
    CHECK(ptx_of_file("nothing of that kind").empty());
    CHECK(ptx_of_file(std::string("\x50\xed\x55\xba", 4) + std::string(40, 'x')).empty());
}

}  // namespace emulator
