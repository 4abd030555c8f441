// report: finds a Python with matplotlib and runs tools/report/report.py with it.

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <iostream>
#include <system_error>

#include "engine/error.h"
#include "engine/process.h"
#include "engine/stop.h"
#include "engine/text.h"
#include "tools/command/commands.h"

namespace microlift {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPythons[] = {"python3", "/usr/bin/python3"};
constexpr const char* kImports = "import matplotlib, numpy, h5py";

// The last line: of a Python traceback it is the one that says what happened.
std::string last_line(std::string text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) {
        text.pop_back();
    }
    text = text.substr(text.rfind('\n') + 1);
    const std::string prefix = "microlift: ";
    return text.compare(0, prefix.size(), prefix) == 0 ? text.substr(prefix.size()) : text;
}

// Whether nobody but root, the user and the owner of this program may have put it there: of what only
// others could write, code is not executed.
bool is_trusted(const fs::path& path, uid_t owner, bool folder_of_ours) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) return false;
    const bool ours = status.st_uid == 0 || status.st_uid == ::geteuid() || status.st_uid == owner;
    // In a folder of everybody's with the sticky bit, others cannot touch what is ours.
    const bool open = (status.st_mode & S_IWOTH) != 0 && (folder_of_ours || !(status.st_mode & S_ISVTX));
    return ours && !open;
}

// The script, its folder and every folder above; of the first `ours` the sticky bit is not enough.
bool is_safe_script(const fs::path& script, int ours, uid_t owner) {
    std::error_code problem;
    fs::path path = fs::canonical(script, problem);
    if (problem || !fs::is_regular_file(path, problem)) return false;
    for (int level = 0;; ++level, path = path.parent_path()) {
        if (!is_trusted(path, owner, level <= ours)) return false;
        if (path == path.root_path()) return true;
    }
}

// Beside a program that stands in the bin of an installation, or where this one was built from or was to
// be installed.
fs::path find_script() {
    std::error_code ignored;
    const fs::path self = fs::read_symlink("/proc/self/exe", ignored), bin = self.parent_path();
    struct stat status {};
    const uid_t owner = ::stat(self.c_str(), &status) == 0 ? status.st_uid : 0;
    // Folders of the installation: report, microlift, share and the prefix; of the sources: report,
    // tools and the root.
    constexpr int kInstalled = 4, kSource = 3;
    if (bin.filename() == "bin") {
        const fs::path beside = bin.parent_path() / "share/microlift/report/report.py";
        if (is_trusted(bin, owner, true) && is_safe_script(beside, kInstalled, owner)) return beside;
    }
    if (is_safe_script(MICROLIFT_REPORT_SOURCE, kSource, owner)) return MICROLIFT_REPORT_SOURCE;
    if (is_safe_script(MICROLIFT_REPORT_INSTALLED, kInstalled, owner)) return MICROLIFT_REPORT_INSTALLED;
    throw InputError("report.py was not found in a folder that only you or root may write to; install "
                     "microlift, or keep its source tree");
}

// Isolated (-I): neither the folder where the user stands nor the environment says what is imported.
// It runs in "/", where no matplotlibrc of the user's folder is read.
ProgramEnd run_python(const std::string& python, const std::vector<std::string>& more) {
    std::vector<std::string> words{python, "-I"};
    words.insert(words.end(), more.begin(), more.end());
    ProgramEnd end = run_program(words);
    if (end.stopped) throw_if_stopped();
    return end;
}

std::string find_python() {
    for (const char* python : kPythons)
        if (run_python(python, {"-c", kImports}).status == 0) return python;
    throw InputError("the report needs python3 with numpy, matplotlib and h5py; install them, on "
                     "Debian with: apt-get install python3-numpy python3-matplotlib python3-h5py");
}

}  // namespace

void write_report(const std::string& dir) {
    const std::string script = find_script().string();
    const ProgramEnd outcome = run_python(
        find_python(), {script, "--quiet", "--", fs::absolute(dir).lexically_normal().string()});
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
    const std::string page = (fs::path(dir) / "report.html").string();
    std::cout << printable(page, kWholeText, Controls::escape) << "\n";
}

}  // namespace microlift
