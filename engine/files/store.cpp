#include "engine/files/store.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "engine/files/left.h"

namespace microlift {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{1} << 22;

}  // namespace

void Store::add(const std::string& name, ArrayInfo info, Owned owned, RowReader read) {
    if (!read) {
        const index held = std::visit([](const auto& v) { return static_cast<index>(v.size()); }, owned);
        if (held != info.count()) {
            throw std::logic_error("array '" + name + "': its shape is not that of its values");
        }
    }
    entries_[name] = Entry{std::move(info), std::move(owned), std::move(read)};
}

std::vector<std::string> Store::names() const {
    std::vector<std::string> out;
    for (const auto& [name, entry] : entries_) {
        out.push_back(name);
    }
    return out;
}

const ArrayInfo& Store::info(const std::string& name) const {
    const auto found = entries_.find(name);
    if (found == entries_.end()) {
        bad_array_file(source_, "it has no array '" + name + "'");
    }
    return found->second.info;
}

const Store::Owned& Store::owned(const std::string& name, DType type, index count) const {
    const ArrayInfo& have = info(name);
    const Entry& entry = entries_.find(name)->second;
    if (entry.read) {
        throw std::logic_error("array '" + name + "' is only written");
    }
    if (have.type != type || (count >= 0 && have.count() != count)) {
        bad_array_file(source_, "its array '" + name + "' has " + std::to_string(have.count()) + " " +
                              dtype_name(have.type) + " instead of " +
                              (count >= 0 ? std::to_string(count) + " " : "") + dtype_name(type));
    }
    return entry.owned;
}

void Store::save(const std::filesystem::path& file, const std::string& kind) const {
    if (leaves_files()) return;  // rows may lie on a device
    std::size_t bytes = 0;
    for (const auto& [name, entry] : entries_) {
        bytes += static_cast<std::size_t>(entry.info.count()) * dtype_bytes(entry.info.type) + 2048;
    }
    ArrayFileWriter writer(file, kind, bytes);
    for (const auto& [name, value] : attributes) {
        writer.attribute("/", name, value);
    }
    std::vector<unsigned char> piece;
    for (const auto& [name, entry] : entries_) {
        writer.add_array(name, entry.info);
        if (!entry.read) {
            std::visit([&, &array = name, &info = entry.info](
                           const auto& v) { writer.write(array, 0, info.rows(), v.data()); },
                       entry.owned);
            continue;
        }
        const index row = entry.info.row_elements();
        const auto row_bytes = static_cast<std::size_t>(row) * dtype_bytes(entry.info.type);
        const index step = std::max<index>(
            1, static_cast<index>(kPieceBytes / std::max<std::size_t>(1, row_bytes)));
        for (index first = 0; first < entry.info.rows() && row > 0; first += step) {
            const index now = std::min(step, entry.info.rows() - first);
            piece.resize(static_cast<std::size_t>(now) * row_bytes);
            entry.read(first, now, row, piece.data());
            writer.write(name, first, now, piece.data());
        }
    }
    writer.commit();
}

Store Store::load(const std::filesystem::path& file) {
    const ArrayFileReader reader(file, "checkpoint");
    Store store;
    store.source_ = file.string();
    store.attributes = reader.attributes();
    const auto fill = [&]<class T>(const std::string& name, const ArrayInfo& info, T) {
        std::vector<T> values(static_cast<std::size_t>(info.count()));
        reader.read(name, 0, info.rows(), values.data());
        store.add(name, info, Owned(std::move(values)), nullptr);
    };
    for (const auto& [name, info] : reader.arrays()) {
        switch (info.type) {
            case DType::f32: fill(name, info, float{}); break;
            case DType::f64: fill(name, info, double{}); break;
            case DType::i64: fill(name, info, 0LL); break;
            case DType::u8: fill(name, info, std::uint8_t{}); break;
        }
    }
    return store;
}

}  // namespace microlift
