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

HarmonicFactor harmonic_factor(std::string front) {
    if (front.size() > 2 && front.front() == '(' && front.find(')') == front.size() - 1)
        front = front.substr(1, front.size() - 2);
    for (const std::string_view half : {"0.5*", ".5*", "1/2*", "(1/2)*"})
        if (front.starts_with(half)) return {front.substr(half.size()), 0.5};
    for (const std::string_view half : {"/2", "*0.5", "/2.0"})
        if (front.ends_with(half)) return {front.substr(0, front.size() - half.size()), 0.5};
    return {front, 1};
}

CustomParameters::CustomParameters(const XmlFile& xml, pugi::xml_node force, const char* of_each) {
    const pugi::xml_node particles = xml.optional_child(force, of_each);
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

double CustomParameters::value(const XmlFile& xml, pugi::xml_node node, const std::string& name) const {
    const std::string found = attribute(name);
    return found.empty() ? global(name) : xml.number(node, found.c_str());
}

}  // namespace microlift
