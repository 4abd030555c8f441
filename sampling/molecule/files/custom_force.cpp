#include "sampling/molecule/files/custom_force.h"

namespace microlift {

std::string without_spaces(std::string_view text) {
    std::string out;
    for (const char c : text)
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r') out += c;
    return out;
}

CustomExpression::CustomExpression(std::string_view text) {
    const std::string whole = without_spaces(text);
    std::string_view rest = whole;
    for (bool first = true; first || !rest.empty(); first = false) {
        const std::size_t end = rest.find(';');
        const std::string_view part = rest.substr(0, end);
        const std::size_t equals = part.find('=');
        if (first)
            value = part;
        else if (equals != std::string_view::npos)
            definitions.emplace(part.substr(0, equals), part.substr(equals + 1));
        else if (!part.empty())
            value += ";" + std::string(part);  // nothing that is known
        rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    }
}

CustomParameters::CustomParameters(const XmlFile& xml, pugi::xml_node force) {
    const pugi::xml_node particles = xml.optional_child(force, "PerParticleParameters");
    xml.count(particles, "Parameter");
    for (const pugi::xml_node parameter : particles.children())
        of_particles_.emplace_back(parameter.attribute("name").value());
    const pugi::xml_node globals = xml.optional_child(force, "GlobalParameters");
    xml.count(globals, "Parameter");
    for (const pugi::xml_node parameter : globals.children())
        globals_[parameter.attribute("name").value()] = xml.number(parameter, "default");
}

std::string CustomParameters::attribute(const std::string& name) const {
    for (std::size_t i = 0; i < of_particles_.size(); ++i)
        if (of_particles_[i] == name) return "param" + std::to_string(i + 1);
    return "";
}

}  // namespace microlift
