#include "engine/files/files.h"

#include "engine/files/left.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <system_error>

namespace microlift {
namespace {

constexpr std::size_t kPendingBytes = std::size_t{1} << 18;
constexpr std::size_t kMostRead = std::size_t{1} << 24;

bool left_to_another = false;

std::string reason(int error_number) { return std::generic_category().message(error_number); }

// Closes on every way out.
struct Descriptor {
    int value;
    ~Descriptor() {
        if (value >= 0) {
            ::close(value);
        }
    }
};

std::filesystem::path directory_of(const std::filesystem::path& file) {
    const std::filesystem::path parent = file.parent_path();
    return parent.empty() ? std::filesystem::path(".") : parent;
}

// No two processes, and no two files of one, share a name.
std::string temporary_name(const std::string& name) {
    static std::atomic<unsigned> number{0};
    constexpr std::size_t kMostName = 200;  // of the 255 letters that a name may have
    return "." + name.substr(0, kMostName) + "." + std::to_string(::getpid()) + "-" +
           std::to_string(number++) + std::string(kPartial);
}

}  // namespace

std::string format_double(double value) {
    if (std::isnan(value)) {
        return "nan";
    }
    char buffer[40];
    const auto end =
        std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::general, 17);
    return {buffer, end.ptr};
}

void throw_write_error(const std::filesystem::path& file, int error_number) {
    std::string remedy = "check the path";
    if (error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG) {
        remedy = "free some space, or write elsewhere";
    } else if (error_number == EACCES || error_number == EPERM || error_number == EROFS) {
        remedy = "choose a directory that you may write to";
    } else if (error_number == ENOENT || error_number == ENOTDIR) {
        remedy = "make its directory first";
    } else if (error_number == EISDIR || error_number == EEXIST) {
        remedy = "give the name of a file";
    } else if (error_number == EIO) {
        remedy = "check the disk";
    }
    throw InputError("cannot write " + file.string() + ": " + reason(error_number) + "; " + remedy);
}

void leave_files_to_another() { left_to_another = true; }
bool leaves_files() { return left_to_another; }

