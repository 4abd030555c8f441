#include "sampling/molecule/files/coordinates.h"

#include <utility>

#include "sampling/molecule/files/pdb.h"
#include "sampling/molecule/files/xml_file.h"

namespace microlift {

namespace {

std::vector<double> vectors_of(const XmlFile& xml, pugi::xml_node list, const char* name) {
    xml.count(list, name);
    std::vector<double> values;
    for (const pugi::xml_node vector : list.children())
        for (const char* component : {"x", "y", "z"}) values.push_back(xml.number(vector, component));
    return values;
}

Coordinates read_openmm_state(const TextFile& file) {
    const XmlFile xml(file, "State");
    Coordinates read;
    read.position = vectors_of(xml, xml.child(xml.root(), "Positions"), "Position");
    if (const pugi::xml_node velocities = xml.optional_child(xml.root(), "Velocities")) {
        read.velocity = vectors_of(xml, velocities, "Velocity");
        if (read.velocity.size() != read.position.size())
            xml.refuse(velocities, "other numbers of velocities and of positions; give the whole file");
    }
    return read;
}

bool has_atom_records(const TextFile& file) {
    for (index i = 0; i < file.size(); ++i) {
        const std::string_view record = file.line(i).substr(0, 6);
        if (record == "ATOM  " || record == "HETATM") return true;
    }
    return false;
}

Coordinates read_any(const TextFile& file) {
    const std::size_t first = file.content().find_first_not_of(" \t\r\n\xef\xbb\xbf");
    if (first == std::string::npos) file.refuse("it is empty; give coordinates");
    if (file.content().compare(0, 3, "CDF") == 0) return read_amber_netcdf(file);
    if (file.content()[first] == '<') return read_openmm_state(file);
    if (!has_atom_records(file)) return read_amber_coordinates(file);
    Pdb pdb = read_pdb(file);
    Coordinates read;
    read.notes = std::move(pdb.notes);
    if (pdb.models > 1)
        read.notes.push_back(file.path().string() + ": the first of " + std::to_string(pdb.models) +
                             " models is taken");
    pdb.position.resize(3 * pdb.atoms.size());
    read.position = std::move(pdb.position);
    read.atoms = std::move(pdb.atoms);
    return read;
}

}  // namespace

Coordinates read_coordinates(const TextFile& file, index atoms) {
    Coordinates read = read_any(file);
    if (std::ssize(read.position) != 3 * atoms)
        file.refuse("it has " + std::to_string(read.position.size() / 3) + " atoms, the topology " +
                    std::to_string(atoms) + "; give coordinates of the same molecule");
    return read;
}

}  // namespace microlift
