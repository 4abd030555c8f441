// report: finds a Python with matplotlib and runs tools/report/report.py with it.

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <system_error>

#include "engine/error.h"
#include "tools/command/commands.h"

extern char** environ;

namespace microlift {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPythons[] = {"python3", "/usr/bin/python3"};
constexpr const char* kImports = "import matplotlib, numpy, h5py";

struct Outcome {
    int status = -1;     // exit status, or -1 if the program cannot be started
    std::string errors;  // what it wrote to stderr
};

// Runs a program without a shell.
Outcome run_program(const std::vector<std::string>& words) {
    Outcome outcome;
    std::vector<char*> argv;
    for (const std::string& word : words) {
        argv.push_back(const_cast<char*>(word.c_str()));
    }
    argv.push_back(nullptr);
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return outcome;
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    pid_t child = 0;
    const int failed = posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    char buffer[4096];
    for (ssize_t n = 0; (n = read(ends[0], buffer, sizeof buffer)) != 0;) {
        if (n > 0) {
            outcome.errors.append(buffer, static_cast<std::size_t>(n));
        } else if (errno != EINTR) {
            break;
        }
    }
    close(ends[0]);
    int status = 0;
    while (failed == 0 && waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return outcome;
        }
    }
    if (failed == 0) {
        outcome.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    return outcome;
}

// The last line: of a Python traceback it is the one that says what happened.
std::string last_line(std::string text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) {
        text.pop_back();
    }
    text = text.substr(text.rfind('\n') + 1);
    const std::string prefix = "microlift: ";
    return text.compare(0, prefix.size(), prefix) == 0 ? text.substr(prefix.size()) : text;
}

fs::path find_script() {
    std::error_code ignored;
    const fs::path self = fs::read_symlink("/proc/self/exe", ignored);
    const fs::path candidates[] = {self.parent_path() / "../share/microlift/report/report.py",
                                   MICROLIFT_REPORT_SOURCE, MICROLIFT_REPORT_INSTALLED};
    for (const fs::path& candidate : candidates) {
        if (fs::is_regular_file(candidate, ignored)) {
            return candidate;
        }
    }
    throw InputError("report.py was not found; install microlift, or keep its source tree");
}

std::string find_python() {
    for (const char* python : kPythons) {
        if (run_program({python, "-c", kImports}).status == 0) {
            return python;
        }
    }
    throw InputError("the report needs python3 with numpy, matplotlib and h5py; install them, on "
                     "Debian with: apt-get install python3-numpy python3-matplotlib python3-h5py");
}

}  // namespace

void write_report(const std::string& dir) {
    const std::string script = find_script().string();
    const Outcome outcome = run_program({find_python(), script, dir, "--quiet"});
    if (outcome.status == 2) {
        const std::string message = last_line(outcome.errors);
        throw InputError(message + (message.find("; ") == std::string::npos
                                        ? "; give the directory of a run with whole files"
                                        : ""));
    }
    if (outcome.status != 0) {
        throw InputError(dir + ": " + script + " ended with status " +
                         std::to_string(outcome.status) + ": " + last_line(outcome.errors) +
                         "; check the files in " + dir);
    }
}

void command_report(const std::string& dir) {
    if (!fs::is_directory(dir)) {
        throw InputError(dir + ": there is no such directory; give the directory of a run");
    }
    if (!fs::exists(fs::path(dir) / "config.toml")) {
        throw InputError(dir + ": there is no config.toml in it; give the directory of a run");
    }
    write_report(dir);
    std::cout << (fs::path(dir) / "report.html").string() << "\n";
}

}  // namespace microlift
