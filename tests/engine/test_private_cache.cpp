// What runs keep for later ones: found again, and not where anything is amiss.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "engine/files/private_cache.h"

namespace fs = std::filesystem;
using namespace microlift;

namespace {

struct Folder {
    fs::path path;
    Folder() {
        std::string name = (fs::temp_directory_path() / "microlift-test-XXXXXX").string();
        REQUIRE(mkdtemp(name.data()) != nullptr);
        path = name;
    }
    ~Folder() { fs::remove_all(path); }
    std::string cache() const { return (path / "a/cache").string(); }
    fs::path file(const std::string& name) const { return path / "a/cache" / ("microlift-" + name); }
};

std::string content_of(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
}

// Of the environment, while it lives.
struct Variable {
    std::string name;
    std::optional<std::string> before;
    Variable(const std::string& variable, const char* value) : name(variable) {
        if (const char* const old = std::getenv(name.c_str())) before = old;
        set(value);
    }
    ~Variable() { set(before ? before->c_str() : nullptr); }
    Variable(const Variable&) = delete;
    Variable& operator=(const Variable&) = delete;
    void set(const char* value) const {
        if (value) setenv(name.c_str(), value, 1);
        else unsetenv(name.c_str());
    }
};

}  // namespace

TEST_CASE("private cache: what was added is found by its name, in a folder and files of this user alone") {
    const Folder folder;
    const mode_t usual = umask(0);  // what the modes are does not rest on it
    const PrivateCache cache(folder.cache());
    REQUIRE(cache.usable());
    CHECK(cache.find("one").empty());
    cache.add("one", "content");
    umask(usual);
    const std::string found = cache.find("one");
    REQUIRE(!found.empty());
    CHECK(content_of(found).substr(0, 7) == "content");
    CHECK(cache.find("on").empty());
    struct stat status {};
    REQUIRE(stat(folder.cache().c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0700);
    REQUIRE(stat(folder.file("one").c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    CHECK(!PrivateCache(folder.cache()).find("one").empty());
    CHECK(std::distance(fs::directory_iterator(folder.cache()), {}) == 1);
}

TEST_CASE("private cache: altered, cut, renamed, linked or writable files are not found, and are replaced") {
    const Folder folder;
    const PrivateCache cache(folder.cache());
    const auto spoiled = [&](auto&& spoil) {
        cache.add("one", "content");
        REQUIRE(!cache.find("one").empty());
        spoil(folder.file("one"));
        const bool missed = cache.find("one").empty();
        cache.add("one", "content");
        return missed && !cache.find("one").empty();
    };
    CHECK(spoiled([](const fs::path& file) { fs::resize_file(file, fs::file_size(file) - 1); }));
    CHECK(spoiled([](const fs::path& file) { fs::resize_file(file, 0); }));
    CHECK(spoiled([](const fs::path& file) {
        std::fstream(file, std::ios::in | std::ios::out | std::ios::binary).put('k');
    }));
    CHECK(spoiled([](const fs::path& file) { chmod(file.c_str(), 0620); }));
    CHECK(spoiled([](const fs::path& file) { chmod(file.c_str(), 0602); }));
    CHECK(spoiled([&](const fs::path& file) {
        fs::rename(file, folder.file("two"));
        fs::create_symlink(folder.file("two"), file);
    }));
    CHECK(spoiled([](const fs::path& file) {
        fs::remove(file);
        mkfifo(file.c_str(), 0600);  // would wait for a writer
    }));
    if (geteuid() == 0)  // who else may give files away
        CHECK(spoiled([](const fs::path& file) { REQUIRE(chown(file.c_str(), 1234, 1234) == 0); }));
    cache.add("one", "content");
    fs::copy_file(folder.file("one"), folder.file("three"));
    CHECK(cache.find("three").empty());
}

TEST_CASE("private cache: a folder that is not this user's alone is not used") {
    const Folder folder;
    { PrivateCache(folder.cache()).add("one", "content"); }
    for (const mode_t mode : {0755, 0770, 0701}) {
        REQUIRE(chmod(folder.cache().c_str(), mode) == 0);
        const PrivateCache cache(folder.cache());
        CHECK(!cache.usable());
        CHECK(cache.is_open_to_others());
        CHECK(cache.find("one").empty());
        cache.add("two", "content");
        CHECK(!fs::exists(folder.file("two")));
    }
    REQUIRE(chmod(folder.cache().c_str(), 0700) == 0);
    CHECK(!PrivateCache(folder.cache()).find("one").empty());
    fs::create_directory_symlink(folder.cache(), folder.path / "link");
    CHECK(!PrivateCache((folder.path / "link").string()).usable());
    if (geteuid() == 0) {
        REQUIRE(chown(folder.cache().c_str(), 1234, 1234) == 0);
        CHECK(!PrivateCache(folder.cache()).usable());
    }
    CHECK(!PrivateCache("").usable());
    CHECK(!PrivateCache("/proc/no/such/place").usable());
}

TEST_CASE("private cache: what was longest unused goes first, and nothing of another name") {
    const Folder folder;
    const PrivateCache cache(folder.cache(), 3500);
    std::ofstream(folder.path / "a/cache/precious") << std::string(5000, 'x');
    const std::string kilobyte(1000, 'x');
    const auto used_at = [&](const char* name, time_t seconds) {
        const timespec times[2] = {{seconds, 0}, {seconds, 0}};
        utimensat(AT_FDCWD, folder.file(name).c_str(), times, 0);
    };
    cache.add("one", kilobyte);
    cache.add("two", kilobyte);
    cache.add("three", kilobyte);
    used_at("one", 1000), used_at("two", 2000), used_at("three", 3000);
    CHECK(!cache.find("one").empty());  // used just now
    cache.add("four", kilobyte);
    CHECK(!cache.find("one").empty());
    CHECK(cache.find("two").empty());
    CHECK(!cache.find("three").empty());
    CHECK(!cache.find("four").empty());
    cache.add("five", std::string(4000, 'x'));  // more than there is room for
    CHECK(!cache.find("five").empty());
    CHECK(cache.find("four").empty());
    CHECK(fs::exists(folder.path / "a/cache/precious"));
}

TEST_CASE("private cache: where it lies") {
    const Folder folder;
    const std::string home = folder.path.string();
    const Variable cache("MICROLIFT_CACHE", nullptr), base("XDG_CACHE_HOME", nullptr),
        user("HOME", home.c_str());
    CHECK(PrivateCache::folder_of_user() == home + "/.cache/microlift");
    base.set("somewhere");
    CHECK(PrivateCache::folder_of_user() == home + "/.cache/microlift");
    base.set(home.c_str());
    CHECK(PrivateCache::folder_of_user() == home + "/microlift");
    cache.set("off");
    CHECK(PrivateCache::folder_of_user().empty());
    cache.set("/a/folder");
    CHECK(PrivateCache::folder_of_user() == "/a/folder");
    cache.set(nullptr), base.set(nullptr);
    if (geteuid() == 0) {  // sudo may leave HOME another user's
        REQUIRE(chown(home.c_str(), 1234, 1234) == 0);
        CHECK(PrivateCache::folder_of_user().empty());
    }
    user.set(nullptr);
    CHECK(PrivateCache::folder_of_user().empty());
}
