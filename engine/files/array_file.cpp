#include "engine/files/array_file.h"

#include "engine/files/left.h"

#include <fcntl.h>
#include <hdf5.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "engine/files/files.h"
#include "engine/files/hash.h"

namespace microlift {
namespace {

constexpr std::size_t kSealBytes = 512;  // the smallest user block that HDF5 allows
constexpr std::size_t kPieceBytes = std::size_t{1} << 22;
constexpr std::size_t kOverheadBytes = std::size_t{1} << 16;
constexpr int kMaxDimensions = 8;
constexpr std::size_t kChunkBytes = std::size_t{1} << 19;  // half of what HDF5 keeps in memory of an array
constexpr std::uint64_t kMostChunkBytes = std::uint64_t{1} << 24;
constexpr std::uint64_t kMostDeflated = 1100;  // deflate makes no less than a thousandth of what it is given
constexpr hssize_t kMostNumbers = 1 << 24;  // of an attribute
constexpr const char* kRemedy = "take a copy that is whole, or run again";

}  // namespace

// --- HDF5 handles --------------------------------------------------------------------------------

class Hdf5Handle {
public:
    Hdf5Handle() = default;
    Hdf5Handle(hid_t id, herr_t (*closer)(hid_t)) : id_(id), close_(closer) {}
    Hdf5Handle(Hdf5Handle&& other) noexcept : id_(other.id_), close_(other.close_) { other.id_ = -1; }
    Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
        std::swap(id_, other.id_);
        std::swap(close_, other.close_);
        return *this;
    }
    ~Hdf5Handle() { close(); }
    bool close() {
        const hid_t id = id_;
        id_ = -1;
        return id < 0 || close_(id) >= 0;
    }
    operator hid_t() const { return id_; }

private:
    hid_t id_ = -1;
    herr_t (*close_)(hid_t) = nullptr;
};

namespace {

// HDF5 prints its error stack by default; ours is the one message.
// Its clean-up at exit is left out: after a write that failed it would try again, and crash.
void quiet_hdf5() {
    static const bool once = H5dont_atexit() >= 0;
    (void)once;
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

herr_t find_errno(unsigned, const H5E_error2_t* error, void* out) {
    const char* at = error->desc == nullptr ? nullptr : std::strstr(error->desc, "errno = ");
    if (at != nullptr && *static_cast<int*>(out) == 0) {
        *static_cast<int*>(out) = std::atoi(at + 8);
    }
    return 0;
}

// Of the call that failed last; the next call of HDF5, also one that closes a handle, clears it.
int last_hdf5_errno() {
    int number = 0;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, find_errno, &number);
    return number == 0 ? EIO : number;
}

[[noreturn]] void hdf5_write_failed(const std::filesystem::path& file) {
    throw_write_error(file, last_hdf5_errno());
}

// Without HDF5's own locks: some file systems have none, and the files here are read whole or written under
// a name that nobody else uses.
Hdf5Handle access_without_locks() {
    Hdf5Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    H5Pset_file_locking(access, false, true);
    return access;
}

hid_t native_type(DType type) {
    switch (type) {
        case DType::f32: return H5T_IEEE_F32LE;
        case DType::f64: return H5T_IEEE_F64LE;
        case DType::i64: return H5T_STD_I64LE;
        case DType::u8: return H5T_STD_U8LE;
    }
    return -1;
}

bool find_type(hid_t stored, DType& type) {
    for (DType candidate : {DType::f32, DType::f64, DType::i64, DType::u8}) {
        if (H5Tequal(stored, native_type(candidate)) > 0) {
            type = candidate;
            return true;
        }
    }
    return false;
}

Hdf5Handle text_type() {
    Hdf5Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    return type;
}

// Moves rows [first, first + count) between memory and the open data set; 0, or an error number.
int transfer_rows(hid_t set, const ArrayInfo& info, index first, index count, void* in,
                  const void* out) {
    if (count == 0 || info.count() == 0) {
        return 0;
    }
    const auto move = [&](hid_t memory, hid_t space) {
        const hid_t type = native_type(info.type);
        const herr_t status = in != nullptr ? H5Dread(set, type, memory, space, H5P_DEFAULT, in)
                                            : H5Dwrite(set, type, memory, space, H5P_DEFAULT, out);
        return status < 0 ? last_hdf5_errno() : 0;
    };
    if (info.shape.empty()) {
        return move(H5S_ALL, H5S_ALL);
    }
    hsize_t start[kMaxDimensions] = {};
    hsize_t size[kMaxDimensions] = {};
    for (std::size_t i = 0; i < info.shape.size(); ++i) {
        size[i] = static_cast<hsize_t>(info.shape[i]);
    }
    start[0] = static_cast<hsize_t>(first);
    size[0] = static_cast<hsize_t>(count);
    const Hdf5Handle space(H5Dget_space(set), H5Sclose);
    const Hdf5Handle memory(H5Screate_simple(static_cast<int>(info.shape.size()), size, nullptr),
                        H5Sclose);
    if (space < 0 || memory < 0 ||
        H5Sselect_hyperslab(space, H5S_SELECT_SET, start, nullptr, size, nullptr) < 0) {
        return last_hdf5_errno();
    }
    return move(memory, space);
}

// --- the seal ------------------------------------------------------------------------------------

std::string seal_text(const std::string& kind, std::uint64_t length, std::uint64_t hash) {
    char text[kSealBytes] = {};
    std::snprintf(text, sizeof text, "microlift file 1\nkind %.64s\nlength %020llu\nxxh64 %016llx\n",
                  kind.c_str(), static_cast<unsigned long long>(length),
                  static_cast<unsigned long long>(hash));
    return {text, sizeof text};
}

std::uint64_t hash_after_seal(int descriptor, const std::filesystem::path& file,
                              std::uint64_t length) {
    Hash64 hash;
    std::vector<unsigned char> piece(kPieceBytes);
    std::uint64_t at = kSealBytes;
    while (at < length) {
        const ssize_t done =
            ::pread(descriptor, piece.data(),
                    static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), length - at)),
                    static_cast<off_t>(at));
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            bad_array_file(file, "it cannot be read to its end");
        }
        hash.add(piece.data(), static_cast<std::size_t>(done));
        at += static_cast<std::uint64_t>(done);
    }
    return hash.value();
}

