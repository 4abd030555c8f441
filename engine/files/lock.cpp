// Locks of directories, and what killed processes left in them.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <string_view>
#include <system_error>

#include "engine/files/files.h"
#include "engine/text.h"

namespace microlift {

namespace {

// The process that a temporary name speaks of; 0: it is none.
pid_t process_of(std::string_view name) {
    if (!name.starts_with(".") || !name.ends_with(kPartial)) {
        return 0;
    }
    name.remove_suffix(kPartial.size());
    name.remove_prefix(name.rfind('.') + 1);
    pid_t process = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), process);
    return parsed.ec == std::errc() && *parsed.ptr == '-' && process > 0 ? process : 0;
}

void remove_leftovers(const std::filesystem::path& directory) {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
        const pid_t process = process_of(entry.path().filename().string());
        if (process != 0 && ::kill(process, 0) != 0 && errno == ESRCH) {
            ::unlink(entry.path().c_str());
        }
    }
}

// 0, or the error number: EWOULDBLOCK where another process holds it, others where there are no locks.
int lock_file(int descriptor, bool alone) {
    while (::flock(descriptor, (alone ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            return EWOULDBLOCK;
        }
        if (errno == EINTR) {
            continue;
        }
        // Some file systems have this kind of lock instead.
        struct flock range {};
        range.l_type = alone ? F_WRLCK : F_RDLCK;
        range.l_whence = SEEK_SET;
        if (::fcntl(descriptor, F_OFD_SETLK, &range) == 0) {
            return 0;
        }
        return errno == EACCES || errno == EAGAIN ? EWOULDBLOCK : errno;
    }
    return 0;
}

}  // namespace

DirectoryLock::DirectoryLock(const std::filesystem::path& directory, Use use) {
    const std::filesystem::path file = directory / ".lock";
    const bool alone = use == Use::alone;
    descriptor_ = ::open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC | O_NONBLOCK, 0666);
    if (descriptor_ < 0 && !alone) {
        return;  // a directory that only others may write to
    }
    if (descriptor_ < 0) {
        throw_write_error(file, errno);
    }
    const int failed = lock_file(descriptor_, alone);
    if (failed == EWOULDBLOCK) {
        ::close(descriptor_);
        descriptor_ = -1;
        throw InputError(directory.string() +
                         ": another microlift is at work there; wait for it, or choose another "
                         "directory");
    }
    if (failed != 0) {
        std::fprintf(stderr,
                     "microlift: warning: %s: files there cannot be locked (%s); see that no other "
                     "microlift works in it\n",
                     printable(directory.string(), kWholeText, Controls::escape).c_str(),
                     std::generic_category().message(failed).c_str());
    }
    if (alone) {
        remove_leftovers(directory);
    }
}

DirectoryLock::~DirectoryLock() {
    if (descriptor_ >= 0) {
        ::close(descriptor_);
    }
}

}  // namespace microlift
