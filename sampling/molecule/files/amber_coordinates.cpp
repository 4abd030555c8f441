#include <algorithm>

#include "engine/at.h"
#include "sampling/molecule/files/coordinates.h"

namespace microlift {

namespace {

constexpr std::size_t kFieldWidth = 12, kFieldsPerLine = 6;

// Every field from a line on, six of 12 columns a line.
std::vector<double> restart_numbers(const TextFile& file, index from, std::size_t most) {
    std::vector<double> values;
    for (index i = from; i < file.size(); ++i) {
        const std::string_view line = file.line(i);
        const std::size_t last = line.find_last_not_of(" \t");
        if (last == std::string_view::npos) continue;
        const std::size_t fields = last / kFieldWidth + 1;
        if (fields > kFieldsPerLine)
            file.refuse(i, "more than six numbers of 12 columns; give AMBER's text format");
        for (std::size_t k = 0; k < fields; ++k) {
            double value = 0;
            const std::string_view field = column_field(line, k * kFieldWidth, kFieldWidth);
            if (!parse_number(field, value))
                file.refuse(i, quote_field(field) + " is not a number of 12 columns");
            values.push_back(value);
        }
        if (values.size() > most) file.refuse(i, "more numbers than the atoms have; check the second line");
    }
    return values;
}

}  // namespace

Coordinates read_amber_coordinates(const TextFile& file) {
    if (file.content().compare(0, 4, "\x89HDF") == 0)
        file.refuse("this is a NetCDF restart file on HDF5; write it as text (cpptraj's trajout X.rst7 "
                    "restart)");
    const std::vector<std::string_view> head = split_words(file.line(1));
    long long n = 0;
    if (head.empty() || !parse_integer(head[0], n) || n < 1 || n > kMostAtoms)
        file.refuse(1, "the second line of an AMBER coordinate file begins with the number of atoms, 1 to " +
                           std::to_string(kMostAtoms));
    const std::size_t one = 3 * at(n);
    const std::vector<double> values = restart_numbers(file, 2, 2 * one + kFieldsPerLine);
    const std::size_t left = values.size() - std::min(values.size(), one);
    if (values.size() < one)
        file.refuse(std::max<index>(file.size() - 1, 1),
                    "the file ends after " + std::to_string(values.size()) + " of " +
                        std::to_string(one) + " coordinates; give a whole file");
    // Of two atoms six numbers may be velocities or a box, whose angles are 60° or more.
    const bool box_of_two =
        left == kFieldsPerLine && one == left &&
        std::any_of(values.begin() + static_cast<std::ptrdiff_t>(one), values.end(),
                    [](double v) { return v >= 60; });
    const bool velocities = (left == one || left == one + kFieldsPerLine) && !box_of_two;
    const bool box = left == kFieldsPerLine + (velocities ? one : 0) && !(velocities && left == one);
    if (left != 0 && !velocities && !box)
        file.refuse(file.size() - 1, std::to_string(left) + " numbers follow the coordinates of " +
                                         std::to_string(n) +
                                         " atoms; as many velocities, or a box of six, may");
    Coordinates read;
    read.position.assign(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(one));
    for (double& x : read.position) x /= 10;
    if (velocities) {
        const auto from = values.begin() + static_cast<std::ptrdiff_t>(one);
        read.velocity.assign(from, from + static_cast<std::ptrdiff_t>(one));
        for (double& v : read.velocity) v *= 20.455 / 10;  // of Å and 1/20.455 ps
    }
    if (box) read.notes.push_back(file.path().string() + ": the periodic box is left out");
    return read;
}

}  // namespace microlift
