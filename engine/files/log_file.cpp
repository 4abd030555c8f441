#include "engine/files/log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>

#include "engine/text.h"

namespace microlift {
namespace {

std::string time_of_day() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
    return text;
}

std::string numbered(const std::string& name, int number) {
    return number == 0 ? name : name + "." + std::to_string(number);
}

}  // namespace

LogFile::LogFile(std::filesystem::path file, std::size_t most_bytes, double line_seconds)
    : file_(std::move(file)), most_bytes_(most_bytes), line_seconds_(line_seconds) {}

std::vector<std::string> LogFile::names(const std::string& name) {
    std::vector<std::string> all;
    for (int i = 0; i <= kOldFiles; ++i) all.push_back(numbered(name, i));
    return all;
}

void LogFile::rotate() {
    const std::vector<std::string> all = names(file_.string());
    for (std::size_t i = all.size() - 1; i > 0; --i) ::rename(all[i - 1].c_str(), all[i].c_str());
}

void LogFile::write(const std::string& line) {
    const std::string text = time_of_day() + " " + printable(line, kWholeText, Controls::blank) + "\n";
    struct stat status {};
    if (::stat(file_.c_str(), &status) == 0 && status.st_size > 0 &&
        static_cast<std::size_t>(status.st_size) + text.size() > most_bytes_)
        rotate();
    // Opened anew for each line, so that it may be moved away or removed meanwhile.
    const int descriptor = ::open(file_.c_str(), O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (descriptor < 0) return;
    [[maybe_unused]] const ssize_t written = ::write(descriptor, text.data(), text.size());
    ::close(descriptor);
}

void LogFile::begun(const StageProgress& stage) {
    said_ = Clock::now();
    write(stage.stage + ": begins" + (stage.first > 0.0 ? " after " + format_count(stage.first) : "") + ", " +
          format_count(stage.total) + " " + stage.unit);
}

void LogFile::moved(const StageProgress& stage) {
    if (std::chrono::duration<double>(Clock::now() - said_).count() < line_seconds_) return;
    said_ = Clock::now();
    const double left = stage.seconds_left();
    write(stage.stage + ": " + format_count(stage.done) + " of " + format_count(stage.total) + " " + stage.unit + ", " +
          format_count(stage.rate()) + " " + stage.unit + "/s" + (left >= 0.0 ? ", " + format_seconds(left) + " left" : ""));
}

void LogFile::ended(const StageProgress& stage) {
    write(stage.stage + ": done, " + format_count(stage.rate()) + " " + stage.unit + "/s, " + format_seconds(stage.seconds()));
}

}  // namespace microlift
