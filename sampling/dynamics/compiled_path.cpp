#include "sampling/dynamics/compiled_path.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <vector>

#include "sampling/dynamics/cuda_path.h"
#include "sampling/dynamics/kernel_headers.h"

extern char** environ;

namespace microlift {

namespace {

namespace fs = std::filesystem;

struct TemporaryFolder {
    fs::path path;
    TemporaryFolder() {
        std::error_code error;
        fs::path base = fs::temp_directory_path(error);
        if (error) base = "/tmp";
        std::string name = (base / "microlift-XXXXXX").string();
        if (mkdtemp(name.data())) path = name;
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        if (!path.empty()) fs::remove_all(path, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
};

bool write_text(const fs::path& file, const std::string& text) {
    std::error_code error;
    fs::create_directories(file.parent_path(), error);
    std::ofstream out(file);
    out << text;
    out.close();
    return static_cast<bool>(out);
}

// Runs a program without a shell, what it prints thrown away; its exit status, −1 if it did not start.
int run_program(const std::vector<std::string>& arguments) {
    std::vector<char*> argv;
    for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (int descriptor : {0, 1, 2})
        posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0);
    pid_t child = 0;
    const int failed = posix_spawnp(&child, argv[0], &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failed) return -1;
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
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
        const int status = run_program(
            {compiler, "-std=c++20", "-O3", "-march=" + arch, "-ffp-contract=off",
             "-fschedule-insns", "-w", "-shared", "-fPIC", "-I", folder.path.string(),
             (folder.path / "formula.cpp").string(), "-o", library});
        if (status == 0) break;
        why_not = "'" + compiler + "' " +
                  (status < 0 || status == 127 ? "did not start" : "failed on the generated source");
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
