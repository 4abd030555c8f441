// status.json: what a run is doing, for whoever looks at its directory, from another node too. Written anew every
// few seconds under another name and renamed, whatever the run itself is at; what is never said of it is that it
// still runs: a reader compares the time of its last look.
#pragma once

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>

#include "engine/files/json.h"
#include "engine/progress.h"

namespace microlift {

inline constexpr double kStatusSeconds = 2;

class StatusFile final : public ProgressListener {
public:
    // `known`: an object of what does not change; host, process, start and state come to it. What cannot be written
    // is not: a run does not end because nobody can look at it.
    StatusFile(std::filesystem::path file, Json known, double every = kStatusSeconds);
    ~StatusFile() override;
    StatusFile(const StatusFile&) = delete;
    StatusFile& operator=(const StatusFile&) = delete;

    void begun(const StageProgress& stage) override;
    void moved(const StageProgress& stage) override;
    void ended(const StageProgress& stage) override;
    void noted(const std::string& line) override;
    void found(const std::string& figure, double value) override;
    // The last that is written: "finished", "stopped" or "failed", and why.
    void finish(const std::string& state, const std::string& message, int exit_status);

private:
    void keep_writing();
    void write();  // with the mutex held
    void stop();

    const std::filesystem::path file_;
    const double every_;
    std::mutex mutex_;
    std::condition_variable wake_;
    bool over_ = false;
    Json content_;
    StageProgress stage_;
    std::thread writer_;
};

// What a status file says, now: its content with "state" one of running, finished, stopped, failed, killed (its
// process is gone from this machine) or stale (of another one, not heard of for long), and "since_look", seconds.
// InputError where there is none, or it is no status.
Json read_status(const std::filesystem::path& file);

}  // namespace microlift
