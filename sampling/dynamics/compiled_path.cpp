#include "sampling/dynamics/compiled_path.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <vector>

#include "engine/process.h"
#include "sampling/dynamics/cuda_path.h"
#include "sampling/dynamics/kernel_headers.h"

namespace microlift {

namespace {

namespace fs = std::filesystem;

// A folder that goes with this object, or, of a process that was killed, with the next one made here: its
// owner holds a lock on it meanwhile.
struct TemporaryFolder {
    fs::path path;
    TemporaryFolder() {
        std::error_code error;
        fs::path base = fs::temp_directory_path(error);
        if (error) base = "/tmp";
        remove_abandoned(base);
        std::string name = (base / (std::string(kName) + "XXXXXX")).string();
        if (!mkdtemp(name.data())) return;
        path = name;
        lock_ = open((path / "lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        if (lock_ >= 0) flock(lock_, LOCK_EX | LOCK_NB);
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        if (!path.empty()) fs::remove_all(path, ignored);
        if (lock_ >= 0) close(lock_);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

private:
    static constexpr const char* kName = "microlift-formula-";
    static void remove_abandoned(const fs::path& base) {
        std::error_code ignored;
        for (const auto& entry : fs::directory_iterator(base, ignored)) {
            if (!entry.path().filename().string().starts_with(kName)) continue;
            struct stat status {};
            if (lstat(entry.path().c_str(), &status) != 0 || !S_ISDIR(status.st_mode) ||
                status.st_uid != geteuid())
                continue;
            const int lock = open((entry.path() / "lock").c_str(),
                                  O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
            if (lock < 0) continue;
            if (flock(lock, LOCK_EX | LOCK_NB) == 0) fs::remove_all(entry.path(), ignored);
            close(lock);
        }
    }
    int lock_ = -1;
};

bool write_text(const fs::path& file, const std::string& text) {
    std::error_code error;
    fs::create_directories(file.parent_path(), error);
    std::ofstream out(file);
    out << text;
    out.close();
    return static_cast<bool>(out);
}

std::vector<std::string> compilers() {
    if (const char* chosen = std::getenv("MICROLIFT_CXX")) return {chosen};
    return {MICROLIFT_CXX_COMPILER, "c++"};
}

CompiledPath compile(const std::string& source, const std::string& arch, std::string& why_not) {
    const TemporaryFolder folder;
    bool written = !folder.path.empty() && write_text(folder.path / "formula.cpp", source);
    for (const auto& [name, text] : kernel_headers())
        written = written && write_text(folder.path / name, text);
    if (!written) {
        why_not = "no temporary folder to compile in";
        return nullptr;
    }
    const std::string library = (folder.path / "formula.so").string();
    for (const std::string& compiler : compilers()) {
        const ProgramEnd end = run_program(
            {compiler, "-std=c++20", "-O3", "-march=" + arch, "-ffp-contract=off",
             "-fschedule-insns", "-w", "-shared", "-fPIC", "-I", folder.path.string(),
             (folder.path / "formula.cpp").string(), "-o", library});
        std::error_code missing;
        if (end.status == 0 && fs::exists(library, missing)) break;
        why_not = "'" + compiler + "' " +
                  (end.stopped                            ? "was stopped"
                   : end.status < 0 || end.status == 127 ? "did not start"
                   : end.status == 0                     ? "made no library from the generated source"
                                                         : "failed on the generated source");
        if (end.stopped) return nullptr;
    }
    std::error_code error;
    if (!fs::exists(library, error)) return nullptr;
    void* const handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    void* const symbol = handle ? dlsym(handle, "microlift_path") : nullptr;
    if (!symbol) {
        const char* reason = dlerror();
        why_not = std::string("the compiled formula does not load: ") + (reason ? reason : "");
    }
    return reinterpret_cast<CompiledPath>(symbol);
}

}  // namespace

CompiledPath compile_formula_path(const FormulaSystem& system, const PathSetup& setup,
                                  const std::string& arch, std::string& why_not) {
    struct Outcome {
        CompiledPath path = nullptr;
        std::string why_not;
    };
    static std::mutex mutex;
    static std::map<std::string, Outcome> outcomes;  // by architecture and source
    const std::string source =
        "#include \"kernels/lane/simd.h\"\n" + formula_body_source(system, setup, "Portable") +
        "extern \"C\" void microlift_path(const void* integrator,\n"
        "    const microlift::PathArgs* args, microlift::index from, microlift::index to) {\n"
        "    using namespace microlift;\n"
        "    const UserBody body{UserSystem{}, UserCv{},\n"
        "                        *static_cast<const UserIntegrator*>(integrator), *args};\n"
        "    for (; from < to; from += kNativeWidth) body(NativeLane{}, from);\n"
        "}\n";
    const std::lock_guard lock(mutex);
    const auto [entry, is_new] = outcomes.try_emplace(arch + "\n" + source);
    if (is_new) entry->second.path = compile(source, arch, entry->second.why_not);
    why_not = entry->second.why_not;
    return entry->second.path;
}

}  // namespace microlift
