#pragma once
// Named arrays in HDF5, whole or absent. A file begins with a block of 512 bytes (an HDF5 user
// block) that holds its length and a hash of everything after it; reading checks both first, so a
// truncated or altered file is refused before HDF5 looks at it. h5py reads the files as they are.
// One thread at a time: Debian's HDF5 is not built for more.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "engine/error.h"
#include "kernels/lane/lane.h"

namespace microlift {

enum class DType { f32, f64, i64, u8 };

std::size_t dtype_bytes(DType type);
const char* dtype_name(DType type);

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

struct ArrayInfo {
    DType type = DType::u8;
    std::vector<index> shape;
    index count() const;  // elements
    index rows() const { return shape.empty() ? 1 : shape[0]; }
};

// XXH64 of Yann Collet, fed in pieces.
class Hash64 {
public:
    explicit Hash64(std::uint64_t seed = 0);
    void add(const void* data, std::size_t bytes);
    std::uint64_t value() const;

private:
    std::uint64_t lanes_[4];
    std::uint64_t seed_;
    std::uint64_t total_ = 0;
    unsigned char pending_[32];
    std::size_t held_ = 0;
};

// Writes a file piece by piece. `kind` says what it is, for example "checkpoint" or "samples".
class ArrayFileWriter {
public:
    // `expected_bytes` of arrays: that much space has to be free before anything is written.
    ArrayFileWriter(const std::filesystem::path& file, const std::string& kind,
                    std::size_t expected_bytes);
    ~ArrayFileWriter();
    ArrayFileWriter(const ArrayFileWriter&) = delete;
    ArrayFileWriter& operator=(const ArrayFileWriter&) = delete;

    void add_array(const std::string& name, const ArrayInfo& info);
    // Rows [first, first + count) of the array; a row is everything after the first dimension.
    void write(const std::string& name, index first, index count, const void* rows);
    // `object` is an array's name, or "/" for the file.
    void attribute(const std::string& object, const std::string& name, const std::string& value);
    void attribute(const std::string& object, const std::string& name,
                   const std::vector<std::string>& values);
    void attribute(const std::string& object, const std::string& name,
                   const std::vector<double>& values);
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

    const std::map<std::string, ArrayInfo>& arrays() const;
    const std::map<std::string, std::string>& attributes() const;  // texts of the file itself
    bool has(const std::string& name) const { return arrays().count(name) != 0; }
    // InputError if there is none, or it has another type.
    const ArrayInfo& info(const std::string& name, DType type) const;
    void read(const std::string& name, index first, index count, void* rows) const;
    std::vector<std::string> texts(const std::string& object, const std::string& name) const;
    const std::filesystem::path& file() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

// An ordered map of arrays and texts: what a checkpoint is.
class Store {
public:
    template <class T>
    void put(const std::string& name, std::vector<T> values, std::vector<index> shape = {}) {
        if (shape.empty()) {
            shape = {static_cast<index>(values.size())};
        }
        add(name, {dtype_of<T>(), std::move(shape)}, Owned(std::move(values)), nullptr);
    }
    // Not copied: the memory has to live until save().
    template <class T>
    void put_view(const std::string& name, const T* values, std::vector<index> shape) {
        add(name, {dtype_of<T>(), std::move(shape)}, Owned(), [values](index first, index count,
                                                                      index row, void* out) {
            copy_bytes(out, values + first * row, static_cast<std::size_t>(count * row) * sizeof(T));
        });
    }
    // Rows are asked for in pieces while saving, for example to be copied from a device.
    // `read(first, count, elements_of_a_row, out)`.
    using RowReader = std::function<void(index, index, index, void*)>;
    void put_rows(const std::string& name, const ArrayInfo& info, RowReader read) {
        add(name, info, Owned(), std::move(read));
    }

    bool has(const std::string& name) const { return entries_.count(name) != 0; }
    std::vector<std::string> names() const;
    const ArrayInfo& info(const std::string& name) const;
    // InputError if there is no such array, it has another type or (if given) another size.
    template <class T>
    std::span<const T> get(const std::string& name, index count = -1) const {
        return std::get<std::vector<T>>(owned(name, dtype_of<T>(), count));
    }
    template <class T>
    std::vector<T> take(const std::string& name) {
        return std::move(
            std::get<std::vector<T>>(const_cast<Owned&>(owned(name, dtype_of<T>(), -1))));
    }
    template <class T>
    T scalar(const std::string& name) const {
        return get<T>(name, 1)[0];
    }
    template <class T>
    void put_scalar(const std::string& name, T value) {
        put(name, std::vector<T>{value});
    }

    std::map<std::string, std::string> attributes;

    // Throws InputError; afterwards the file is as it was before, or complete.
    void save(const std::filesystem::path& file, const std::string& kind = "checkpoint") const;
    static Store load(const std::filesystem::path& file, const std::string& kind = "checkpoint");

private:
    using Owned = std::variant<std::vector<float>, std::vector<double>, std::vector<long long>,
                               std::vector<std::uint8_t>>;
    struct Entry {
        ArrayInfo info;
        Owned owned;
        RowReader read;  // empty: `owned` holds the values
    };
    static void copy_bytes(void* out, const void* from, std::size_t bytes);
    void add(const std::string& name, ArrayInfo info, Owned owned, RowReader read);
    const Owned& owned(const std::string& name, DType type, index count) const;

    std::map<std::string, Entry> entries_;
    std::string source_ = "checkpoint";
};

}  // namespace microlift
