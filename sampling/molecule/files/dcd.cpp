#include "sampling/molecule/files/dcd.h"

#include <cmath>
#include <cstring>
#include <utility>

#include "engine/at.h"
#include "engine/error.h"
#include "sampling/molecule/files/text_file.h"

namespace microlift {

namespace {

// Every record stands between two integers that give its length.
constexpr index kMark = 4, kControlBytes = 84, kCellBytes = 48;
// Places of the control integers.
constexpr index kFrames = 0, kFixedAtoms = 8, kHasCell = 10, kFourDimensions = 11, kVersion = 19;

}  // namespace

DcdReader::DcdReader(std::filesystem::path path) : file_(std::move(path)) {
    read_header();
    record_.resize(at(atoms_));
}

void DcdReader::read_header() {
    char magic[4];
    file_.read_at(kMark, magic, sizeof magic);
    if (file_.little_integer(0) != kControlBytes || std::memcmp(magic, "CORD", 4) != 0)
        file_.refuse("this is no DCD file of coordinates with little-endian 32-bit marks; convert it, as with "
               "mdconvert");
    const auto control = [&](index i) { return file_.little_integer(2 * kMark + 4 * i); };
    if (control(kFixedAtoms) != 0) file_.refuse("fixed atoms are not supported; write all atoms in each frame");
    const bool charmm = control(kVersion) != 0;
    const bool four = charmm && control(kFourDimensions) != 0;
    cell_bytes_ = charmm && control(kHasCell) != 0 ? kCellBytes + 2 * kMark : 0;
    const index title = 2 * kMark + kControlBytes;
    const index title_bytes = file_.little_integer(title);
    if (title_bytes < 0 || title + title_bytes + 5 * kMark > file_.size())
        file_.refuse("its title is damaged; give a whole DCD file");
    const index count = title + title_bytes + 2 * kMark;
    atoms_ = file_.little_integer(count + kMark);
    if (file_.little_integer(count) != kMark || atoms_ < 1 || atoms_ > kMostAtoms)
        file_.refuse("its number of atoms is damaged, or not 1 to " + std::to_string(kMostAtoms));
    first_frame_ = count + 3 * kMark;
    frame_bytes_ = cell_bytes_ + (four ? 4 : 3) * (4 * atoms_ + 2 * kMark);
    frames_ = (file_.size() - first_frame_) / frame_bytes_;
    const index announced = control(kFrames);
    if (frames_ < announced || (file_.size() - first_frame_) % frame_bytes_ != 0)
        file_.refuse("it ends within frame " + std::to_string(frames_) + " (counted from 0) of " +
               std::to_string(announced) + "; give a whole DCD file");
    if (frames_ == 0) file_.refuse("it holds no frame");
}

void DcdReader::read(index frame, float* position) {
    const index start = first_frame_ + frame * frame_bytes_ + cell_bytes_;
    const index bytes = 4 * atoms_;
    for (index d = 0; d < 3; ++d) {
        const index record = start + d * (bytes + 2 * kMark);
        if (file_.little_integer(record) != bytes || file_.little_integer(record + kMark + bytes) != bytes)
            file_.refuse("frame " + std::to_string(frame) + " (counted from 0) is damaged; give a whole DCD file");
        file_.read_at(record + kMark, record_.data(), at(bytes));
        for (index i = 0; i < atoms_; ++i) {
            if (!std::isfinite(record_[at(i)]))
                file_.refuse("frame " + std::to_string(frame) + ", atom " + std::to_string(i) +
                       " (counted from 0) is not finite; leave the frame out");
            position[3 * i + d] = record_[at(i)] * 0.1F;
        }
    }
}

// --- writing ---------------------------------------------------------------------------------------

DcdWriter::DcdWriter(std::filesystem::path path, index atoms, index frames, double interval)
    : file_(std::move(path)), atoms_(atoms), frames_(frames), record_(at(atoms)) {
    int control[20]{};
    control[kFrames] = static_cast<int>(frames);
    control[1] = control[2] = 1;  // the first step, and steps between frames
    control[3] = static_cast<int>(frames);
    const float step = static_cast<float>(interval / 0.04888821);  // in CHARMM's unit of time
    std::memcpy(&control[9], &step, sizeof step);
    control[kVersion] = 24;  // CHARMM's, without a cell
    write_integer(kControlBytes);
    file_.write("CORD", 4);
    file_.write(control, sizeof control);
    write_integer(kControlBytes);
    std::string title = "Created by microlift";
    title.resize(80, ' ');
    write_integer(4 + 80);
    write_integer(1);
    file_.write(title);
    write_integer(4 + 80);
    write_integer(4);
    write_integer(static_cast<int>(atoms));
    write_integer(4);
}

void DcdWriter::write_integer(int value) { file_.write(&value, sizeof value); }

void DcdWriter::append(const float* position) {
    const int bytes = static_cast<int>(4 * atoms_);
    for (index d = 0; d < 3; ++d) {
        for (index i = 0; i < atoms_; ++i) record_[at(i)] = position[3 * i + d] * 10.0F;
        write_integer(bytes);
        file_.write(record_.data(), at(bytes));
        write_integer(bytes);
    }
    ++written_;
}

void DcdWriter::finish() {
    if (written_ != frames_)
        throw InputError(file_.target().string() + ": " + std::to_string(written_) + " of " +
                         std::to_string(frames_) + " frames were written");
    file_.commit();
}

}  // namespace microlift
