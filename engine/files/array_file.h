#pragma once
// Named arrays in HDF5, whole or absent. A file begins with a block of 512 bytes (an HDF5 user
// block) that holds its length and a hash of everything after it; reading checks both first, so a
// truncated or altered file is refused before HDF5 looks at it. h5py reads the files as they are.
// One thread at a time: Debian's HDF5 is not built for more.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/error.h"
#include "kernels/lane/lane.h"

namespace microlift {

// What an array's numbers are.
enum class DType { f32, f64, i64, u8 };

// Bytes of one number, and what messages call it.
std::size_t dtype_bytes(DType type);
const char* dtype_name(DType type);

// That of float, double, long long or std::uint8_t.
template <class T>
constexpr DType dtype_of() {
    static_assert(std::is_same_v<T, float> || std::is_same_v<T, double> ||
                  std::is_same_v<T, long long> || std::is_same_v<T, std::uint8_t>);
    if constexpr (std::is_same_v<T, float>) {
        return DType::f32;
    } else if constexpr (std::is_same_v<T, double>) {
        return DType::f64;
    } else if constexpr (std::is_same_v<T, long long>) {
        return DType::i64;
    } else {
        return DType::u8;
    }
}

// An array's type and shape, the first dimension its rows.
struct ArrayInfo {
    DType type = DType::u8;
    std::vector<index> shape;
    index count() const;  // elements
    index rows() const { return shape.empty() ? 1 : shape[0]; }  // 1 of a number without a shape
    index row_elements() const;  // numbers in a row
};

// The message of a file that cannot be used.
[[noreturn]] void bad_array_file(const std::filesystem::path& file, const std::string& wrong);

// Writes a file piece by piece. `kind` says what it is, for example "checkpoint" or "samples".
class ArrayFileWriter {
public:
    // `expected_bytes` of arrays: that much space has to be free before anything is written.
    ArrayFileWriter(const std::filesystem::path& file, const std::string& kind,
                    std::size_t expected_bytes);
    ~ArrayFileWriter();
    ArrayFileWriter(const ArrayFileWriter&) = delete;
    ArrayFileWriter& operator=(const ArrayFileWriter&) = delete;

    // All arrays are named before the first is written. compression: 1 to 9, deflate's level; 0: none.
    void add_array(const std::string& name, const ArrayInfo& info, int compression = 0);
    // Rows [first, first + count) of the array; a row is everything after the first dimension.
    void write(const std::string& name, index first, index count, const void* rows);
    // `object` is an array's name, or "/" for the file.
    void attribute(const std::string& object, const std::string& name, const std::string& value);
    void attribute(const std::string& object, const std::string& name,
                   const std::vector<std::string>& values);
    void attribute(const std::string& object, const std::string& name,
                   const std::vector<double>& values);
    // Puts the file into place under its name; without it nothing is left. InputError where the disk is full.
    void commit();

private:
    struct State;
    std::unique_ptr<State> state_;
};

// A checked file, open for reading in pieces.
class ArrayFileReader {
public:
    ArrayFileReader(const std::filesystem::path& file, const std::string& kind);
    ~ArrayFileReader();
    ArrayFileReader(const ArrayFileReader&) = delete;
    ArrayFileReader& operator=(const ArrayFileReader&) = delete;

    // By name.
    const std::map<std::string, ArrayInfo>& arrays() const;
    const std::map<std::string, std::string>& attributes() const;  // texts of the file itself
    bool has(const std::string& name) const { return arrays().count(name) != 0; }  // an array of that name
    // InputError if there is none, or it has another type.
    const ArrayInfo& info(const std::string& name, DType type) const;
    // Rows [first, first + count) into memory for them, of the array's own type.
    void read(const std::string& name, index first, index count, void* rows) const;
    // Attributes of an array, or of the file ("/"): texts, whether there is one, numbers. InputError if there is none.
    std::vector<std::string> texts(const std::string& object, const std::string& name) const;
    bool has_attribute(const std::string& object, const std::string& name) const;
    std::vector<double> numbers(const std::string& object, const std::string& name) const;
    const std::filesystem::path& file() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace microlift
