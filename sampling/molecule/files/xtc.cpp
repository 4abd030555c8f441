// The compression is that of xdrf's 3dfcoord (Green, van Hoesel; GROMACS): coordinates are integers; every
// atom stands in mixed base within the frame's box, or, near the one before it, in few bits.
#include "sampling/molecule/files/xtc.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>

#include "engine/at.h"
#include "sampling/molecule/files/text_file.h"

namespace microlift {

namespace {

constexpr int kMagic = 1995;
constexpr index kHeaderBytes = 52;       // magic, atoms, step, time, box
constexpr index kUncompressedAtoms = 9;  // as many or fewer are plain numbers
constexpr index kPackedHeaderBytes = 9 * 4;  // precision, least, most, small index; then the length

// The sizes that small differences may have; of the index i, three fit into i bits.
constexpr int kFirstSize = 9;
constexpr std::array<unsigned, 73> kSmallSizes{
    0,       0,       0,       0,       0,       0,       0,       0,       0,        8,        10,
    12,      16,      20,      25,      32,      40,      50,      64,      80,       101,      128,
    161,     203,     256,     322,     406,     512,     645,     812,     1024,     1290,     1625,
    2048,    2580,    3250,    4096,    5060,    6501,    8192,    10321,   13003,    16384,    20642,
    26007,   32768,   41285,   52015,   65536,   82570,   104031,  131072,  165140,   208063,   262144,
    330280,  416127,  524287,  660561,  832255,  1048576, 1321122, 1664510, 2097152,  2642245,  3329021,
    4194304, 5284491, 6658042, 8388607, 10568983, 13316085, 16777216};

using Wide = unsigned __int128;
using Triple = std::array<long long, 3>;

// The bits of bytes, the highest first; beyond the end zeros, and `over` says so.
class BitReader {
public:
    explicit BitReader(const std::vector<unsigned char>& bytes) : bytes_(bytes) {}
    unsigned bits(int count) {
        unsigned value = 0;
        for (; count > 0; --count, ++place_) {
            const std::size_t byte = place_ / 8;
            const unsigned bit = byte < bytes_.size() ? bytes_[byte] >> (7 - place_ % 8) & 1U : 0;
            value = value << 1 | bit;
        }
        return value;
    }
    bool over() const { return place_ > 8 * bytes_.size(); }

