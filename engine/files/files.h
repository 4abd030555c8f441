#pragma once
// Files that are whole or absent: written under a temporary name in the same directory, synced,
// renamed. Numbers do not depend on the locale.

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/error.h"
#include "engine/stop.h"
#include "kernels/lane/lane.h"

namespace microlift {

// Ends the name of a file that is being written.
inline constexpr std::string_view kPartial = ".partial";

// 17 significant digits: reads back as the same double.
std::string format_double(double value);

// InputError "cannot write FILE: No space left on device; free some space, or write elsewhere".
[[noreturn]] void throw_write_error(const std::filesystem::path& file, int error_number);

class AtomicFile {
public:
    // Opens ".NAME.PROCESS-NUMBER.partial" beside the target: a name of its own.
    explicit AtomicFile(std::filesystem::path target);
    ~AtomicFile();  // without commit(): the target is as it was before
    AtomicFile(const AtomicFile&) = delete;
    AtomicFile& operator=(const AtomicFile&) = delete;

    void write(const void* data, std::size_t bytes);
    void write(std::string_view text) { write(text.data(), text.size()); }
    // Takes the space now, so that a full disk shows before the work is done. `keep_length`: the
    // file does not become longer by it.
    void reserve(std::size_t bytes, bool keep_length = false);
    void commit();

    const std::filesystem::path& target() const { return target_; }
    // For a library that writes by itself: it may reopen this path, then call commit().
    const std::filesystem::path& temporary() const { return temporary_; }
    int descriptor() const { return descriptor_; }

private:
    void flush();
    std::filesystem::path target_;
    std::filesystem::path temporary_;
    std::string pending_;
    int descriptor_ = -1;
    RemovedAtStop removed_;
};

void write_file(const std::filesystem::path& file, std::string_view content);
std::string read_file(const std::filesystem::path& file, std::size_t most_bytes);

// Comma-separated values; names with commas or quotes are quoted.
class CsvWriter {
public:
    using Cell = std::variant<double, index, std::string>;
    CsvWriter(std::filesystem::path file, const std::vector<std::string>& columns);
    void row(const std::vector<Cell>& cells);
    void finish() { file_.commit(); }

private:
    AtomicFile file_;
    std::size_t columns_;
};

// A two-dimensional .npy array of float32 ('<f4') or float64 ('<f8'), in pieces of whole rows.
class NpyWriter {
public:
    NpyWriter(std::filesystem::path file, index rows, index columns, bool is_double);
    void append(const float* rows, index count);
    void append(const double* rows, index count);
    void finish();  // all rows must be there

private:
    AtomicFile file_;
    index rows_, columns_, written_ = 0;
    bool is_double_;
};

// One process at a time in a directory, or several that only read it. The lock goes with the process,
// however it ends. Whoever has the directory alone removes what killed processes left unfinished in it.
class DirectoryLock {
public:
    enum class Use { alone, reading };
    explicit DirectoryLock(const std::filesystem::path& directory, Use use = Use::alone);
    ~DirectoryLock();
    DirectoryLock(const DirectoryLock&) = delete;
    DirectoryLock& operator=(const DirectoryLock&) = delete;

private:
    int descriptor_ = -1;
};

}  // namespace microlift
