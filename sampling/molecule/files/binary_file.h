// Binary files read at places, with their names in errors.
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "kernels/lane/lane.h"

namespace microlift {

class BinaryFile {
public:
    explicit BinaryFile(std::filesystem::path path);
    index size() const { return size_; }
    // InputError where the file ends before.
    void read_at(index offset, void* data, std::size_t bytes);
    int little_integer(index offset);
    int big_integer(index offset);
    float big_float(index offset);
    [[noreturn]] void refuse(const std::string& message) const;

private:
    struct Close {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };
    std::filesystem::path path_;
    std::unique_ptr<std::FILE, Close> file_;
    index size_ = 0;
};

}  // namespace microlift
