// run.log: what a run shows, with the time, kept beside its results. It grows to so many bytes; then it becomes
// run.log.1, which becomes run.log.2, and the oldest goes.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "engine/progress.h"

namespace microlift {

class LogFile final : public ProgressListener {
public:
    static constexpr std::size_t kMostBytes = std::size_t{1} << 22;
    static constexpr int kOldFiles = 3;
    static constexpr double kLineSeconds = 60;  // between two lines of a stage

    explicit LogFile(std::filesystem::path file, std::size_t most_bytes = kMostBytes, double line_seconds = kLineSeconds);
    // One line. What cannot be written is lost: a run does not end for its log.
    void write(const std::string& line);

    void begun(const StageProgress& stage) override;
    void moved(const StageProgress& stage) override;
    void ended(const StageProgress& stage) override;
    void noted(const std::string& line) override { write(line); }
    void warned(const std::string& message) override { write("warning: " + message); }

    // The names that it may have.
    static std::vector<std::string> names(const std::string& name);

private:
    using Clock = std::chrono::steady_clock;
    void rotate();
    const std::filesystem::path file_;
    const std::size_t most_bytes_;
    const double line_seconds_;
    Clock::time_point said_{};
};

}  // namespace microlift
