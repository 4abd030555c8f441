#include "sampling/dynamics/compiled_path.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <vector>

#include "engine/files/hash.h"
#include "engine/files/private_cache.h"
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

std::vector<std::string> options(const std::string& arch) {
    return {"-std=c++20", "-O3", "-march=" + arch, "-ffp-contract=off", "-fschedule-insns", "-w", "-shared",
            "-fPIC"};
}

ProgramEnd run_compiler(const std::string& compiler, const std::string& arch,
                        const std::vector<std::string>& more) {
    std::vector<std::string> words{compiler};
    for (const std::vector<std::string>& part : {options(arch), more})
        words.insert(words.end(), part.begin(), part.end());
    return run_program(words);
}

// By which a library is kept: of all that it is made from, the version of the compiler and the processor that
// "native" stands for among it. Empty where the compiler does not say these.
std::string key_of(const std::string& source, const std::string& compiler, const std::string& arch) {
    const ProgramEnd said = run_compiler(compiler, arch, {"-###", "-E", "-x", "c++", "/dev/null"});
    if (said.status != 0 || said.errors.empty()) return "";
    std::string key;
    for (const std::uint64_t seed : {0, 1}) {  // 128 bits
        Hash64 hash(seed);
        const auto add = [&hash](std::string_view text) {
            hash.add(text.data(), text.size());
            hash.add("", 1);
        };
        for (const std::string_view text : {std::string_view(MICROLIFT_VERSION), std::string_view(said.errors),
                                            std::string_view(source)})
            add(text);
        for (const auto& [name, text] : kernel_headers()) {
            add(name);
            add(text);
        }
        key += hash.digits();
    }
    return key + ".so";
}

CompiledPath load(const std::string& library, std::string& why_not) {
    void* const handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    void* const symbol = handle ? dlsym(handle, "microlift_path") : nullptr;
    if (!symbol) {
        const char* reason = dlerror();
        why_not = std::string("the compiled formula does not load: ") + (reason ? reason : "");
    }
    return reinterpret_cast<CompiledPath>(symbol);
}

CompiledPath compile_by(const std::string& compiler, const std::string& source, const std::string& arch,
                        const PrivateCache& cache, std::string& why_not, bool& stopped) {
    std::string key;
    if (cache.usable()) {
        key = key_of(source, compiler, arch);
        const std::string kept = key.empty() ? "" : cache.find(key);
        if (const CompiledPath path = kept.empty() ? nullptr : load(kept, why_not)) return path;
    }
    const TemporaryFolder folder;
    bool written = !folder.path.empty() && write_text(folder.path / "formula.cpp", source);
    for (const auto& [name, text] : kernel_headers())
        written = written && write_text(folder.path / name, text);
    if (!written) {
        why_not = "no temporary folder to compile in";
        return nullptr;
    }
    const std::string library = (folder.path / "formula.so").string();
    const ProgramEnd end = run_compiler(
        compiler, arch, {"-I", folder.path.string(), (folder.path / "formula.cpp").string(), "-o", library});
    std::ifstream made(library, std::ios::binary);
    stopped = end.stopped;
    if (end.status != 0 || !made) {
        why_not = "'" + compiler + "' " +
                  (end.stopped                            ? "was stopped"
                   : end.status < 0 || end.status == 127 ? "did not start"
                   : end.status == 0                     ? "made no library from the generated source"
                                                         : "failed on the generated source");
        return nullptr;
    }
    const CompiledPath path = load(library, why_not);
    if (path && !key.empty())
        cache.add(key, std::string(std::istreambuf_iterator<char>(made), {}));
    return path;
}

CompiledPath compile(const std::string& source, const std::string& arch, std::string& why_not) {
    const std::string folder = PrivateCache::folder_of_user();
    const PrivateCache cache(folder);
    if (static bool said = false; cache.is_open_to_others() && !said) {
        said = true;
        std::fprintf(stderr,
                     "microlift: compiled formulas are not kept: %s is not this user's alone (mode 0700)\n",
                     folder.c_str());
    }
    bool stopped = false;
    for (const std::string& compiler : compilers()) {
        if (const CompiledPath path = compile_by(compiler, source, arch, cache, why_not, stopped)) return path;
        if (stopped) break;
    }
    return nullptr;
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
