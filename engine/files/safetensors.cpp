#include "engine/files/safetensors.h"

#include <cstring>

#include "engine/files/files.h"
#include "engine/files/hash.h"
#include "engine/files/json.h"
#include "engine/text.h"

namespace microlift {
namespace {

constexpr std::size_t kMostHeaderBytes = std::size_t{1} << 20;
constexpr std::size_t kMostFileBytes = std::size_t{1} << 32;
constexpr std::size_t kShownBytes = 80;
constexpr const char* kChecksumKey = "checksum_xxh64";

std::size_t type_bytes(const std::string& type) {
    if (type == "F32") return 4;
    if (type == "F64" || type == "I64" || type == "U64") return 8;
    return 0;
}

[[noreturn]] void refuse(const std::string& name, const std::string& wrong) {
    throw InputError(name + ": " + wrong + "; give a weight file that microlift wrote");
}

template <class T>
Tensor make(const char* type, const std::vector<T>& values, std::vector<index> shape) {
    if (shape.empty()) shape = {static_cast<index>(values.size())};
    Tensor tensor{type, std::move(shape), std::vector<std::byte>(values.size() * sizeof(T))};
    if (!values.empty()) std::memcpy(tensor.data.data(), values.data(), tensor.data.size());
    return tensor;
}

template <class T>
std::vector<T> take(const Tensor& tensor, const char* type) {
    if (tensor.type != type)
        throw InputError("a tensor has type " +
                         printable(tensor.type, kShownBytes, Controls::blank) + "; it should be " + type);
    std::vector<T> values(tensor.data.size() / sizeof(T));
    if (!values.empty()) std::memcpy(values.data(), tensor.data.data(), values.size() * sizeof(T));
    return values;
}

// A header entry that is a non-negative integer.
bool whole(const Json& value, std::size_t& out) {
    if (!value.is_unsigned()) return false;
    out = value.get<std::size_t>();
    return true;
}

// Of the data and of a header without its checksum.
std::string checksum_text(std::span<const std::byte> data, const Json& header) {
    const std::string text = header.dump();
    Hash64 hash;
    hash.add(data.data(), data.size());
    hash.add(text.data(), text.size());
    return hash.digits();
}

}  // namespace

Tensor Tensor::of(const std::vector<float>& values, std::vector<index> shape) {
    return make("F32", values, std::move(shape));
}
Tensor Tensor::of(const std::vector<double>& values, std::vector<index> shape) {
    return make("F64", values, std::move(shape));
}
Tensor Tensor::of(const std::vector<uint64>& values, std::vector<index> shape) {
    return make("U64", values, std::move(shape));
}
std::vector<float> Tensor::floats() const { return take<float>(*this, "F32"); }
std::vector<double> Tensor::doubles() const { return take<double>(*this, "F64"); }
std::vector<uint64> Tensor::words() const { return take<uint64>(*this, "U64"); }

index Tensor::count() const {
    index n = 1;
    for (const index extent : shape) n *= extent;
    return n;
}

const Tensor& SafeTensors::tensor(const std::string& name) const {
    const auto found = tensors.find(name);
    if (found == tensors.end())
        throw InputError("there is no tensor '" + name + "'; give a weight file that microlift wrote");
    return found->second;
}

const std::string& SafeTensors::text(const std::string& key) const {
    const auto found = metadata.find(key);
    if (found == metadata.end())
        throw InputError("the metadata has no '" + key + "'; give a weight file that microlift wrote");
    return found->second;
}

SafeTensors parse_safetensors(std::span<const std::byte> bytes, const std::string& name) {
    if (bytes.size() < 8) refuse(name, "it ends inside its first 8 bytes");
    uint64 length;
    std::memcpy(&length, bytes.data(), 8);
    if (length > kMostHeaderBytes) refuse(name, "its header claims to be longer than 1 MiB");
    if (length > bytes.size() - 8) refuse(name, "it is truncated inside its header");
    const std::string header(reinterpret_cast<const char*>(bytes.data()) + 8, length);
    const auto data = bytes.subspan(8 + length);

    const auto parsed = Json::parse_strictly(header);
    if (!parsed || !parsed->is_object())
        refuse(name, "its header is not a JSON object of tensors");
    Json json = *parsed;
    SafeTensors content;
    std::size_t total = 0;
    std::map<std::size_t, std::size_t> pieces;  // begin → end, must tile the data
    for (const auto& [key, value] : json.items()) {
        if (key == "__metadata__") {
            if (!value.is_object()) refuse(name, "its metadata is not an object");
            for (const auto& [word, text] : value.items()) {
                if (!text.is_string()) refuse(name, "its metadata holds something not a string");
                content.metadata[word] = text.get<std::string>();
            }
            continue;
        }
        const std::string which = "tensor '" + printable(key, kShownBytes, Controls::blank) + "' ";
        if (!value.is_object() || !value.contains("dtype") || !value.contains("shape") ||
            !value.contains("data_offsets") || !value["dtype"].is_string() ||
            !value["shape"].is_array() || !value["data_offsets"].is_array() ||
            value["data_offsets"].size() != 2)
            refuse(name, which + "lacks a type, a shape or two offsets");
        Tensor tensor;
        tensor.type = value["dtype"].get<std::string>();
        const std::size_t unit = type_bytes(tensor.type);
        if (unit == 0) refuse(name, which + "has a type other than F32, F64, I64, U64");
        std::size_t size = unit;
        if (value["shape"].size() > 8) refuse(name, which + "has more than 8 dimensions");
        for (const Json& extent : value["shape"]) {
            std::size_t n = 0;
            if (!whole(extent, n)) refuse(name, which + "has a shape that is not of whole numbers");
            if (n > kMostFileBytes || (n != 0 && size > kMostFileBytes / n))
                refuse(name, which + "is larger than 4 GiB");
            size *= n;
            tensor.shape.push_back(static_cast<index>(n));
        }
        std::size_t begin = 0, end = 0;
        if (!whole(value["data_offsets"][0], begin) || !whole(value["data_offsets"][1], end) ||
            begin > end)
            refuse(name, which + "has offsets that are not of whole, ascending numbers");
        if (end > data.size()) refuse(name, which + "reaches past the end: the file is truncated");
        if (end - begin != size) refuse(name, which + "has offsets that do not fit its shape");
        if (size > 0 && !pieces.emplace(begin, end).second)
            refuse(name, which + "shares its bytes with another");
        tensor.data.assign(data.begin() + static_cast<std::ptrdiff_t>(begin),
                           data.begin() + static_cast<std::ptrdiff_t>(end));
        total += size;
        if (total > data.size()) refuse(name, which + "shares its bytes with another");
        content.tensors.emplace(key, std::move(tensor));
    }
    std::size_t at = 0;
    for (const auto& [begin, end] : pieces) {
        if (begin != at) refuse(name, "its tensors overlap or leave a gap");
        at = end;
    }
    if (at != data.size()) refuse(name, "bytes follow its last tensor");
    const auto stated = content.metadata.find(kChecksumKey);
    if (stated == content.metadata.end()) refuse(name, "its metadata holds no checksum");
    json["__metadata__"].erase(kChecksumKey);
    if (stated->second != checksum_text(data, json))
        refuse(name, "its content does not match its checksum: it was altered");
    content.metadata.erase(stated);
    return content;
}

SafeTensors read_safetensors(const std::filesystem::path& file) {
    const std::string bytes = read_file(file, kMostFileBytes);
    return parse_safetensors(std::as_bytes(std::span(bytes.data(), bytes.size())), file.string());
}

std::vector<std::byte> format_safetensors(const SafeTensors& content) {
    std::vector<std::byte> data;
    // The keys in order, so that equal content has equal bytes.
    std::map<std::string, Json> entries;
    for (const auto& [name, tensor] : content.tensors) {
        entries[name] = {{"data_offsets", {data.size(), data.size() + tensor.data.size()}},
                         {"dtype", tensor.type},
                         {"shape", tensor.shape}};
        data.insert(data.end(), tensor.data.begin(), tensor.data.end());
    }
    const auto format = [&](const std::map<std::string, std::string>& metadata) {
        Json texts = Json::object();
        for (const auto& [key, text] : metadata) texts[key] = text;
        entries["__metadata__"] = texts;
        Json header = Json::object();
        for (const auto& [key, entry] : entries) header[key] = entry;
        return header;
    };
    auto metadata = content.metadata;
    metadata[kChecksumKey] = checksum_text(data, format(content.metadata));
    std::string text = format(metadata).dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const uint64 length = text.size();
    std::vector<std::byte> bytes(8 + text.size() + data.size());
    std::memcpy(bytes.data(), &length, 8);
    std::memcpy(bytes.data() + 8, text.data(), text.size());
    if (!data.empty()) std::memcpy(bytes.data() + 8 + text.size(), data.data(), data.size());
    return bytes;
}

void write_safetensors(const std::filesystem::path& file, const SafeTensors& content) {
    const auto bytes = format_safetensors(content);
    write_file(file, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

}  // namespace microlift
