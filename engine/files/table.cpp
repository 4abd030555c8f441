#include "engine/files/table.h"

#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/error.h"
#include "engine/files/files.h"
#include "engine/text.h"

namespace microlift {
namespace {

constexpr std::size_t kMostTableBytes = std::size_t{1} << 32;
constexpr std::size_t kShownCellBytes = 40;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

[[noreturn]] void bad_table(const std::filesystem::path& file, const std::string& wrong) {
    throw InputError(file.string() + ": " + wrong +
                     "; give a .npy file of float32 or float64 with one state a row, or a .csv file");
}

// States are in single precision.
void need_finite(const std::filesystem::path& file, const std::string& where, double value,
                 std::string_view written) {
    if (std::isfinite(static_cast<float>(value))) return;
    throw InputError(file.string() + ": " + where + " is " +
                     printable(written, kShownCellBytes, Controls::blank) +
                     (std::isfinite(value) ? ", beyond single precision (3.4e38); choose other units"
                                           : "; give numbers that are finite") +
                     ", or leave the row out");
}

// --- .npy ------------------------------------------------------------------------------------------

// Dimensions after the second are joined with it, where that is asked for; `series`: the first of one more, else 1.
std::vector<index> npy_shape(const std::filesystem::path& file, std::string_view header, bool points, bool may_be_series,
                             index& series) {
    constexpr index kMostColumns = index{1} << 40;
    const std::size_t open = header.find("'shape': (");
    if (open == std::string_view::npos) {
        bad_table(file, "its header has no shape");
    }
    std::vector<index> shape;
    const char* at = header.data() + open + 10;
    const char* end = header.data() + header.size();
    while (at < end && *at != ')') {
        index n = 0;
        const auto parsed = std::from_chars(at, end, n);
        if (parsed.ec != std::errc() || n < 0) {
            bad_table(file, "its shape cannot be read");
        }
        shape.push_back(n);
        at = parsed.ptr;
        while (at < end && (*at == ',' || *at == ' ')) {
            ++at;
        }
    }
    const std::size_t most = points ? 3 : 2;
    series = 1;
    if (may_be_series && shape.size() == most + 1) {
        series = shape.front();
        shape.erase(shape.begin());
    }
    if (shape.empty() || shape.size() > most) {
        bad_table(file, "it has " + std::to_string(shape.size()) + " dimensions, not " +
                            (points ? "one to three" : "one or two"));
    }
    if (shape.size() == 3 && shape[2] != 3)
        bad_table(file, "its last dimension is " + std::to_string(shape[2]) +
                            ", not the 3 of points (state, point, 3)");
    for (const index columns : std::vector<index>(shape.begin() + (shape.size() > 2 ? 2 : shape.size()),
                                                  shape.end())) {
        if (columns > 0 && shape[1] > kMostColumns / columns) bad_table(file, "its rows are too long");
        shape[1] *= columns;
    }
    shape.resize(std::min<std::size_t>(shape.size(), 2));
    return shape;
}

Table parse_npy(const std::filesystem::path& file, const std::string& bytes, bool points, bool may_be_series) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
    if (bytes.size() < 12 || bytes.compare(0, 6, "\x93NUMPY") != 0) {
        bad_table(file, "it is not a .npy file");
    }
    const bool long_header = byte(6) >= 2;
    std::size_t length = byte(8) | static_cast<std::size_t>(byte(9)) << 8;
    if (long_header) {
        length |= static_cast<std::size_t>(byte(10)) << 16 | static_cast<std::size_t>(byte(11)) << 24;
    }
    const std::size_t start = long_header ? 12 : 10;
    if (length > bytes.size() - start) {
        bad_table(file, "its header is cut off");
    }
    const std::string_view header = std::string_view(bytes).substr(start, length);
    // The whole type: of a structured array only a part of it is a float.
    const bool is_double = header.find("'descr': '<f8'") != std::string_view::npos;
    if ((!is_double && header.find("'descr': '<f4'") == std::string_view::npos) ||
        header.find("'fortran_order': False") == std::string_view::npos) {
        bad_table(file, "its numbers are not little-endian float32 or float64 in C order");
    }
    Table table;
    const std::vector<index> shape = npy_shape(file, header, points, may_be_series, table.series);
    table.rows = shape.size() == 2 ? shape[0] : 1;
    constexpr index kMostRows = index{1} << 40;
    if (table.series > 0 && table.rows > kMostRows / table.series) bad_table(file, "it is cut off");
    table.rows *= table.series;
    table.columns = shape.back();
    const std::size_t item = is_double ? 8 : 4;
    const std::size_t available = (bytes.size() - start - length) / item;
    if (table.columns <= 0 || table.rows <= 0) {
        throw InputError(file.string() + ": its shape (" + std::to_string(table.rows) + ", " +
                         std::to_string(table.columns) + ") holds no states; give at least one, a row "
                         "each");
    }
    if (static_cast<std::size_t>(table.columns) > available ||
        static_cast<std::size_t>(table.rows) > available / static_cast<std::size_t>(table.columns)) {
        bad_table(file, "it is cut off");
    }
    const auto count = static_cast<std::size_t>(table.rows * table.columns);
    table.values.resize(count);
    const char* data = bytes.data() + start + length;
    for (std::size_t i = 0; i < count; ++i) {
        if (is_double) {
            std::memcpy(&table.values[i], data + 8 * i, 8);
        } else {
            float value = 0.0F;
            std::memcpy(&value, data + 4 * i, 4);
            table.values[i] = static_cast<double>(value);
        }
        const auto columns = static_cast<std::size_t>(table.columns);
        need_finite(file,
                    "row " + std::to_string(i / columns) + ", column " +
                        std::to_string(i % columns) + " (counted from 0)",
                    table.values[i], format_double(table.values[i]));
    }
    return table;
}

// --- .csv ------------------------------------------------------------------------------------------

std::string_view trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t\r");
    if (first == std::string_view::npos) {
        return {};
    }
    return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::vector<std::string_view> cells_of(std::string_view line) {
    std::vector<std::string_view> cells;
    for (;;) {
        const std::size_t comma = line.find(',');
        cells.push_back(trimmed(line.substr(0, comma)));
        if (comma == std::string_view::npos) {
            return cells;
        }
        line.remove_prefix(comma + 1);
    }
}

bool is_number(std::string_view cell, double& value) {
    if (!cell.empty() && cell[0] == '+') {
        cell.remove_prefix(1);
    }
    const auto parsed = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    if (parsed.ec == std::errc::result_out_of_range) {  // beyond double precision, or below it
        const std::size_t power = cell.find_first_of("eE");
        const bool small = power != std::string_view::npos && cell.substr(power + 1, 1) == "-";
        value = small ? 0.0 : std::numeric_limits<double>::max();
    } else if (parsed.ec != std::errc()) {
        return false;
    }
    return parsed.ptr == cell.data() + cell.size();
}

// Names as NumPy and pandas write them: separated by commas, perhaps in quotes.
std::vector<std::string> names_of(std::string_view line) {
    std::vector<std::string> names;
    for (std::string_view cell : cells_of(line)) {
        if (cell.size() >= 2 && (cell[0] == '"' || cell[0] == '\'') && cell.back() == cell[0]) {
            cell = trimmed(cell.substr(1, cell.size() - 2));
        }
        names.emplace_back(cell);
    }
    return names;
}

Table parse_csv(const std::filesystem::path& file, const std::string& bytes) {
    Table table;
    std::string_view rest = bytes;
    if (rest.substr(0, kByteOrderMark.size()) == kByteOrderMark) {
        rest.remove_prefix(kByteOrderMark.size());
    }
    for (int line = 1; !rest.empty(); ++line) {
        const std::size_t end = rest.find('\n');
        const std::string_view row = trimmed(rest.substr(0, end));
        rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
        const std::string place = "line " + std::to_string(line);
        if (row.empty()) {
            continue;
        }
        if (row[0] == '#') {
            if (table.rows == 0 && table.names.empty()) {
                table.names = names_of(row.substr(1));
                table.commented = true;
            }
            continue;
        }
        index columns = 0;
        bool numbers = true;
        for (const std::string_view cell : cells_of(row)) {
            double value = 0.0;
            numbers = is_number(cell, value);
            if (!numbers) {
                break;
            }
            need_finite(file, place + ", column " + std::to_string(columns + 1), value, cell);
            table.values.push_back(value);
            ++columns;
        }
        if (!numbers) {
            // Names stand above the first row, once, and none of them is a number.
            if (columns == 0 && table.rows == 0 && (table.names.empty() || table.commented)) {
                table.names = names_of(row);
                table.commented = false;
                continue;
            }
            bad_table(file, place + " is not a row of numbers");
        }
        if (table.rows > 0 && columns != table.columns) {
            bad_table(file, place + " has " + std::to_string(columns) +
                                " numbers, the lines above have " + std::to_string(table.columns));
        }
        table.columns = columns;
        ++table.rows;
    }
    if (table.rows == 0) {
        bad_table(file, "it holds no numbers");
    }
    return table;
}

}  // namespace

Table read_table(const std::filesystem::path& file, bool points, bool series) {
    const std::string bytes = read_file(file, kMostTableBytes);
    return file.extension() == ".npy" ? parse_npy(file, bytes, points, series) : parse_csv(file, bytes);
}

}  // namespace microlift
