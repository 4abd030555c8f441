#include "engine/files/private_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <vector>

#include "engine/files/hash.h"

namespace microlift {
namespace {

namespace fs = std::filesystem;

constexpr const char* kCachePrefix = "microlift-";  // of all files: those of other names are not touched
constexpr std::size_t kLargestFile = std::size_t{64} << 20;  // of one file

std::string sealed_by(const std::string& name, const std::string& content) {
    return "microlift " + checksum_of(name + "\n" + content);
}

std::string absolute_path_in(const char* variable) {
    const char* const path = std::getenv(variable);
    return path != nullptr && path[0] == '/' ? path : "";
}

bool is_this_users(const std::string& folder) {
    struct stat status {};
    return !folder.empty() && ::stat(folder.c_str(), &status) == 0 && status.st_uid == ::geteuid();
}

// Whole, of a file that nobody else could have written; else empty.
std::string read_own(int file) {
    struct stat status {};
    if (::fstat(file, &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != ::geteuid() ||
        (status.st_mode & 022) != 0 || static_cast<std::uint64_t>(status.st_size) > kLargestFile)
        return "";
    std::string content(static_cast<std::size_t>(status.st_size), '\0');
    for (std::size_t at = 0; at < content.size();) {
        const ssize_t done = ::read(file, content.data() + at, content.size() - at);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return "";
        at += static_cast<std::size_t>(done);
    }
    return content;
}

bool write_whole(int file, const std::string& content) {
    for (std::size_t at = 0; at < content.size();) {
        const ssize_t done = ::write(file, content.data() + at, content.size() - at);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return false;
        at += static_cast<std::size_t>(done);
    }
    return true;
}

}  // namespace

std::string PrivateCache::folder_of_user() {
    if (std::getenv("MICROLIFT_CACHE") != nullptr) return absolute_path_in("MICROLIFT_CACHE");
    if (const std::string base = absolute_path_in("XDG_CACHE_HOME"); !base.empty())
        return is_this_users(base) ? base + "/microlift" : "";
    const std::string home = absolute_path_in("HOME");
    return is_this_users(home) ? home + "/.cache/microlift" : "";
}

PrivateCache::PrivateCache(const std::string& folder, std::uint64_t most_bytes)
    : most_bytes_(most_bytes) {
    if (folder.empty()) return;
    std::error_code ignored;
    fs::create_directories(fs::path(folder).parent_path(), ignored);
    ::mkdir(folder.c_str(), 0700);
    folder_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status {};
    if (folder_ < 0 || (::fstat(folder_, &status) == 0 && status.st_uid == ::geteuid() &&
                        (status.st_mode & 077) == 0))
        return;
    ::close(folder_);
    folder_ = -1;
    open_to_others_ = true;
}

PrivateCache::~PrivateCache() {
    if (folder_ >= 0) ::close(folder_);
}

std::string PrivateCache::find(const std::string& name) const {
    if (folder_ < 0) return "";
    const int file = ::openat(folder_, (kCachePrefix + name).c_str(),
                              O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (file < 0) return "";
    std::string content = read_own(file);
    const std::size_t end = sealed_by(name, "").size();
    bool whole = content.size() > end;
    if (whole) {
        const std::string sealed = content.substr(content.size() - end);
        content.resize(content.size() - end);
        whole = sealed == sealed_by(name, content);
    }
    if (whole) ::futimens(file, nullptr);  // used now
    ::close(file);
    return whole ? "/proc/self/fd/" + std::to_string(folder_) + "/" + kCachePrefix + name : "";
}

void PrivateCache::add(const std::string& name, const std::string& content) const {
    if (folder_ < 0) return;
    const std::string target = kCachePrefix + name, temporary = target + "." + std::to_string(::getpid());
    ::unlinkat(folder_, temporary.c_str(), 0);  // of a process of that number that was killed
    const int file = ::openat(folder_, temporary.c_str(),
                              O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0) return;
    const bool written = write_whole(file, content + sealed_by(name, content));
    if (::close(file) != 0 || !written ||
        ::renameat(folder_, temporary.c_str(), folder_, target.c_str()) != 0)
        ::unlinkat(folder_, temporary.c_str(), 0);
    make_room(target);
}

void PrivateCache::make_room(const std::string& but) const {
    struct Entry {
        std::string name;
        std::uint64_t bytes;
        timespec used;
    };
    std::vector<Entry> entries;
    std::uint64_t total = 0;
    const int again = ::openat(folder_, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* const listing = again >= 0 ? ::fdopendir(again) : nullptr;
    if (listing == nullptr) {
        if (again >= 0) ::close(again);
        return;
    }
    while (const dirent* const entry = ::readdir(listing)) {
        struct stat status {};
        if (::fstatat(folder_, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(status.st_mode) || !std::string_view(entry->d_name).starts_with(kCachePrefix))
            continue;
        total += static_cast<std::uint64_t>(status.st_size);
        if (entry->d_name != but)
            entries.push_back(
                {entry->d_name, static_cast<std::uint64_t>(status.st_size), status.st_mtim});
    }
    ::closedir(listing);
    std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
        return a.used.tv_sec != b.used.tv_sec ? a.used.tv_sec < b.used.tv_sec
                                              : a.used.tv_nsec < b.used.tv_nsec;
    });
    for (const Entry& entry : entries) {
        if (total <= most_bytes_) return;
        if (::unlinkat(folder_, entry.name.c_str(), 0) == 0) total -= entry.bytes;
    }
}

}  // namespace microlift