    // Three numbers below `sizes` in mixed base, in as many bits, the lowest byte first.
    Triple triple(int count, const std::array<unsigned, 3>& sizes) {
        Wide value = 0;
        int shift = 0;
        for (; count > 8; count -= 8, shift += 8) value |= static_cast<Wide>(bits(8)) << shift;
        if (count > 0) value |= static_cast<Wide>(bits(count)) << shift;
        Triple numbers{};
        for (std::size_t d = 2; d > 0; --d) {
            numbers[d] = static_cast<long long>(value % sizes[d]);
            value /= sizes[d];
        }
        numbers[0] = static_cast<long long>(static_cast<std::uint32_t>(value));
        return numbers;
    }

private:
    const std::vector<unsigned char>& bytes_;
    std::size_t place_ = 0;
};

int bits_of(Wide most) {
    int bits = 0;
    for (; most > 0; most >>= 1) ++bits;
    return bits;
}

}  // namespace

XtcReader::XtcReader(std::filesystem::path path) : file_(std::move(path)) {
    for (index start = 0; start < file_.size();) {
        starts_.push_back(start);
        start = frame_end(start);
    }
    frames_ = std::ssize(starts_);
    if (frames_ == 0) file_.refuse("it holds no frame; give an XTC file");
}

void XtcReader::damaged(index frame) const {
    file_.refuse("frame " + std::to_string(frame) + " (counted from 0) is damaged; give a whole XTC file");
}

index XtcReader::frame_end(index start) {
    const index frame = std::ssize(starts_) - 1;
    const auto need = [&](index end) {
        if (end > file_.size())
            file_.refuse("it ends within frame " + std::to_string(frame) +
                         " (counted from 0); give a whole XTC file");
    };
    need(start + kHeaderBytes + 4);
    const int magic = file_.big_integer(start), atoms = file_.big_integer(start + 4);
    if (magic != kMagic) {
        if (frame > 0) damaged(frame);
        file_.refuse("this is no XTC file (its first number is " + std::to_string(magic) + ", not 1995)");
    }
    if (atoms < 1 || atoms > kMostAtoms || (frame > 0 && atoms != atoms_) ||
        file_.big_integer(start + kHeaderBytes) != atoms)
        damaged(frame);
    atoms_ = atoms;
    const index data = start + kHeaderBytes + 4;
    index bytes = 12 * atoms_;
    if (atoms_ > kUncompressedAtoms) {
        need(data + kPackedHeaderBytes);
        const index packed = file_.big_integer(data + kPackedHeaderBytes - 4);
        if (packed < 0) damaged(frame);
        bytes = kPackedHeaderBytes + (packed + 3) / 4 * 4;
    }
    need(data + bytes);
    return data + bytes;
}

void XtcReader::read(index frame, float* position) {
    const index start = starts_[at(frame)] + kHeaderBytes + 4;
    if (atoms_ > kUncompressedAtoms)
        decompress(frame, start, position);
    else
        for (index i = 0; i < 3 * atoms_; ++i) position[i] = file_.big_float(start + 4 * i);
    for (index i = 0; i < 3 * atoms_; ++i)
        if (!std::isfinite(position[i])) damaged(frame);
}

void XtcReader::decompress(index frame, index start, float* position) {
    const float precision = file_.big_float(start);
    Triple least;
    std::array<unsigned, 3> sizes;
    std::array<int, 3> size_bits;
    Wide all = 1;
    bool together = true;
    for (index d = 0; d < 3; ++d) {
        least[at(d)] = file_.big_integer(start + 4 + 4 * d);
        const long long size = file_.big_integer(start + 16 + 4 * d) - least[at(d)] + 1;
        if (size < 1 || size > 0xffffffffLL) damaged(frame);
        sizes[at(d)] = static_cast<unsigned>(size);
        size_bits[at(d)] = bits_of(static_cast<Wide>(size));
        together = together && size <= 0xffffff;
        all *= static_cast<Wide>(size);
    }
    const int all_bits = together ? bits_of(all) : 0;
    int small = file_.big_integer(start + 28);
    const index length = file_.big_integer(start + 32);
    const float step = 1 / precision;
    if (!(precision > 0) || !std::isfinite(precision) || small < kFirstSize ||
        small >= std::ssize(kSmallSizes))
        damaged(frame);
    bytes_.resize(at(length));
    file_.read_at(start + 36, bytes_.data(), bytes_.size());

    BitReader in(bytes_);
    index written = 0;
    const auto put = [&](const Triple& x) {
        if (written == atoms_) damaged(frame);
        for (std::size_t d = 0; d < 3; ++d)
            position[3 * written + static_cast<index>(d)] = static_cast<float>(x[d]) * step;
        ++written;
    };
    int run = 0;
    while (written < atoms_) {
        Triple x{};
        if (together)
            x = in.triple(all_bits, sizes);
        else
            for (std::size_t d = 0; d < 3; ++d) x[d] = in.bits(size_bits[d]);
        for (std::size_t d = 0; d < 3; ++d) x[d] += least[d];
        int change = 0;  // of the size of small differences
        if (in.bits(1)) {
            run = static_cast<int>(in.bits(5));
            change = run % 3 - 1;
            run -= run % 3;
        }
        if (run == 0) put(x);
        Triple before = x;
        const long long half = kSmallSizes[at(small)] / 2;
        const unsigned small_size = kSmallSizes[at(small)];
        for (int k = 0; k < run; k += 3) {
            Triple near = in.triple(small, {small_size, small_size, small_size});
            for (std::size_t d = 0; d < 3; ++d) near[d] += before[d] - half;
            if (k == 0) {
                // The first two stand in exchanged order, for water's sake.
                put(near);
                put(before);
            } else {
                put(near);
            }
            before = near;
        }
        small += change;
        if (in.over() || small < kFirstSize || small >= std::ssize(kSmallSizes)) damaged(frame);
    }
}

}  // namespace microlift
