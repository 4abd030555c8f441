#include "engine/files/status_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <csignal>

#include "engine/files/files.h"

namespace microlift {
namespace {

constexpr double kMostLooks = 10;       // that may be missed by a run that is alive
constexpr std::size_t kMostBytes = 1 << 20;

double seconds_since_1970() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string host_name() {
    char name[256] = {};
    return ::gethostname(name, sizeof name - 1) == 0 ? name : "unknown";
}

// Without a look at signals and without fsync: the last one is written by a process that was told to stop.
void replace(const std::filesystem::path& file, const std::string& text) {
    const std::filesystem::path partial =
        file.parent_path() / ("." + file.filename().string() + "." + std::to_string(::getpid()) + "-s" + std::string(kPartial));
    RemovedAtStop removed;
    removed.watch(partial.string());
    const int descriptor = ::open(partial.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (descriptor < 0) return;
    const bool whole = ::write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    const bool closed = ::close(descriptor) == 0;
    if (!whole || !closed || ::rename(partial.c_str(), file.c_str()) != 0) ::unlink(partial.c_str());
}

}  // namespace

StatusFile::StatusFile(std::filesystem::path file, Json known, double every)
    : file_(std::move(file)), every_(every), content_(std::move(known)) {
    content_["state"] = "running";
    content_["host"] = host_name();
    content_["process"] = static_cast<long long>(::getpid());
    content_["started"] = seconds_since_1970();
    content_["every"] = every_;
    content_["figures"] = Json::object();
    write();
    writer_ = std::thread([this] { keep_writing(); });
}

StatusFile::~StatusFile() { stop(); }

void StatusFile::stop() {
    {
        const std::lock_guard hold(mutex_);
        over_ = true;
    }
    wake_.notify_all();
    if (writer_.joinable()) writer_.join();
}

void StatusFile::keep_writing() {
    std::unique_lock hold(mutex_);
    while (!wake_.wait_for(hold, std::chrono::duration<double>(every_), [this] { return over_; })) write();
}

void StatusFile::write() {
    content_["looked"] = seconds_since_1970();
    content_["stage"] = stage_.stage;
    content_["unit"] = stage_.unit;
    content_["done"] = stage_.done;
    content_["total"] = stage_.total;
    const bool known = !stage_.stage.empty();
    content_["rate"] = known ? stage_.rate() : 0.0;
    const double left = known ? stage_.seconds_left() : -1.0;
    content_["seconds_left"] = left >= 0.0 ? Json(left) : Json();
    replace(file_, content_.dump(1) + "\n");
}

void StatusFile::begun(const StageProgress& stage) {
    const std::lock_guard hold(mutex_);
    stage_ = stage;
    write();
}

void StatusFile::moved(const StageProgress& stage) {
    const std::lock_guard hold(mutex_);
    stage_.done = stage.done;
}

void StatusFile::ended(const StageProgress& stage) { moved(stage); }

void StatusFile::noted(const std::string& line) {
    const std::lock_guard hold(mutex_);
    content_["note"] = line;
}

void StatusFile::found(const std::string& figure, double value) {
    const std::lock_guard hold(mutex_);
    content_["figures"][figure] = std::isfinite(value) ? Json(value) : Json();
}

void StatusFile::finish(const std::string& state, const std::string& message, int exit_status) {
    stop();
    content_["state"] = state;
    content_["message"] = message;
    content_["exit_status"] = exit_status;
    write();
}

Json read_status(const std::filesystem::path& file) {
    std::error_code missing;
    if (!std::filesystem::exists(file, missing))
        throw InputError(file.string() + ": there is no such file; give the directory of a run, which writes it");
    const std::optional<Json> read = Json::parse_strictly(read_file(file, kMostBytes));
    const auto bad = [&]() -> InputError {
        return InputError(file.string() + ": it is no status of a run; give the directory of a run");
    };
    if (!read || !read->is_object()) throw bad();
    Json status = *read;
    try {
        const double looked = status.at("looked").get<double>();
        status["since_look"] = std::max(0.0, seconds_since_1970() - looked);
        if (status.at("state").get<std::string>() != "running") return status;
        const double since = status["since_look"].get<double>(), every = status.at("every").get<double>();
        const bool here = status.at("host").get<std::string>() == host_name();
        const auto process = static_cast<pid_t>(status.at("process").get<long long>());
        // A container may have this machine's name and other processes: a look that is fresh counts for more.
        if (here && since > 2 * every && ::kill(process, 0) != 0 && errno == ESRCH)
            status["state"] = "killed";
        else if (since > kMostLooks * every)
            status["state"] = "stale";
    } catch (const std::exception&) {
        throw bad();
    }
    return status;
}

}  // namespace microlift
