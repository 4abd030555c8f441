#include "sampling/molecule/files/openmm_restraints.h"

#include <array>

#include "sampling/molecule/files/custom_force.h"

namespace microlift {

namespace {

// The factor before |r − r₀|², and the parameter in it: "k*", "0.5*k*", "(k/2)*"; empty: another form.
struct RestraintForm {
    std::string parameter;
    double factor = 0;
};

constexpr std::string_view kPeriodicSquare = "periodicdistance(x,y,z,x0,y0,z0)^2";

RestraintForm restraint_form(const std::string& energy) {
    static constexpr std::array<std::string_view, 2> kSquares{"((x-x0)^2+(y-y0)^2+(z-z0)^2)",
                                                              kPeriodicSquare};
    for (const std::string_view square : kSquares) {
        if (energy.size() <= square.size() || !energy.ends_with("*" + std::string(square))) continue;
        std::string front = energy.substr(0, energy.size() - square.size() - 1);
        if (front.size() > 2 && front.front() == '(' && front.find(')') == front.size() - 1)
            front = front.substr(1, front.size() - 2);
        double factor = 1;
        for (const std::string_view half : {"0.5*", ".5*", "1/2*", "(1/2)*"})
            if (front.starts_with(half)) {
                factor = 0.5;
                front = front.substr(half.size());
                break;
            }
        for (const std::string_view half : {"/2", "*0.5", "/2.0"})
            if (factor == 1 && front.ends_with(half)) {
                factor = 0.5;
                front = front.substr(0, front.size() - half.size());
                break;
            }
        return {front, factor};
    }
    return {};
}

}  // namespace

void read_openmm_restraints(const XmlFile& xml, pugi::xml_node force, Molecule& molecule,
                            std::vector<std::string>& notes) {
    const CustomExpression energy(force.attribute("energy").value());
    const CustomParameters parameters(xml, force);
    const RestraintForm form = energy.definitions.empty() ? restraint_form(energy.value) : RestraintForm{};
    const auto known = [&](const std::string& name) {
        return parameters.is_global(name) || !parameters.attribute(name).empty();
    };
    if (form.parameter.empty() || !known(form.parameter) || !known("x0") || !known("y0") || !known("z0"))
        xml.refuse(force, "CustomExternalForce with the energy " +
                              quote_field(force.attribute("energy").value()) +
                              " is not supported; harmonic restraints are, as "
                              "k*((x-x0)^2+(y-y0)^2+(z-z0)^2)");
    if (energy.value.ends_with(kPeriodicSquare))
        notes.push_back("the periodic distance of a CustomExternalForce is taken without a box");
    const pugi::xml_node particles = xml.child(force, "Particles");
    xml.count(particles, "Particle");
    for (const pugi::xml_node particle : particles.children()) {
        const auto value = [&](const std::string& name) {
            const std::string attribute = parameters.attribute(name);
            return attribute.empty() ? parameters.global(name) : xml.number(particle, attribute.c_str());
        };
        molecule.restraints.push_back({xml.below(particle, "index", molecule.size(), "particle"),
                                       2 * form.factor * value(form.parameter),
                                       {value("x0"), value("y0"), value("z0")}});
    }
}

}  // namespace microlift
