#include "sampling/molecule/files/binary_file.h"

#include <sys/stat.h>

#include <bit>
#include <cstdint>
#include <utility>

#include "engine/error.h"

namespace microlift {

static_assert(std::endian::native == std::endian::little);

BinaryFile::BinaryFile(std::filesystem::path path) : path_(std::move(path)) {
    struct stat status {};
    const bool regular = ::stat(path_.c_str(), &status) == 0 && S_ISREG(status.st_mode);
    if (regular) file_.reset(std::fopen(path_.c_str(), "rb"));
    if (!file_) throw InputError("cannot read " + path_.string() + "; give the name of a file");
    size_ = status.st_size;
}

void BinaryFile::refuse(const std::string& message) const {
    throw InputError(path_.string() + ": " + message);
}

void BinaryFile::read_at(index offset, void* data, std::size_t bytes) {
    if (::fseeko(file_.get(), offset, SEEK_SET) != 0 || std::fread(data, 1, bytes, file_.get()) != bytes)
        refuse("the file ends at byte " + std::to_string(size_) + ", within a record; give the whole file");
}

int BinaryFile::little_integer(index offset) {
    int value = 0;
    read_at(offset, &value, sizeof value);
    return value;
}

int BinaryFile::big_integer(index offset) {
    return static_cast<int>(__builtin_bswap32(static_cast<std::uint32_t>(little_integer(offset))));
}

float BinaryFile::big_float(index offset) { return std::bit_cast<float>(big_integer(offset)); }

}  // namespace microlift
