// Files of one user that later runs find again by name: what is costly to make and safe to lose.
//
// They may be code, so that nothing is taken on trust: the folder is the user's and closed to all others
// (mode 0700), a file is the user's, written by nobody else, and ends in a checksum of its name and content.
// What fails that is as if it were not there, and is replaced by what is added next.
#pragma once

#include <cstdint>
#include <string>

namespace microlift {

class PrivateCache {
public:
    // $MICROLIFT_CACHE, $XDG_CACHE_HOME/microlift or ~/.cache/microlift: an absolute path, or empty for no
    // cache, as MICROLIFT_CACHE=off says, or a home that is another user's.
    static std::string folder_of_user();

    // Makes the folder where it is missing. Where it is not private nothing is found or added.
    explicit PrivateCache(const std::string& folder, std::uint64_t most_bytes = std::uint64_t{256} << 20);
    ~PrivateCache();
    PrivateCache(const PrivateCache&) = delete;
    PrivateCache& operator=(const PrivateCache&) = delete;

    bool usable() const { return folder_ >= 0; }
    // Whether the folder is there and others may enter it, or own it.
    bool is_open_to_others() const { return open_to_others_; }
    // A path to the file, through this object's own hold of the folder and hence as long as that lives; empty
    // where there is none that passes. After the content stand some bytes more.
    std::string find(const std::string& name) const;
    // Whole under its name or not at all; in the folder names begin with "microlift-". Beyond `most_bytes` the files that were longest unused go.
    void add(const std::string& name, const std::string& content) const;

private:
    void make_room(const std::string& but) const;
    int folder_ = -1;
    bool open_to_others_ = false;
    std::uint64_t most_bytes_;
};

}  // namespace microlift
