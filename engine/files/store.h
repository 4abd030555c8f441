#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine/files/array_file.h"

namespace microlift {

// An ordered map of arrays and texts: what a checkpoint is.
class Store {
public:
    // An array by name; without a shape a row of numbers.
    template <class T>
    void put(const std::string& name, std::vector<T> values, std::vector<index> shape = {}) {
        if (shape.empty()) {
            shape = {static_cast<index>(values.size())};
        }
        add(name, {dtype_of<T>(), std::move(shape)}, Owned(std::move(values)), nullptr);
    }
    // Rows are asked for in pieces while saving, for example to be copied from a device.
    // `read(first, count, elements_of_a_row, out)`.
    using RowReader = std::function<void(index, index, index, void*)>;
    void put_rows(const std::string& name, const ArrayInfo& info, RowReader read) {
        add(name, info, Owned(), std::move(read));
    }

    // Whether there is an array of that name; all names, sorted; type and shape of one (InputError if there is none).
    bool has(const std::string& name) const { return entries_.count(name) != 0; }
    std::vector<std::string> names() const;
    const ArrayInfo& info(const std::string& name) const;
    // InputError if there is no such array, it has another type or (if given) another size.
    template <class T>
    std::span<const T> get(const std::string& name, index count = -1) const {
        return std::get<std::vector<T>>(owned(name, dtype_of<T>(), count));
    }
    // The same, moved out.
    template <class T>
    std::vector<T> take(const std::string& name) {
        return std::move(
            std::get<std::vector<T>>(const_cast<Owned&>(owned(name, dtype_of<T>(), -1))));
    }
    // A single number, and putting one.
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
    // The whole file. InputError where it is none, or was altered.
    static Store load(const std::filesystem::path& file);

private:
    using Owned = std::variant<std::vector<float>, std::vector<double>, std::vector<long long>,
                               std::vector<std::uint8_t>>;
    struct Entry {
        ArrayInfo info;
        Owned owned;
        RowReader read;  // empty: `owned` holds the values
    };
    void add(const std::string& name, ArrayInfo info, Owned owned, RowReader read);
    const Owned& owned(const std::string& name, DType type, index count) const;

    std::map<std::string, Entry> entries_;
    std::string source_ = "checkpoint";
};

}  // namespace microlift