void write_seal(const AtomicFile& file, const std::string& kind) {
    struct stat status {};
    if (::fstat(file.descriptor(), &status) != 0) {
        throw_write_error(file.target(), errno);
    }
    const auto length = static_cast<std::uint64_t>(status.st_size);
    const std::string text =
        seal_text(kind, length, hash_after_seal(file.descriptor(), file.target(), length));
    errno = EIO;
    // Gives back what was reserved beyond the end.
    if (::ftruncate(file.descriptor(), status.st_size) != 0 ||
        ::pwrite(file.descriptor(), text.data(), text.size(), 0) !=
        static_cast<ssize_t>(text.size())) {
        throw_write_error(file.target(), errno);
    }
}

void check_seal(const std::filesystem::path& file, const std::string& kind) {
    const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) {
        throw InputError("cannot read " + file.string() + ": " +
                         std::generic_category().message(errno) + "; check the path");
    }
    const std::unique_ptr<const int, void (*)(const int*)> closer(&descriptor,
                                                                  [](const int* d) { ::close(*d); });
    struct stat status {};
    char text[kSealBytes] = {};
    const bool read = ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) &&
                      ::pread(descriptor, text, sizeof text, 0) == static_cast<ssize_t>(sizeof text);
    const std::string_view head(text, sizeof text);
    if (!read || head.substr(0, 17) != "microlift file 1\n") {
        bad_array_file(file, "it is not a file of microlift, or its beginning is damaged");
    }
    const auto length = static_cast<std::uint64_t>(status.st_size);
    const std::string expected = seal_text(kind, length, hash_after_seal(descriptor, file, length));
    if (head == expected) {
        return;
    }
    const std::size_t end = expected.find("\nlength ");
    if (head.substr(0, end) != std::string_view(expected).substr(0, end)) {
        bad_array_file(file, "it is not a " + kind + " file");
    }
    const std::size_t hash_at = expected.find("\nxxh64 ");
    bad_array_file(file, head.substr(0, hash_at) != std::string_view(expected).substr(0, hash_at)
                             ? "it is truncated or has grown: its length is not what was written"
                             : "it was altered: its checksum does not match");
}

}  // namespace

