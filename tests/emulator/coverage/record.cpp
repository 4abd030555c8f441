#include "tests/emulator/coverage/record.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/emulator/fault.h"

namespace emulator {

namespace {

const char kSuffix[] = ".covered";

// "32*7,0*1": of seven instructions 32 lanes each, of one none.
std::vector<std::uint64_t> lanes_of(const std::string& runs, const std::string& file) {
    std::vector<std::uint64_t> lanes;
    std::istringstream in(runs);
    std::uint64_t each = 0, count = 0;
    char times = 0, comma = ',';
    while (comma == ',' && in >> each >> times >> count && times == '*') {
        lanes.insert(lanes.end(), count, each);
        comma = 0;
        in >> comma;
    }
    if (comma != 0 || !in.eof()) throw Fault(file + " is no record of what was executed");
    return lanes;
}

}  // namespace

void write_coverage(const std::string& folder, const Coverage& coverage) {
    std::filesystem::create_directories(folder);
    const std::filesystem::path file = std::filesystem::path(folder) / (std::to_string(getpid()) + kSuffix);
    std::ofstream out(file);
    for (const auto& [key, entry] : coverage.entries) {
        if (!entry.launched()) continue;
        out << key.first << " " << key.second << " ";
        const std::vector<std::uint64_t>& lanes = entry.executed;
        for (std::size_t k = 0, n = 0; k < lanes.size(); k += n) {
            for (n = 1; k + n < lanes.size() && lanes[k + n] == lanes[k];) ++n;
            out << (k ? "," : "") << lanes[k] << "*" << n;
        }
        out << "\n";
    }
    out << "end\n";
    if (!out.flush()) throw Fault(file.string() + " cannot be written");
}

bool read_coverage(const std::string& folder, Coverage& into) {
    bool any = false;
    std::error_code none;
    for (const auto& file : std::filesystem::directory_iterator(folder, none)) {
        if (file.path().extension() != kSuffix) continue;
        std::ifstream in(file.path());
        std::string name, runs;
        std::uint64_t digest = 0;
        while (in >> name && name != "end") {
            if (!(in >> digest >> runs)) throw Fault(file.path().string() + " is no record of what was executed");
            std::vector<std::uint64_t> lanes = lanes_of(runs, file.path().string());
            Coverage::Entry& entry = into.entries[{name, digest}];
            if (entry.executed.empty()) {
                entry.opcodes.resize(lanes.size());
                entry.executed.resize(lanes.size());
            }
            if (entry.executed.size() != lanes.size())
                throw Fault(file.path().string() + ": another length of " + name);
            for (std::size_t k = 0; k < lanes.size(); ++k) entry.executed[k] += lanes[k];
        }
        if (name != "end") throw Fault(file.path().string() + " ends early");
        any = true;
    }
    return any;
}

}  // namespace emulator
