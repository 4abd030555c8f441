// Weight files in the safetensors format: an 8-byte little-endian header length, a JSON header, then
// the tensors' bytes. The metadata holds a checksum of header and data, which the reader verifies.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "kernels/lane/lane.h"

namespace microlift {

struct Tensor {
    std::string type;           // F32, F64, I64, U64
    std::vector<index> shape;
    std::vector<std::byte> data;  // row-major, little-endian

    static Tensor of(const std::vector<float>& values, std::vector<index> shape = {});
    static Tensor of(const std::vector<double>& values, std::vector<index> shape = {});
    static Tensor of(const std::vector<uint64>& values, std::vector<index> shape = {});
    // InputError if the type is another.
    std::vector<float> floats() const;
    std::vector<double> doubles() const;
    std::vector<uint64> words() const;
    index count() const;
};

using TensorMap = std::map<std::string, Tensor>;

struct SafeTensors {
    TensorMap tensors;
    std::map<std::string, std::string> metadata;

    // InputError "FILE holds no tensor NAME; …".
    const Tensor& tensor(const std::string& name) const;
    const std::string& text(const std::string& key) const;
};

// `name` appears in messages. Throws InputError, and nothing else, on whatever bytes.
SafeTensors parse_safetensors(std::span<const std::byte> bytes,
                              const std::string& name = "safetensors");
SafeTensors read_safetensors(const std::filesystem::path& file);
std::vector<std::byte> format_safetensors(const SafeTensors& content);
void write_safetensors(const std::filesystem::path& file, const SafeTensors& content);

}  // namespace microlift