void bad_array_file(const std::filesystem::path& file, const std::string& wrong) {
    throw InputError(file.string() + ": " + wrong + "; " + kRemedy);
}

std::size_t dtype_bytes(DType type) {
    switch (type) {
        case DType::f32: return 4;
        case DType::f64:
        case DType::i64: return 8;
        case DType::u8: return 1;
    }
    return 1;
}

const char* dtype_name(DType type) {
    switch (type) {
        case DType::f32: return "float32";
        case DType::f64: return "float64";
        case DType::i64: return "int64";
        case DType::u8: return "uint8";
    }
    return "?";
}

index ArrayInfo::row_elements() const {
    index n = 1;
    for (std::size_t d = 1; d < shape.size(); ++d) {
        n *= shape[d];
    }
    return n;
}

index ArrayInfo::count() const {
    index n = 1;
    for (index d : shape) {
        n *= d;
    }
    return n;
}

// --- writing -------------------------------------------------------------------------------------

struct ArrayFileWriter::State {
    AtomicFile file;
    std::string kind;
    Hdf5Handle hdf5;
    std::map<std::string, std::pair<ArrayInfo, Hdf5Handle>> sets;
};

ArrayFileWriter::ArrayFileWriter(const std::filesystem::path& file, const std::string& kind,
                                 std::size_t expected_bytes)
    : state_(leaves_files() ? nullptr : new State{AtomicFile(file), kind, {}, {}}) {
    if (!state_) return;
    quiet_hdf5();
    state_->file.reserve(expected_bytes + kOverheadBytes);
    const Hdf5Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
    H5Pset_userblock(creation, kSealBytes);
    state_->hdf5 = Hdf5Handle(H5Fcreate(state_->file.temporary().c_str(), H5F_ACC_TRUNC, creation,
                                    access_without_locks()),
                          H5Fclose);
    if (state_->hdf5 < 0) {
        hdf5_write_failed(file);
    }
    // HDF5 has emptied the file; hold the space again while it writes.
    state_->file.reserve(expected_bytes + kOverheadBytes, true);
}

ArrayFileWriter::~ArrayFileWriter() = default;

