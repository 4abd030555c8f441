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

class CustomParameters {
public:
    CustomParameters(const XmlFile& xml, pugi::xml_node force);
    bool is_global(const std::string& name) const { return globals_.count(name) > 0; }
    double global(const std::string& name) const { return globals_.at(name); }
    // The attribute ("param3") that holds a particle's; empty: no such parameter.
    std::string attribute(const std::string& name) const;
    std::size_t size() const { return of_particles_.size(); }

private:
    std::map<std::string, double> globals_;
    std::vector<std::string> of_particles_;
};

}  // namespace microlift
