// Fuzzes the readers of coordinates (AMBER's text and NetCDF, PDB, OpenMM's State) and, behind a 'd' or an
// 'x', of DCD and XTC.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include "engine/error.h"
#include "sampling/molecule/files/coordinates.h"
#include "sampling/molecule/files/dcd.h"
#include "sampling/molecule/files/pdb.h"
#include "sampling/molecule/files/xtc.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/molecule_check.h"

namespace {

std::filesystem::path scratch() {
    return std::filesystem::temp_directory_path() / ("microlift_fuzz_" + std::to_string(::getpid()) + ".dcd");
}

std::string dcd() {
    using namespace microlift;
    const float x[] = {0, 1, 2, 3, 4, 5};
    DcdWriter writer(scratch(), 2, 2);
    writer.append(x);
    writer.append(x);
    writer.finish();
    const std::string bytes = read_file(scratch(), 1 << 16);
    std::filesystem::remove(scratch());
    return "d" + bytes;
}

// A frame of 22 atoms.
std::string xtc() {
    const std::string digits =
        "000007cb000000160000000000000000404000000000000000000000000000004040000000000000"
        "00000000000000004040000000000016447a00000000008f0000006cffffff320000029a00000364"
        "0000005d000000150000004fa104d110e5644c88afea00044bdf83e2233691c92bf65097246df9ad"
        "efd9e3ff8f5bee737c8e1a285af417a1e95b2b289ef8fd69faf95b8241dcd04b3e2bf13c5b4397f7"
        "d7a2223252216eca7fda2c00";
    std::string bytes = "x";
    for (std::size_t i = 0; i < digits.size(); i += 2)
        bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
    return bytes;
}

// NetCDF of two atoms, with a scale.
std::string netcdf() {
    const auto integer = [](unsigned v) {
        std::string bytes;
        for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(v >> shift);
        return bytes;
    };
    const auto name = [&](const std::string& text) {
        return integer(static_cast<unsigned>(text.size())) + text + std::string((4 - text.size() % 4) % 4, '\0');
    };
    const std::string head = std::string("CDF\1", 4) + integer(0) + integer(10) + integer(2) + name("atom") +
                             integer(2) + name("spatial") + integer(3) + integer(0) + integer(0) + integer(11) +
                             integer(2);
    const auto variable = [&](const std::string& text, const std::string& attributes, unsigned begin) {
        return name(text) + integer(2) + integer(0) + integer(1) + attributes + integer(5) + integer(24) +
               integer(begin);
    };
    const std::string scale = integer(12) + integer(1) + name("scale_factor") + integer(5) + integer(1) +
                              integer(0x41a3a3d7);
    const std::string none = integer(0) + integer(0);
    const std::size_t begin =
        (head + variable("coordinates", none, 0) + variable("velocities", scale, 0)).size();
    std::string data;
    for (int i = 0; i < 12; ++i) data += integer(0x3f800000);
    return head + variable("coordinates", none, static_cast<unsigned>(begin)) +
           variable("velocities", scale, static_cast<unsigned>(begin + 24)) + data;
}

void read_trajectory(const std::string& bytes, bool is_dcd) {
    using namespace microlift;
    std::ofstream(scratch(), std::ios::binary) << bytes;
    std::unique_ptr<Trajectory> reader;
    if (is_dcd)
        reader = std::make_unique<DcdReader>(scratch());
    else
        reader = std::make_unique<XtcReader>(scratch());
    std::vector<float> frame(static_cast<std::size_t>(3 * reader->atoms()));
    for (index f = 0; f < std::min<index>(reader->frames(), 20); ++f) {
        reader->read(f, frame.data());
        for (const float v : frame) abort_unless(std::isfinite(v));
    }
}

}  // namespace

std::vector<std::string> fuzz_seeds() {
    return {dcd(), xtc(), netcdf(),
            "title\n    2  0.1\n   1.0000000   2.0000000   3.0000000   4.0000000   5.0000000   6.0000000\n"
            "   1.0000000   2.0000000   3.0000000   4.0000000   5.0000000   6.0000000\n",
            "MODEL        1\n"
            "ATOM      1  N   ALA A   5      11.104   6.134  -6.504  1.00  0.00           N\n"
            "HETATM    2 CA   CAL B   6       1.000   2.000   3.000\nENDMDL\nMODEL        2\n"
            "ATOM      1  N   ALA A   5      11.104   6.134  -6.504  1.00  0.00           N\n"
            "HETATM    2 CA   CAL B   6       1.000   2.000   3.000\nENDMDL\nEND\n",
            "<?xml version=\"1.0\" ?>\n<State type=\"State\" version=\"1\">\n<Positions>\n"
            "<Position x=\".1\" y=\".2\" z=\".3\"/>\n<Position x=\".1\" y=\".2\" z=\".3\"/>\n</Positions>\n"
            "<Velocities>\n<Velocity x=\".1\" y=\".2\" z=\".3\"/>\n<Velocity x=\".1\" y=\".2\" z=\".3\"/>\n"
            "</Velocities>\n</State>\n"};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace microlift;
    const std::string text(reinterpret_cast<const char*>(data), size);
    try {
        if (!text.empty() && (text[0] == 'd' || text[0] == 'x')) {
            read_trajectory(text.substr(1), text[0] == 'd');
        } else {
            const Coordinates read = read_coordinates(TextFile("fuzz", text), 2);
            abort_unless(read.position.size() == 6 && (read.velocity.empty() || read.velocity.size() == 6));
            for (const double v : read.position) abort_unless(std::isfinite(v));
        }
    } catch (const InputError& error) {
        const std::string message = error.what();
        abort_unless(!message.empty() && message.find('\n') == std::string::npos);
    }
    std::filesystem::remove(scratch());
    return 0;
}
