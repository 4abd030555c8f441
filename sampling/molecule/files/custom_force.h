// What OpenMM's custom forces have in common: expressions with definitions, parameters by name.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "sampling/molecule/files/xml_file.h"

namespace microlift {

std::string without_spaces(std::string_view text);

// "f; a=…; b=…", without blanks.
struct CustomExpression {
    explicit CustomExpression(std::string_view text);
    std::string value;
    std::map<std::string, std::string> definitions;
};

// The factor before a square and the parameter in it: "k", "0.5*k", "(k/2)".
struct HarmonicFactor {
    std::string parameter;
    double factor = 0;
};
HarmonicFactor harmonic_factor(std::string front);

class CustomParameters {
public:
    CustomParameters(const XmlFile& xml, pugi::xml_node force, const char* of_each = "PerParticleParameters");
    bool has(const std::string& name) const { return is_global(name) || !attribute(name).empty(); }
    bool is_global(const std::string& name) const { return globals_.count(name) > 0; }
    double global(const std::string& name) const { return globals_.at(name); }
    // The attribute ("param3") that holds a particle's or term's; empty: no such parameter.
    std::string attribute(const std::string& name) const;
    // Of a node that is a particle or a term.
    double value(const XmlFile& xml, pugi::xml_node node, const std::string& name) const;
    std::size_t size() const { return of_particles_.size(); }

private:
    std::map<std::string, double> globals_;
    std::vector<std::string> of_particles_;
};

}  // namespace microlift