void ArrayFileWriter::add_array(const std::string& name, const ArrayInfo& info, int compression) {
    if (!state_) return;
    hsize_t size[kMaxDimensions] = {};
    if (info.shape.size() > kMaxDimensions || state_->sets.count(name) != 0) {
        throw std::logic_error("array '" + name + "': too many dimensions, or a bad name");
    }
    for (std::size_t i = 0; i < info.shape.size(); ++i) {
        size[i] = static_cast<hsize_t>(info.shape[i]);
    }
    const Hdf5Handle space(info.shape.empty()
                           ? H5Screate(H5S_SCALAR)
                           : H5Screate_simple(static_cast<int>(info.shape.size()), size, nullptr),
                       H5Sclose);
    const Hdf5Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    H5Pset_obj_track_times(creation, false);  // the same arrays make the same bytes
    if (compression > 0 && info.count() > 0) {
        hsize_t chunk[kMaxDimensions] = {};
        std::copy(size, size + info.shape.size(), chunk);
        const std::size_t row = std::max<std::size_t>(1, dtype_bytes(info.type) * static_cast<std::size_t>(info.row_elements()));
        chunk[0] = std::clamp<hsize_t>(kChunkBytes / row, 1, size[0]);
        H5Pset_chunk(creation, static_cast<int>(info.shape.size()), chunk);
        H5Pset_shuffle(creation);  // bytes of one place of many numbers are alike
        H5Pset_deflate(creation, static_cast<unsigned>(compression));
    }
    const Hdf5Handle groups(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
    H5Pset_create_intermediate_group(groups, 1);  // of a name with slashes
    Hdf5Handle set(H5Dcreate2(state_->hdf5, name.c_str(), native_type(info.type), space, groups, creation,
                          H5P_DEFAULT),
               H5Dclose);
    if (set < 0) {
        hdf5_write_failed(state_->file.target());
    }
    state_->sets.emplace(name, std::make_pair(info, std::move(set)));
}

void ArrayFileWriter::write(const std::string& name, index first, index count, const void* rows) {
    if (!state_) return;
    const auto& [info, set] = state_->sets.at(name);
    if (first < 0 || count < 0 || first + count > info.rows()) {
        throw std::logic_error("array '" + name + "': rows outside it");
    }
    if (const int failed = transfer_rows(set, info, first, count, nullptr, rows)) {
        throw_write_error(state_->file.target(), failed);
    }
}

static void write_attribute(hid_t file, const std::string& object, const std::string& name,
                            hid_t type, const hsize_t* count, const void* data,
                            const std::filesystem::path& path) {
    const Hdf5Handle owner(H5Oopen(file, object.c_str(), H5P_DEFAULT), H5Oclose);
    const Hdf5Handle space(count == nullptr ? H5Screate(H5S_SCALAR)
                                        : H5Screate_simple(1, count, nullptr),
                       H5Sclose);
    const Hdf5Handle attribute(
        H5Acreate2(owner, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
    if (attribute < 0 || H5Awrite(attribute, type, data) < 0) {
        hdf5_write_failed(path);
    }
}

void ArrayFileWriter::attribute(const std::string& object, const std::string& name,
                                const std::string& value) {
    if (!state_) return;
    const char* text = value.c_str();
    write_attribute(state_->hdf5, object, name, text_type(), nullptr, &text, state_->file.target());
}

void ArrayFileWriter::attribute(const std::string& object, const std::string& name,
                                const std::vector<std::string>& values) {
    if (!state_) return;
    std::vector<const char*> texts;
    for (const std::string& value : values) {
        texts.push_back(value.c_str());
    }
    const hsize_t count = texts.size();
    write_attribute(state_->hdf5, object, name, text_type(), &count, texts.data(),
                    state_->file.target());
}

void ArrayFileWriter::attribute(const std::string& object, const std::string& name,
                                const std::vector<double>& values) {
    if (!state_) return;
    const hsize_t count = values.size();
    write_attribute(state_->hdf5, object, name, H5T_IEEE_F64LE, &count, values.data(),
                    state_->file.target());
}

void ArrayFileWriter::commit() {
    if (!state_) return;
    bool closed = true;
    for (auto& [name, entry] : state_->sets) {
        closed = entry.second.close() && closed;
    }
    closed = closed && H5Fflush(state_->hdf5, H5F_SCOPE_GLOBAL) >= 0;
    closed = closed && state_->hdf5.close();
    if (!closed) {
        hdf5_write_failed(state_->file.target());
    }
    write_seal(state_->file, state_->kind);
    state_->file.commit();
}

// --- reading -------------------------------------------------------------------------------------

struct ArrayFileReader::State {
    std::filesystem::path file;
    Hdf5Handle hdf5;
    std::map<std::string, ArrayInfo> arrays;
    std::map<std::string, std::string> attributes;
    bool bad = false;
};

static std::vector<std::string> read_texts(hid_t owner, const char* name, bool& bad) {
    std::vector<std::string> out;
    const Hdf5Handle attribute(H5Aopen(owner, name, H5P_DEFAULT), H5Aclose);
    const Hdf5Handle space(attribute < 0 ? -1 : H5Aget_space(attribute), H5Sclose);
    const Hdf5Handle stored(attribute < 0 ? -1 : H5Aget_type(attribute), H5Tclose);
    const hssize_t count = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    if (count < 0 || count > 1000000 || H5Tis_variable_str(stored) <= 0) {
        bad = true;
        return out;
    }
    std::vector<char*> texts(static_cast<std::size_t>(count), nullptr);
    const Hdf5Handle type = text_type();
    if (H5Aread(attribute, type, texts.data()) < 0) {
        bad = true;
        return out;
    }
    for (const char* text : texts) {
        out.emplace_back(text == nullptr ? "" : text);
    }
    H5Dvlen_reclaim(type, space, H5P_DEFAULT, texts.data());
    return out;
}

// What a reader collects. `left`: bytes of the file that no array has claimed yet.
struct Found {
    std::map<std::string, ArrayInfo>& arrays;
    std::uint64_t left;
    bool bad = false;
};

// Only what the writer makes: a data set in this file, all of it there, in one piece or compressed. A shape alone may
// claim more than any memory holds, and other layouts may name other files.
static bool is_whole(hid_t set, const ArrayInfo& info, std::uint64_t& left) {
    std::uint64_t bytes = dtype_bytes(info.type);
    for (const index size : info.shape) {
        if (size < 0 || __builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size), &bytes)) {
            return false;
        }
    }
    const Hdf5Handle creation(H5Dget_create_plist(set), H5Pclose);
    const H5D_layout_t layout = creation < 0 ? H5D_LAYOUT_ERROR : H5Pget_layout(creation);
    if (layout == H5D_LAYOUT_ERROR || layout == H5D_VIRTUAL || H5Pget_external_count(creation) != 0) return false;
    const std::uint64_t stored = H5Dget_storage_size(set);
    if (stored > left) return false;
    left -= stored;
    if (layout != H5D_CHUNKED) return H5Pget_nfilters(creation) == 0 && (bytes == 0 || stored == bytes);
    hsize_t chunk[kMaxDimensions] = {};
    std::uint64_t chunk_bytes = dtype_bytes(info.type);
    const int dimensions = H5Pget_chunk(creation, kMaxDimensions, chunk);
    if (dimensions != static_cast<int>(info.shape.size())) return false;
    for (int i = 0; i < dimensions; ++i)
        if (__builtin_mul_overflow(chunk_bytes, chunk[i], &chunk_bytes)) return false;
    const int filters = H5Pget_nfilters(creation);
    for (int i = 0; i < filters; ++i) {
        unsigned flags = 0, values[8] = {};
        std::size_t count = 8;
        const H5Z_filter_t filter = H5Pget_filter2(creation, static_cast<unsigned>(i), &flags, &count, values, 0, nullptr, nullptr);
        if (filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_DEFLATE) return false;
    }
    return filters == 2 && chunk_bytes <= kMostChunkBytes && bytes / kMostDeflated <= stored;
}

static herr_t visit_link(hid_t group, const char* name, const H5L_info_t* link, void* out) {
    auto& found = *static_cast<Found*>(out);
    found.bad = true;
    if (link->type != H5L_TYPE_HARD) {
        return 1;
    }
    const Hdf5Handle set(H5Dopen2(group, name, H5P_DEFAULT), H5Dclose);
    const Hdf5Handle type(set < 0 ? -1 : H5Dget_type(set), H5Tclose);
    const Hdf5Handle space(set < 0 ? -1 : H5Dget_space(set), H5Sclose);
    ArrayInfo info;
    const int dimensions = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    if (dimensions < 0 || dimensions > kMaxDimensions || type < 0 || !find_type(type, info.type)) {
        return 1;
    }
    hsize_t size[kMaxDimensions] = {};
    H5Sget_simple_extent_dims(space, size, nullptr);
    for (int i = 0; i < dimensions; ++i) {
        info.shape.push_back(static_cast<index>(size[i]));
    }
    if (!is_whole(set, info, found.left)) {
        return 1;
    }
    found.arrays.emplace(name, info);
    found.bad = false;
    return 0;
}

static herr_t visit_attribute(hid_t owner, const char* name, const H5A_info_t*, void* out) {
    auto* state = static_cast<std::pair<std::map<std::string, std::string>*, bool*>*>(out);
    bool other = false;  // an attribute that is not a text is no error
    const std::vector<std::string> texts = read_texts(owner, name, other);
    if (!other && texts.size() == 1) {
        state->first->emplace(name, texts[0]);
    }
    return 0;
}

ArrayFileReader::ArrayFileReader(const std::filesystem::path& file, const std::string& kind)
    : state_(new State) {
    state_->file = file;
    quiet_hdf5();
    check_seal(file, kind);
    state_->hdf5 = Hdf5Handle(H5Fopen(file.c_str(), H5F_ACC_RDONLY, access_without_locks()), H5Fclose);
    bool bad = state_->hdf5 < 0;
    if (!bad) {
        std::error_code unknown;
        const std::uintmax_t length = std::filesystem::file_size(file, unknown);
        Found found{state_->arrays, unknown ? 0 : length};
        hsize_t at = 0;
        bad = H5Literate(state_->hdf5, H5_INDEX_NAME, H5_ITER_INC, &at, visit_link, &found) < 0 ||
              found.bad;
        std::pair<std::map<std::string, std::string>*, bool*> texts(&state_->attributes, &bad);
        at = 0;
        const Hdf5Handle root(H5Gopen2(state_->hdf5, "/", H5P_DEFAULT), H5Gclose);
        bad = H5Aiterate2(root, H5_INDEX_NAME, H5_ITER_INC, &at, visit_attribute, &texts) < 0 || bad;
    }
    if (bad) {
        bad_array_file(file, "it is not the HDF5 that microlift writes, or claims more than it holds");
    }
}

ArrayFileReader::~ArrayFileReader() = default;

const std::map<std::string, ArrayInfo>& ArrayFileReader::arrays() const { return state_->arrays; }

const std::map<std::string, std::string>& ArrayFileReader::attributes() const {
    return state_->attributes;
}

const std::filesystem::path& ArrayFileReader::file() const { return state_->file; }

const ArrayInfo& ArrayFileReader::info(const std::string& name, DType type) const {
    const auto found = state_->arrays.find(name);
    if (found == state_->arrays.end()) {
        bad_array_file(state_->file, "it has no array '" + name + "'");
    }
    if (found->second.type != type) {
        bad_array_file(state_->file, "its array '" + name + "' is " + dtype_name(found->second.type) +
                                   ", not " + dtype_name(type));
    }
    return found->second;
}

void ArrayFileReader::read(const std::string& name, index first, index count, void* rows) const {
    const auto found = state_->arrays.find(name);
    if (found == state_->arrays.end()) {
        bad_array_file(state_->file, "it has no array '" + name + "'");
    }
    if (first < 0 || count < 0 || first + count > found->second.rows()) {
        throw std::logic_error("array '" + name + "': rows outside it");
    }
    const Hdf5Handle set(H5Dopen2(state_->hdf5, name.c_str(), H5P_DEFAULT), H5Dclose);
    if (set < 0 || transfer_rows(set, found->second, first, count, rows, nullptr) != 0) {
        bad_array_file(state_->file, "its array '" + name + "' cannot be read");
    }
}

std::vector<std::string> ArrayFileReader::texts(const std::string& object,
                                                const std::string& name) const {
    const Hdf5Handle owner(H5Oopen(state_->hdf5, object.c_str(), H5P_DEFAULT), H5Oclose);
    bool bad = owner < 0;
    std::vector<std::string> out;
    if (!bad) {
        out = read_texts(owner, name.c_str(), bad);
    }
    if (bad) {
        bad_array_file(state_->file, "'" + object + "' has no attribute '" + name + "'");
    }
    return out;
}

bool ArrayFileReader::has_attribute(const std::string& object, const std::string& name) const {
    return H5Aexists_by_name(state_->hdf5, object.c_str(), name.c_str(), H5P_DEFAULT) > 0;
}

std::vector<double> ArrayFileReader::numbers(const std::string& object,
                                             const std::string& name) const {
    const Hdf5Handle attribute(
        H5Aopen_by_name(state_->hdf5, object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT),
        H5Aclose);
    const Hdf5Handle space(attribute < 0 ? -1 : H5Aget_space(attribute), H5Sclose);
    const Hdf5Handle type(attribute < 0 ? -1 : H5Aget_type(attribute), H5Tclose);
    const hssize_t count = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    std::vector<double> out;
    bool bad = count < 0 || count > kMostNumbers || H5Tequal(type, H5T_IEEE_F64LE) <= 0;
    if (!bad) {
        out.resize(static_cast<std::size_t>(count));
        bad = count > 0 && H5Aread(attribute, H5T_IEEE_F64LE, out.data()) < 0;
    }
    if (bad) {
        bad_array_file(state_->file, "'" + object + "' has no attribute '" + name + "' of numbers");
    }
    return out;
}

}  // namespace microlift
