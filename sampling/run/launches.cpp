#include "sampling/run/launches.h"

#include <cstdlib>
#include <fstream>

#include "engine/files/json.h"

namespace microlift {

StageLaunches::StageLaunches() {
    const char* const file = std::getenv("MICROLIFT_LAUNCHES");
    if (!file || !*file) return;
    file_ = file;
    before_ = transfer_counters();
    kernels_before_ = launches_by_kernel();
}

void StageLaunches::write(const std::string& stage, double steps) const {
    if (file_.empty()) return;
    const TransferCounters now = transfer_counters();
    const auto number = [](uint64 n) { return Json(static_cast<double>(n)); };
    Json line = Json::object(), kernels = Json::object();
    line["stage"] = stage;
    line["steps"] = steps;
    line["waits"] = number(now.waits - before_.waits);
    line["bytes_to_device"] = number(now.bytes_to_device - before_.bytes_to_device);
    line["bytes_to_host"] = number(now.bytes_to_host - before_.bytes_to_host);
    for (const auto& [name, after] : launches_by_kernel()) {
        KernelLaunches start;
        if (const auto old = kernels_before_.find(name); old != kernels_before_.end())
            start = old->second;
        if (after.launches == start.launches) continue;
        kernels[name].push_back(number(after.launches - start.launches));
        kernels[name].push_back(number(after.lanes - start.lanes));
        kernels[name].push_back(number(after.steps - start.steps));
    }
    line["kernels"] = kernels;
    std::string text = line.dump();
    for (char& c : text)
        if (c == '\n') c = ' ';
    std::ofstream(file_, std::ios::app) << text << '\n';
}

}  // namespace microlift
