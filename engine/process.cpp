#include "engine/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>

#include "engine/stop.h"

extern char** environ;

namespace microlift {
namespace {

constexpr int kLookMilliseconds = 50;
constexpr std::size_t kMostErrors = 16384;

// Folders that are not absolute would name another program wherever the user stands.
std::string found_in_path(const std::string& name) {
    if (name.find('/') != std::string::npos) return name;
    const char* path = std::getenv("PATH");
    std::string_view rest = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin";
    while (!rest.empty()) {
        const std::size_t end = rest.find(':');
        const std::string_view folder = rest.substr(0, end);
        rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
        if (folder.empty() || folder[0] != '/') continue;
        const std::string file = std::string(folder) + "/" + name;
        if (::access(file.c_str(), X_OK) == 0) return file;
    }
    return "";
}

// In the child, between fork and exec: nothing that allocates.
[[noreturn]] void become(const char* file, char* const* argv, const char* folder, int errors,
                         pid_t parent) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (const int signal : {SIGINT, SIGTERM, SIGPIPE, SIGXFSZ}) std::signal(signal, SIG_DFL);
    const int nothing = ::open("/dev/null", O_RDWR);
    const bool ready = ::getppid() == parent && nothing >= 0 && ::dup2(nothing, 0) == 0 &&
                       ::dup2(nothing, 1) == 1 && ::dup2(errors, 2) == 2 && ::chdir(folder) == 0;
    if (ready) ::execve(file, argv, environ);
    ::_exit(127);
}

// Reads what there is; false at the end.
bool read_some(int descriptor, std::string& text) {
    char buffer[4096];
    const ssize_t n = ::read(descriptor, buffer, sizeof buffer);
    if (n < 0) return errno == EINTR || errno == EAGAIN;
    text.append(buffer, static_cast<std::size_t>(n));
    if (text.size() > 2 * kMostErrors) text.erase(0, text.size() - kMostErrors);
    return n > 0;
}

}  // namespace

ProgramEnd run_program(const std::vector<std::string>& words, const std::string& folder) {
    ProgramEnd end;
    const std::string file = found_in_path(words.at(0));
    std::vector<char*> argv;
    for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    int ends[2];
    if (file.empty() || pipe2(ends, O_CLOEXEC) != 0) return end;
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child == 0) become(file.c_str(), argv.data(), folder.c_str(), ends[1], parent);
    ::close(ends[1]);
    bool open = child > 0;
    int status = 0, pause = 1;  // it ends soon after its output does
    for (bool gone = child < 0; !gone;) {
        pollfd ready{ends[0], POLLIN, 0};
        if (!open) {
            ::poll(nullptr, 0, pause);
            pause = std::min(2 * pause, kLookMilliseconds);
        } else if (::poll(&ready, 1, kLookMilliseconds) > 0) {
            open = read_some(ends[0], end.errors);
        }
        if (pending_signal() != 0 && !end.stopped) {
            end.stopped = true;
            ::kill(-child, SIGKILL);
            ::kill(child, SIGKILL);
        }
        const pid_t ended = ::waitpid(child, &status, WNOHANG);
        gone = ended == child || (ended < 0 && errno != EINTR);
    }
    // The rest of what it said; a grandchild may hold the pipe open, which nobody waits for.
    for (pollfd ready{ends[0], POLLIN, 0}; open && ::poll(&ready, 1, 0) > 0;)
        open = read_some(ends[0], end.errors);
    ::close(ends[0]);
    if (child > 0) end.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return end;
}

}  // namespace microlift
