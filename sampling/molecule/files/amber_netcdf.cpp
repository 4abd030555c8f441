// AMBER's binary restart files: NetCDF in its classic form (CDF-1 and CDF-2), read as its format
// specification says: big-endian, everything in multiples of four bytes.
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>

#include "engine/at.h"
#include "sampling/molecule/files/coordinates.h"

namespace microlift {

namespace {

enum NetcdfType { kByte = 1, kChar = 2, kShort = 3, kInt = 4, kFloat = 5, kDouble = 6 };

struct NetcdfVariable {
    std::vector<index> shape;
    int type = 0;
    double scale = 1;
    index begin = 0;
};

class NetcdfHeader {
public:
    explicit NetcdfHeader(const TextFile& file) : file_(file), wide_(file.content()[3] == 2) {
        if (file.content()[3] != 1 && !wide_) damaged();
        place_ = 4;
        records_ = integer();
        read_dimensions();
        double ignored = 1;
        read_attributes(ignored);
        read_variables();
    }

    // (atom, 3) numbers; false: no such variable.
    bool read(const std::string& name, std::vector<double>& values) const {
        const auto found = variables_.find(name);
        if (found == variables_.end()) return false;
        const NetcdfVariable& variable = found->second;
        const std::size_t size = variable.type == kDouble ? 8 : 4;
        if (variable.shape.size() != 2 || variable.shape[1] != 3 || variable.shape[0] < 1 ||
            variable.shape[0] > kMostAtoms || (variable.type != kDouble && variable.type != kFloat))
            file_.refuse(name + " is no table of 1 to " + std::to_string(kMostAtoms) +
                         " atoms and three numbers; give a restart file, not a trajectory");
        const std::size_t count = 3 * at(variable.shape[0]);
        check(variable.begin, size * count);
        values.resize(count);
        for (std::size_t i = 0; i < count; ++i) {
            const index place = variable.begin + static_cast<index>(size * i);
            const double value = size == 8 ? std::bit_cast<double>(bytes8(place))
                                           : static_cast<double>(std::bit_cast<float>(bytes4(place)));
            values[i] = value * variable.scale;
            if (!std::isfinite(values[i]))
                file_.refuse(name + " of atom " + std::to_string(i / 3) +
                             " (counted from 0) is not finite");
        }
        return true;
    }
    bool has(const std::string& name) const { return variables_.count(name) > 0; }

private:
    [[noreturn]] void damaged() const {
        file_.refuse("its NetCDF header is damaged; give a whole restart file");
    }
    void check(index place, std::size_t bytes) const {
        const std::size_t size = file_.content().size();
        if (place < 0 || at(place) > size || bytes > size - at(place))
            file_.refuse("it ends before its data do; give a whole restart file");
    }
    std::uint32_t bytes4(index place) const {
        std::uint32_t value = 0;
        std::memcpy(&value, file_.content().data() + place, sizeof value);
        return __builtin_bswap32(value);
    }
    std::uint64_t bytes8(index place) const {
        std::uint64_t value = 0;
        std::memcpy(&value, file_.content().data() + place, sizeof value);
        return __builtin_bswap64(value);
    }
    index integer() {
        check(place_, 4);
        place_ += 4;
        return bytes4(place_ - 4);
    }
    // The number of entries of a list, which a tag precedes.
    index entries(index tag) {
        const index found = integer(), count = integer();
        // An entry has eight bytes at the least.
        if ((found != tag && !(found == 0 && count == 0)) || count > std::ssize(file_.content()) / 8) damaged();
        return count;
    }
    std::string name() {
        const index length = integer();
        check(place_, at(length));
        const std::string text = file_.content().substr(at(place_), at(length));
        skip(length);
        return text;
    }
    void skip(index bytes) {
        bytes = (bytes + 3) / 4 * 4;
        check(place_, at(bytes));
        place_ += bytes;
    }
    static index size_of(index type) {
        static constexpr index kSizes[]{0, 1, 1, 2, 4, 4, 8};
        return type >= kByte && type <= kDouble ? kSizes[type] : 0;
    }

    void read_dimensions() {
        for (index n = entries(10); n > 0; --n) {
            name();
            dimensions_.push_back(integer());
        }
    }
    void read_attributes(double& scale) {
        for (index n = entries(12); n > 0; --n) {
            const std::string attribute = name();
            const index type = integer(), count = integer();
            if (size_of(type) == 0) damaged();
            const index place = place_;
            skip(size_of(type) * count);
            if (attribute != "scale_factor" || count != 1) continue;
            if (type == kDouble) scale = std::bit_cast<double>(bytes8(place));
            if (type == kFloat) scale = std::bit_cast<float>(bytes4(place));
        }
    }
    void read_variables() {
        for (index n = entries(11); n > 0; --n) {
            const std::string variable_name = name();
            NetcdfVariable variable;
            for (index d = integer(); d > 0; --d) {
                const index dimension = integer();
                if (dimension >= std::ssize(dimensions_)) damaged();
                const index length = dimensions_[at(dimension)];
                variable.shape.push_back(length == 0 ? records_ : length);
            }
            read_attributes(variable.scale);
            variable.type = static_cast<int>(integer());
            integer();  // bytes, which follow from the shape
            variable.begin = integer();
            if (wide_) variable.begin = (variable.begin & 0x7fffffff) << 32 | integer();
            variables_[variable_name] = variable;
        }
    }

    const TextFile& file_;
    bool wide_;
    index place_ = 0, records_ = 0;
    std::vector<index> dimensions_;
    std::map<std::string, NetcdfVariable> variables_;
};

}  // namespace

Coordinates read_amber_netcdf(const TextFile& file) {
    if (file.content().size() < 8) file.refuse("it ends within its header; give a whole restart file");
    const NetcdfHeader netcdf(file);
    Coordinates read;
    if (!netcdf.read("coordinates", read.position))
        file.refuse("it has no variable coordinates; give an AMBER restart file");
    for (double& x : read.position) x /= 10;
    if (netcdf.read("velocities", read.velocity)) {
        if (read.velocity.size() != read.position.size())
            file.refuse("other numbers of velocities and of coordinates; give a whole restart file");
        for (double& v : read.velocity) v /= 10;
    }
    if (netcdf.has("cell_lengths"))
        read.notes.push_back(file.path().string() + ": the periodic box is left out");
    return read;
}

}  // namespace microlift
