// The report of a run that goes on: written anew beside the work as stages end, so that a first page is there soon.
#pragma once

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include "engine/progress.h"

namespace microlift {

class GrowingReport final : public ProgressListener {
public:
    // Listens to `progress`, which has to live as long.
    GrowingReport(std::filesystem::path dir, Progress& progress);
    ~GrowingReport() override;  // waits for a page that is being written
    GrowingReport(const GrowingReport&) = delete;
    GrowingReport& operator=(const GrowingReport&) = delete;
    void moved(const StageProgress&) override { write_if_due(); }
    void ended(const StageProgress&) override;

private:
    using Clock = std::chrono::steady_clock;
    void write_if_due();

    std::filesystem::path dir_;
    Progress& progress_;
    Clock::time_point due_;
    bool changed_ = false;
    std::atomic<bool> busy_ = false;
    std::thread writer_;
};

}  // namespace microlift
