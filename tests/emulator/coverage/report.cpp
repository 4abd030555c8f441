// emulator_coverage LIBRARY FOLDER ENTRY…: what the entries of CTest, each with a folder of records, have launched and
// executed of the library's kernels. Ends with 1 where a kernel is never launched or too little of them is executed,
// and where an entry left no record.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "tests/emulator/coverage/record.h"
#include "tests/emulator/fault.h"
#include "tests/emulator/runtime/fatbin.h"
#include "tests/emulator/runtime/registry.h"
#include "tests/emulator/runtime/status.h"

namespace emulator {
namespace {

constexpr double kEnough = 0.95;  // of opcodes with suffixes, and of single instructions

// Kernels that headers of the toolkit bring along, and that no call of the library launches.
struct Foreign {
    const char *space, *part, *why;
};
constexpr Foreign kForeign[] = {
    {"cub::", "::EmptyKernel<void>", "CUB asks it for the version of its PTX"},
    {"cub::", "::radix::policy_hub<float, float, ", "Thrust's sort of keys names a sort of pairs"},
    {"cub::", "::policy1000, long, cuda::std", "Thrust's gather of more than 2^31 numbers"},
};

// Why it need not be launched; nullptr: it has to be.
const char* excuse(const std::string& name) {
    const std::string text = readable(name);
    for (const Foreign& f : kForeign)
        if (text.find(f.space) != text.npos && text.find(f.part) != text.npos) return f.why;
    return nullptr;
}

Coverage held_by(const char* library) {
    std::ifstream file(library, std::ios::binary);
    const std::string bytes((std::istreambuf_iterator<char>(file)), {});
    const std::vector<std::string> texts = ptx_of_file(bytes);
    if (texts.empty()) throw Fault(std::string(library) + " holds no fat binary");
    std::vector<std::shared_ptr<const Module>> modules;
    for (const std::string& ptx : texts) modules.push_back(Module::parse(ptx));
    return coverage();
}

struct Count {
    std::size_t of = 0, executed = 0;
    double share() const { return of ? static_cast<double>(executed) / static_cast<double>(of) : 0; }
    void add(const Coverage::Entry& entry) {
        of += entry.executed.size();
        executed += static_cast<std::size_t>(
            std::count_if(entry.executed.begin(), entry.executed.end(), [](auto lanes) { return lanes > 0; }));
    }
    void print(const char* what) const {
        std::printf("%s: %zu of %zu executed, %.2f %%\n", what, executed, of, 100 * share());
    }
};

bool all_ran(const std::string& folder, char** entries, int n, Coverage& into) {
    int missing = 0;
    for (int k = 0; k < n; ++k)
        if (!read_coverage(folder + "/" + entries[k], into)) {
            ++missing;
            std::printf("did not run to its end, or not since the last call of ctest: %s\n", entries[k]);
        }
    std::printf("%d of %d entries of CTest ran\n", n - missing, n);
    return missing == 0 && n > 0;
}

bool all_launched(const Coverage& all, const Coverage& library) {
    std::set<std::string> names, launched;
    for (const auto& [key, entry] : library.entries) {
        names.insert(key.first);
        if (all.entries.at(key).launched()) launched.insert(key.first);
    }
    std::size_t excused = 0;
    for (const std::string& name : names) {
        if (launched.contains(name)) continue;
        const char* why = excuse(name);
        std::printf("%s: %s%s%s\n", why ? "left out" : "never launched", why ? why : "", why ? ": " : "",
                    readable(name).c_str());
        excused += why != nullptr;
    }
    std::printf("kernels of the library: %zu of %zu launched, %zu left out\n", launched.size(), names.size(),
                excused);
    return launched.size() + excused == names.size();
}

// Also names the kernels with the most instructions that nothing executed.
bool executed_enough(const Coverage& all, const Coverage& library) {
    Count instructions, formulas, others;
    Coverage covered;
    std::vector<std::pair<std::size_t, std::string>> left;
    for (const auto& [key, entry] : all.entries) {
        if (!entry.launched() && excuse(key.first)) continue;
        const bool is_formula = !key.first.starts_with("_Z");
        if (!library.entries.contains(key)) {
            (is_formula ? formulas : others).add(entry);
            continue;
        }
        Count one;
        one.add(entry);
        if (entry.launched()) left.emplace_back(one.of - one.executed, readable(key.first));
        instructions.add(entry);
        covered.entries.insert({key, entry});
    }
    std::sort(left.rbegin(), left.rend());
    for (std::size_t k = 0; k < std::min<std::size_t>(left.size(), 10) && left[k].first; ++k)
        std::printf("%zu instructions never executed: %s\n", left[k].first, left[k].second.c_str());
    const std::set<std::string> held = covered.held(), executed = covered.executed();
    for (const std::string& opcode : held)
        if (!executed.contains(opcode)) std::printf("opcode never executed: %s\n", opcode.c_str());
    const Count opcodes{held.size(), executed.size()};
    opcodes.print("opcodes with suffixes");
    instructions.print("instructions of the library");
    formulas.print("instructions of formulas compiled at run time, where launched");
    others.print("instructions of the tests' own kernels, where launched");
    return opcodes.share() >= kEnough && instructions.share() >= kEnough;
}

int report(int count, char** words) {
    const Coverage library = held_by(words[1]);
    Coverage all = library;
    const bool ran = all_ran(words[2], words + 3, count - 3, all);
    const bool launched = all_launched(all, library), enough = executed_enough(all, library);
    if (!ran) std::printf("not all entries ran: run `ctest -L emulated`\n");
    return ran && launched && enough ? 0 : 1;
}

}  // namespace
}  // namespace emulator

int main(int count, char** words) {
    if (count < 3) {
        std::fprintf(stderr, "usage: emulator_coverage LIBRARY FOLDER ENTRY…\n");
        return 2;
    }
    try {
        return emulator::report(count, words);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "emulator_coverage: %s\n", error.what());
        return 1;
    }
}
