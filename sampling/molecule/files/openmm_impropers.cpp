#include "sampling/molecule/files/openmm_impropers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <numbers>

#include "sampling/molecule/files/custom_force.h"

namespace microlift {

namespace {

constexpr double kPi = std::numbers::pi;

// What follows the factor, with the definitions that give it its meaning, all but that of pi.
struct ImproperForm {
    std::string_view square;
    std::map<std::string, std::string> definitions;
    bool to_nearest_turn = true;
};

const std::array<ImproperForm, 4>& improper_forms() {
    static const std::array<ImproperForm, 4> kForms{{
        {"*min(dtheta,2*pi-dtheta)^2", {{"dtheta", "abs(theta-theta0)"}}},
        {"*(min(dtheta,2*pi-dtheta))^2", {{"dtheta", "abs(theta-theta0)"}}},
        {"*(thetap-theta0)^2",
         {{"thetap", "step(-(theta-theta0+pi))*2*pi+theta+step(theta-theta0-pi)*(-2*pi)"}}},
        {"*(theta-theta0)^2", {}, false},
    }};
    return kForms;
}

// π as files round it: to six digits behind the point.
bool is_pi(const std::string& text) {
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    return !text.empty() && *end == '\0' && std::fabs(value - kPi) < 1e-6;
}

// 2*3.14159265 becomes 2*pi.
std::string with_named_pi(const std::string& text) {
    const std::size_t from = text.find("2*3.14");
    if (from == std::string::npos) return text;
    const std::size_t end = std::min(text.find_first_not_of("0123456789.", from + 2), text.size());
    if (!is_pi(text.substr(from + 2, end - from - 2))) return text;
    return text.substr(0, from + 2) + "pi" + text.substr(end);
}

const ImproperForm* find_form(const CustomExpression& energy, HarmonicFactor& factor) {
    const std::string value = with_named_pi(energy.value);
    std::map<std::string, std::string> definitions = energy.definitions;
    if (const auto pi = definitions.find("pi"); pi != definitions.end()) {
        if (!is_pi(pi->second)) return nullptr;
        definitions.erase(pi);
    }
    for (const ImproperForm& form : improper_forms()) {
        if (!value.ends_with(form.square) || definitions != form.definitions) continue;
        factor = harmonic_factor(value.substr(0, value.size() - form.square.size()));
        return &form;
    }
    return nullptr;
}

}  // namespace

void read_openmm_impropers(const XmlFile& xml, pugi::xml_node force, Molecule& molecule) {
    const CustomExpression energy(force.attribute("energy").value());
    const CustomParameters parameters(xml, force, "PerTorsionParameters");
    HarmonicFactor factor;
    const ImproperForm* form = find_form(energy, factor);
    if (!form || !parameters.has(factor.parameter) || !parameters.has("theta0"))
        xml.refuse(force, "CustomTorsionForce with the energy " +
                              quote_field(force.attribute("energy").value()) +
                              " is not supported; harmonic impropers are, as "
                              "k*min(dtheta, 2*pi-dtheta)^2; dtheta = abs(theta-theta0)");
    const pugi::xml_node torsions = xml.child(force, "Torsions");
    xml.count(torsions, "Torsion");
    for (const pugi::xml_node torsion : torsions.children()) {
        HarmonicTorsion read{xml.distinct<4>(torsion, {"p1", "p2", "p3", "p4"}, molecule.size()),
                             parameters.value(xml, torsion, "theta0"),
                             2 * factor.factor * parameters.value(xml, torsion, factor.parameter)};
        if (!form->to_nearest_turn && read.angle != 0)
            xml.refuse(torsion, "(theta-theta0)^2 jumps where theta goes round, unless theta0 is 0; write "
                                "min(dtheta, 2*pi-dtheta)^2; dtheta = abs(theta-theta0)");
        if (std::fabs(read.angle) > kPi + 1e-6)
            xml.refuse(torsion, "theta0 is not between -pi and pi");
        molecule.harmonic_torsions.push_back(read);
    }
}

}  // namespace microlift