AtomicFile::AtomicFile(std::filesystem::path target) : target_(std::move(target)) {
    if (left_to_another) return;
    struct stat status {};
    if (::stat(target_.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
        if (S_ISDIR(status.st_mode)) {
            throw_write_error(target_, EISDIR);
        }
        throw InputError("cannot write " + target_.string() +
                         ": it is not a regular file; give the name of a file");
    }
    do {
        temporary_ = directory_of(target_) / temporary_name(target_.filename().string());
        descriptor_ = ::open(temporary_.c_str(),
                             O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0666);
    } while (descriptor_ < 0 && errno == EEXIST);
    if (descriptor_ < 0) {
        throw_write_error(target_, errno);
    }
    removed_.watch(temporary_.string());
}

AtomicFile::~AtomicFile() {
    if (descriptor_ >= 0) {
        ::close(descriptor_);
        ::unlink(temporary_.c_str());
    }
}

void AtomicFile::flush() {
    const char* data = pending_.data();
    std::size_t left = pending_.size();
    while (left > 0) {
        check_stop();
        const ssize_t done = ::write(descriptor_, data, left);
        if (done < 0) {
            if (errno == EINTR) {
                continue;
            }
            throw_write_error(target_, errno);
        }
        data += done;
        left -= static_cast<std::size_t>(done);
    }
    pending_.clear();
}

void AtomicFile::write(const void* data, std::size_t bytes) {
    if (descriptor_ < 0) return;
    const char* from = static_cast<const char*>(data);
    while (bytes > 0) {
        const std::size_t now = std::min(bytes, kPendingBytes);
        pending_.append(from, now);
        from += now;
        bytes -= now;
        if (pending_.size() >= kPendingBytes) {
            flush();
        }
    }
}

void AtomicFile::reserve(std::size_t bytes, bool keep_length) {
    if (bytes == 0 || descriptor_ < 0) {
        return;
    }
    int status = 0;
    do {
        status = ::fallocate(descriptor_, keep_length ? FALLOC_FL_KEEP_SIZE : 0, 0, static_cast<off_t>(bytes));
    } while (status != 0 && errno == EINTR);
    // A file system without fallocate says so; there the writes themselves will tell.
    if (status != 0 && errno != EOPNOTSUPP && errno != ENOSYS) {
        throw_write_error(target_, errno);
    }
}

void AtomicFile::commit() {
    if (descriptor_ < 0) return;
    flush();
    if (::fsync(descriptor_) != 0) {
        throw_write_error(target_, errno);
    }
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
        throw_write_error(target_, errno);
    }
    removed_.forget();
    const int closed = ::close(descriptor_);
    descriptor_ = -1;
    if (closed != 0 && errno != EINTR) {
        throw_write_error(target_, errno);
    }
    // The name itself has to survive a power cut, too.
    const Descriptor directory{
        ::open(directory_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (directory.value >= 0) {
        ::fsync(directory.value);
    }
}

void write_file(const std::filesystem::path& file, std::string_view content) {
    AtomicFile out(file);
    out.write(content);
    out.commit();
}

std::string read_file(const std::filesystem::path& file, std::size_t most_bytes) {
    const Descriptor in{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    struct stat status {};
    if (in.value < 0 || ::fstat(in.value, &status) != 0) {
        throw InputError("cannot read " + file.string() + ": " + reason(errno) + "; check the path");
    }
    if (!S_ISREG(status.st_mode)) {
        throw InputError("cannot read " + file.string() +
                         ": it is not a regular file; give the name of a file");
    }
    if (static_cast<std::size_t>(status.st_size) > most_bytes) {
        throw InputError("cannot read " + file.string() + ": it is larger than " +
                         std::to_string(most_bytes) + " bytes; give a smaller file");
    }
    std::string content(static_cast<std::size_t>(status.st_size), '\0');
    std::size_t done = 0;
    while (done < content.size()) {
        check_stop();
        const ssize_t now = ::read(in.value, content.data() + done,
                                   std::min(content.size() - done, kMostRead));
        if (now < 0 && errno == EINTR) {
            continue;
        }
        if (now <= 0) {
            throw InputError("cannot read " + file.string() + ": " +
                             (now < 0 ? reason(errno) : "it became shorter") + "; check the file");
        }
        done += static_cast<std::size_t>(now);
    }
    return content;
}

static std::string csv_text(const std::string& text) {
    if (text.find_first_of(",\"\n\r") == std::string::npos) {
        return text;
    }
    std::string out = "\"";
    for (char c : text) {
        out += c == '"' ? std::string("\"\"") : std::string(1, c);
    }
    return out + "\"";
}

CsvWriter::CsvWriter(std::filesystem::path file, const std::vector<std::string>& columns)
    : file_(std::move(file)), columns_(columns.size()) {
    std::string line;
    for (const std::string& column : columns) {
        line += (line.empty() ? "" : ",") + csv_text(column);
    }
    file_.write(line + "\n");
}

void CsvWriter::row(const std::vector<Cell>& cells) {
    if (cells.size() != columns_) {
        throw std::logic_error("a CSV row has " + std::to_string(cells.size()) + " cells for " +
                               std::to_string(columns_) + " columns");
    }
    std::string line;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        line += i == 0 ? "" : ",";
        if (const double* number = std::get_if<double>(&cells[i])) {
            line += format_double(*number);
        } else if (const index* integer = std::get_if<index>(&cells[i])) {
            line += std::to_string(*integer);
        } else {
            line += csv_text(std::get<std::string>(cells[i]));
        }
    }
    file_.write(line + "\n");
}

NpyWriter::NpyWriter(std::filesystem::path file, index rows, index columns, bool is_double)
    : file_(std::move(file)), rows_(rows), columns_(columns), is_double_(is_double) {
    std::string header = "{'descr': '<f" + std::string(is_double ? "8" : "4") +
                         "', 'fortran_order': False, 'shape': (" + std::to_string(rows) + ", " +
                         std::to_string(columns) + "), }";
    // Magic, version, length and header together are a multiple of 64 bytes.
    while ((10 + header.size() + 1) % 64 != 0) {
        header += ' ';
    }
    header += '\n';
    const auto length = static_cast<std::uint16_t>(header.size());
    file_.write(std::string_view("\x93NUMPY\x01\x00", 8));
    const char bytes[2] = {static_cast<char>(length & 0xff), static_cast<char>(length >> 8)};
    file_.write(bytes, 2);
    file_.write(header);
    file_.reserve(10 + header.size() +
                  static_cast<std::size_t>(rows * columns) * (is_double ? 8 : 4));
}

void NpyWriter::append(const float* rows, index count) {
    if (is_double_ || written_ + count > rows_) {
        throw std::logic_error("NpyWriter: other type, or too many rows");
    }
    file_.write(rows, static_cast<std::size_t>(count * columns_) * sizeof(float));
    written_ += count;
}

void NpyWriter::append(const double* rows, index count) {
    if (!is_double_ || written_ + count > rows_) {
        throw std::logic_error("NpyWriter: other type, or too many rows");
    }
    file_.write(rows, static_cast<std::size_t>(count * columns_) * sizeof(double));
    written_ += count;
}

void NpyWriter::finish() {
    if (written_ != rows_) {
        throw std::logic_error("NpyWriter: rows are missing");
    }
    file_.commit();
}

}  // namespace microlift
