// Coordinates, restraints and trajectories: what is written is read again.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>

#include "engine/error.h"
#include "sampling/molecule/files/amber_topology.h"
#include "sampling/molecule/files/coordinates.h"
#include "sampling/molecule/files/dcd.h"
#include "sampling/molecule/files/openmm_system.h"
#include "sampling/molecule/files/pdb.h"
#include "tests/sampling/molecule/molecule_data.h"

namespace microlift {

namespace {

std::filesystem::path scratch_file(const std::string& name) {
    return std::filesystem::temp_directory_path() / ("microlift_" + std::to_string(::getpid()) + "_" + name);
}

}  // namespace

TEST_CASE("AMBER coordinates: velocities and boxes by what is left") {
    const std::string three = "   1.0000000   2.0000000   3.0000000";
    const auto read = [](const std::string& text) { return read_amber_coordinates(TextFile("x.rst7", text)); };
    const Coordinates plain = read("title\n    1\n" + three + "\n");
    CHECK(plain.position == std::vector<double>{0.1, 0.2, 0.3});
    CHECK(plain.velocity.empty());
    CHECK(plain.notes.empty());
    const Coordinates moving = read("title\n    1  0.5000000E+00\n" + three + "\n" + three + "\n");
    REQUIRE(moving.velocity.size() == 3);
    CHECK(moving.velocity[0] == doctest::Approx(2.0455));
    const std::string box = "  20.0000000  20.0000000  20.0000000  90.0000000  90.0000000  90.0000000\n";
    const Coordinates boxed = read("title\n    1\n" + three + "\n" + box);
    CHECK(boxed.velocity.empty());
    CHECK(boxed.notes.size() == 1);
    const Coordinates two = read("title\n    2\n" + three + three + "\n" + box);
    CHECK(two.velocity.empty());
    CHECK(two.notes.size() == 1);
    const Coordinates moving_two = read("title\n    2\n" + three + three + "\n" + three + three + "\n");
    CHECK(moving_two.velocity.size() == 6);
    const Coordinates all = read("title\n    2\n" + three + three + "\n" + three + three + "\n" + box);
    CHECK(all.velocity.size() == 6);
    CHECK(all.notes.size() == 1);
}

TEST_CASE("AMBER's NetCDF restarts say what the text does") {
    const Coordinates text = read_coordinates(TextFile("a", molecule_data("ala2.rst7")), 22);
    const std::string bytes = molecule_data("ala2.ncrst");
    const Coordinates netcdf = read_coordinates(TextFile("b", bytes), 22);
    REQUIRE(text.velocity.size() == 66);
    REQUIRE(netcdf.velocity.size() == 66);
    for (std::size_t i = 0; i < 66; ++i) {
        // Of seven decimals in Å and in Å per 1/20.455 ps.
        CHECK(std::fabs(text.position[i] - netcdf.position[i]) < 1e-8);
        CHECK(std::fabs(text.velocity[i] - netcdf.velocity[i]) < 2.1e-7);
    }
    CHECK(netcdf.velocity[0] == doctest::Approx(-0.3 * 2.0455));
    // However short, it is refused.
    for (std::size_t length = 3; length < bytes.size(); length += 7)
        CHECK_THROWS_AS(read_amber_netcdf(TextFile("c", bytes.substr(0, length))), InputError);
    std::string infinite = bytes;
    infinite.replace(bytes.size() - 8, 8, std::string("\x7f\xf0\0\0\0\0\0\0", 8));
    CHECK_THROWS_WITH_AS(read_amber_netcdf(TextFile("c", infinite)), doctest::Contains("not finite"),
                         InputError);
}

TEST_CASE("PDB: names, elements, alternate places, models") {
    const Pdb pdb = read_pdb(TextFile(
        "x.pdb",
        "CRYST1   20.000   20.000   20.000  90.00  90.00  90.00 P 1           1\n"
        "MODEL        1\n"
        "ATOM      1  N   ALA A   5      11.104   6.134  -6.504  1.00  0.00\n"
        "ATOM      2  CA AALA A   5      11.639   6.071  -5.147  0.50  0.00           C\n"
        "ATOM      3  CA BALA A   5      11.700   6.100  -5.200  0.50  0.00           C\n"
        "HETATM    4 CA    CA B   6       1.000   2.000   3.000\n"
        "HETATM    5 HG11 VAL B   7      -1.000   2.000   3.000\n"
        "ENDMDL\n"
        "MODEL        2\n"
        "ATOM      1  N   ALA A   5      12.104   6.134  -6.504  1.00  0.00\n"
        "ATOM      2  CA AALA A   5      11.639   6.071  -5.147  0.50  0.00           C\n"
        "HETATM    4 CA    CA B   6       1.000   2.000   3.000\n"
        "HETATM    5 HG11 VAL B   7      -1.000   2.000   3.000\n"
        "ENDMDL\nEND\n"));
    REQUIRE(pdb.atoms.size() == 4);
    CHECK(pdb.models == 2);
    CHECK(pdb.notes.size() == 2);
    CHECK(pdb.atoms[0].element == 7);
    CHECK(pdb.atoms[1].element == 6);
    CHECK(pdb.atoms[2].element == 20);
    CHECK(pdb.atoms[3].element == 1);
    CHECK(pdb.atoms[1].residue == "ALA");
    CHECK(pdb.atoms[1].chain == "A");
    CHECK(pdb.atoms[2].chain == "B");
    CHECK(pdb.atoms[2].residue_number == 6);
    CHECK(pdb.position[0] == doctest::Approx(1.1104));
    CHECK(pdb.position[12] == doctest::Approx(1.2104));
    CHECK(pdb.position[9] == doctest::Approx(-0.1));
}

TEST_CASE("a PDB that is written is read again, bonds and all") {
    const Molecule m = read_amber_topology(TextFile("a", molecule_data("ala2.prmtop")), {});
    const Coordinates x = read_coordinates(TextFile("b", molecule_data("ala2.inpcrd")), m.size());
    const std::string text = format_pdb(m, x.position.data(), "alanine dipeptide");
    const Pdb again = read_pdb(TextFile("c", text));
    REQUIRE(again.atoms.size() == m.atoms.size());
    for (std::size_t i = 0; i < m.atoms.size(); ++i) {
        CHECK(again.atoms[i].name == m.atoms[i].name);
        CHECK(again.atoms[i].residue == m.atoms[i].residue);
        CHECK(again.atoms[i].residue_number == m.atoms[i].residue_number);
        CHECK(again.atoms[i].element == m.atoms[i].element);
    }
    for (std::size_t i = 0; i < x.position.size(); ++i)
        CHECK(std::fabs(again.position[i] - x.position[i]) < 0.51e-4);
    CHECK(text.find("CONECT    1    2\n") != std::string::npos);
    std::vector<double> far = x.position;
    far[5] = 1e6;
    CHECK_THROWS_WITH_AS(format_pdb(m, far.data(), ""), doctest::Contains("ACE1:CH3"), InputError);
}

TEST_CASE("DCD: frames come back, damaged files do not") {
    const auto path = scratch_file("frames.dcd");
    const index atoms = 7, frames = 5;
    std::vector<float> x(static_cast<std::size_t>(3 * atoms * frames));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = 0.01F * static_cast<float>(i) - 0.3F;
    DcdWriter writer(path, atoms, frames, 0.5);
    for (index f = 0; f < frames; ++f) writer.append(x.data() + 3 * atoms * f);
    writer.finish();
    const std::string bytes = read_file(path, 1 << 20);
    {
        const auto reader = open_trajectory(path);
        REQUIRE(reader->atoms() == atoms);
        REQUIRE(reader->frames() == frames);
        std::vector<float> frame(static_cast<std::size_t>(3 * atoms));
        for (const index f : {index{4}, index{0}, index{2}}) {
            reader->read(f, frame.data());
            for (index i = 0; i < 3 * atoms; ++i)
                CHECK(frame[static_cast<std::size_t>(i)] ==
                      doctest::Approx(x[static_cast<std::size_t>(3 * atoms * f + i)]).epsilon(1e-6));
        }
    }
    const auto refused = [&](const std::string& content, const char* message) {
        write_file(path, content);
        CHECK_THROWS_WITH_AS(
            {
                DcdReader reader(path);
                std::vector<float> frame(static_cast<std::size_t>(3 * reader.atoms()));
                reader.read(0, frame.data());
            },
            doctest::Contains(message), InputError);
    };
    refused(bytes.substr(0, bytes.size() - 5), "ends within frame 4");
    refused(bytes.substr(0, 50), "within a record");
    refused("", "within a record");
    refused("something else", "no DCD file");
    std::string many = bytes;  // 2^30 atoms
    many.replace(many.size() - static_cast<std::size_t>(frames * 3 * (4 * atoms + 8)) - 8, 4,
                 std::string("\0\0\0\x40", 4));
    refused(many, "number of atoms");
    std::string infinite = bytes;
    infinite.replace(infinite.size() - static_cast<std::size_t>(frames * 3 * (4 * atoms + 8)) + 4, 4,
                     std::string("\0\0\x80\x7f", 4));
    refused(infinite, "not finite");
    DcdWriter unfinished(path, atoms, 2);
    unfinished.append(x.data());
    CHECK_THROWS_AS(unfinished.finish(), InputError);
    std::filesystem::remove(path);
}

TEST_CASE("trajectories that mdtraj wrote: XTC, DCD with a cell") {
    std::vector<float> frame(66);
    const auto xtc = open_trajectory(molecule_data_path("ala2.xtc"));
    REQUIRE(xtc->atoms() == 22);
    REQUIRE(xtc->frames() == 3);
    const auto atom = [&](std::size_t i) {
        return std::vector<double>{frame[3 * i], frame[3 * i + 1], frame[3 * i + 2]};
    };
    const auto check_near = [](const std::vector<double>& a, const std::vector<double>& b) {
        for (std::size_t d = 0; d < 3; ++d) CHECK(std::fabs(a[d] - b[d]) < 1e-6);
    };
    xtc->read(1, frame.data());
    check_near(atom(3), {0.160, 0.244, -0.102});
    xtc->read(2, frame.data());
    check_near(atom(21), {0.624, 0.880, -0.083});
    const auto dcd = open_trajectory(molecule_data_path("ala2_cell.dcd"));
    REQUIRE(dcd->frames() == 3);
    std::vector<float> other(66);
    dcd->read(2, other.data());
    // All atoms, within what XTC rounds to (a half of 1/1000 nm).
    for (std::size_t i = 0; i < 66; ++i) CHECK(std::fabs(frame[i] - other[i]) < 0.501e-3);
    const auto five = open_trajectory(molecule_data_path("five.xtc"));
    REQUIRE(five->atoms() == 5);
    five->read(2, frame.data());
    for (std::size_t i = 0; i < 15; ++i) CHECK(std::fabs(frame[i] - other[i]) < 1e-6);

    const auto path = scratch_file("damaged.xtc");
    const std::string bytes = molecule_data("ala2.xtc");
    const auto refused = [&](std::string content, std::size_t place, const char* values, const char* message) {
        if (values) content.replace(place, 4, std::string(values, 4));
        write_file(path, content);
        CHECK_THROWS_WITH_AS(
            {
                const auto reader = open_trajectory(path);
                for (index f = 0; f < reader->frames(); ++f) reader->read(f, frame.data());
            },
            doctest::Contains(message), InputError);
    };
    refused(bytes.substr(0, 400), 0, nullptr, "ends within frame 2");
    refused(bytes, 4, "\x7f\0\0\0", "frame 0");   // atoms
    refused(bytes, 56, "\0\0\0\0", "frame 0");     // precision
    refused(bytes, 60, "\x7f\0\0\0", "frame 0");   // the least above the most
    refused(bytes, 84, "\0\0\0\0", "frame 0");     // the index of small sizes
    refused(bytes, 172, "\0\0\0\0", "frame 1");    // the second frame's first number
    std::filesystem::remove(path);
}

TEST_CASE("harmonic restraints of OpenMM in several spellings") {
    const auto read = [](const std::string& energy) {
        const std::string text =
            "<System version=\"1\"><Particles><Particle mass=\"12\"/><Particle mass=\"12\"/></Particles>"
            "<Forces><Force type=\"CustomExternalForce\" energy=\"" +
            energy +
            "\"><PerParticleParameters><Parameter name=\"x0\"/><Parameter name=\"y0\"/>"
            "<Parameter name=\"z0\"/></PerParticleParameters><GlobalParameters>"
            "<Parameter name=\"k\" default=\"100\"/></GlobalParameters><Particles>"
            "<Particle index=\"1\" param1=\".1\" param2=\".2\" param3=\".3\"/></Particles></Force></Forces>"
            "</System>";
        std::vector<std::string> notes;
        return read_openmm_system(TextFile("r.xml", text), notes).restraints;
    };
    const std::string square = "((x-x0)^2 + (y-y0)^2 + (z-z0)^2)";
    for (const auto& [energy, stiffness] :
         {std::pair{"k*" + square, 200.0}, std::pair{"0.5*k*" + square, 100.0},
          std::pair{"(k/2)*" + square, 100.0}, std::pair{"k/2*" + square, 100.0},
          std::pair{std::string("k*periodicdistance(x, y, z, x0, y0, z0)^2"), 200.0}}) {
        CAPTURE(energy);
        const auto restraints = read(energy);
        REQUIRE(restraints.size() == 1);
        CHECK(restraints[0].atom == 1);
        CHECK(restraints[0].stiffness == stiffness);
        CHECK(restraints[0].position == std::array<double, 3>{0.1, 0.2, 0.3});
    }
    for (const std::string& energy :
         std::vector<std::string>{"3*" + square, "k*k*" + square, "c*" + square, square,
                                  "k*((x-x0)^2+(y-y0)^2)", "-k*" + square, "k*" + square + "; k=3"})
        CHECK_THROWS_AS(read(energy), InputError);
}

TEST_CASE("harmonic impropers as OpenMM's readers write them") {
    const auto read = [](const std::string& energy, double angle = 0.5) {
        const std::string text =
            "<System version=\"1\"><Particles><Particle mass=\"12\"/><Particle mass=\"12\"/>"
            "<Particle mass=\"12\"/><Particle mass=\"12\"/></Particles>"
            "<Forces><Force type=\"CustomTorsionForce\" energy=\"" +
            energy +
            "\"><PerTorsionParameters><Parameter name=\"k\"/><Parameter name=\"theta0\"/>"
            "</PerTorsionParameters><GlobalParameters/><Torsions><Torsion p1=\"3\" p2=\"0\" p3=\"1\" p4=\"2\" "
            "param1=\"100\" param2=\"" +
            std::to_string(angle) + "\"/></Torsions></Force></Forces></System>";
        std::vector<std::string> notes;
        return read_openmm_system(TextFile("r.xml", text), notes).harmonic_torsions;
    };
    const std::string shorter = "min(dtheta, 2*pi-dtheta)^2; dtheta = abs(theta-theta0);";
    const std::string turned = "step(-(theta-theta0+pi))*2*pi+theta+step(theta-theta0-pi)*(-2*pi)";
    for (const auto& [energy, stiffness] :
         {std::pair{"k*" + shorter + "pi = 3.141593;", 200.0},
          std::pair{std::string("k*min(dtheta, 2*3.141592653589793-dtheta)^2; dtheta = abs(theta-theta0)"), 200.0},
          std::pair{std::string("0.5*k*(min(dtheta, 2*pi-dtheta))^2; dtheta = abs(theta-theta0); pi = 3.1415926535"), 100.0},
          std::pair{"0.5*k*(thetap-theta0)^2; thetap = " + turned + "; pi = 3.14159265358979", 100.0}}) {
        CAPTURE(energy);
        const auto torsions = read(energy);
        REQUIRE(torsions.size() == 1);
        CHECK(torsions[0].atoms == std::array<index, 4>{3, 0, 1, 2});
        CHECK(torsions[0].angle == 0.5);
        CHECK(torsions[0].stiffness == stiffness);
    }
    CHECK(read("k*(theta-theta0)^2", 0).size() == 1);
    CHECK_THROWS_AS(read("k*(theta-theta0)^2"), InputError);  // jumps where theta goes round
    CHECK_THROWS_AS(read("k*" + shorter + "pi = 3.1416;"), InputError);
    CHECK_THROWS_AS(read("k*" + shorter + "pi = 3.141593;", 4), InputError);
    CHECK_THROWS_AS(read("c*" + shorter + "pi = 3.141593;"), InputError);
    CHECK_THROWS_AS(read("k*min(dtheta, 2*pi-dtheta)^2; dtheta = abs(theta-2*theta0); pi = 3.141593"), InputError);
    CHECK_THROWS_AS(read("k*dtheta^2; dtheta = abs(theta-theta0)"), InputError);
}

}  // namespace microlift
