#include "sampling/molecule/files/openmm_restraints.h"

#include <array>

#include "sampling/molecule/files/custom_force.h"

namespace microlift {

namespace {

constexpr std::string_view kPeriodicSquare = "periodicdistance(x,y,z,x0,y0,z0)^2";

// Empty: another form.
HarmonicFactor restraint_form(const std::string& energy) {
    static constexpr std::array<std::string_view, 2> kSquares{"((x-x0)^2+(y-y0)^2+(z-z0)^2)",
                                                              kPeriodicSquare};
    for (const std::string_view square : kSquares)
        if (energy.size() > square.size() && energy.ends_with("*" + std::string(square)))
            return harmonic_factor(energy.substr(0, energy.size() - square.size() - 1));
    return {};
}

}  // namespace

void read_openmm_restraints(const XmlFile& xml, pugi::xml_node force, Molecule& molecule,
                            std::vector<std::string>& notes) {
    const CustomExpression energy(force.attribute("energy").value());
    const CustomParameters parameters(xml, force);
    const HarmonicFactor form =
        energy.definitions.empty() ? restraint_form(energy.value) : HarmonicFactor{};
    if (form.parameter.empty() || !parameters.has(form.parameter) || !parameters.has("x0") ||
        !parameters.has("y0") || !parameters.has("z0"))
        xml.refuse(force, "CustomExternalForce with the energy " +
                              quote_field(force.attribute("energy").value()) +
                              " is not supported; harmonic restraints are, as "
                              "k*((x-x0)^2+(y-y0)^2+(z-z0)^2)");
    if (energy.value.ends_with(kPeriodicSquare))
        notes.push_back("the periodic distance of a CustomExternalForce is taken without a box");
    const pugi::xml_node particles = xml.child(force, "Particles");
    xml.count(particles, "Particle");
    for (const pugi::xml_node particle : particles.children()) {
        const auto value = [&](const std::string& name) { return parameters.value(xml, particle, name); };
        molecule.restraints.push_back({xml.below(particle, "index", molecule.size(), "particle"),
                                       2 * form.factor * value(form.parameter),
                                       {value("x0"), value("y0"), value("z0")}});
    }
}

}  // namespace microlift
