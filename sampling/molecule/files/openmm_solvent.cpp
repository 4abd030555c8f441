#include "sampling/molecule/files/openmm_solvent.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

#include "engine/at.h"
#include "sampling/molecule/files/custom_force.h"
#include "sampling/molecule/neck_table.h"
#include "sampling/molecule/solvent_parameters.h"

namespace microlift {

namespace {

// The integrals of a pair, without definitions: L, U, D are the limits of integration.
constexpr std::string_view kBornIntegral =
    "0.5*(1/L-1/U+0.25*(r-sr2^2/r)*(1/(U^2)-1/(L^2))+0.5*log(L/U)/r)";
constexpr std::string_view kNeckIntegral =
    "step(radius1+radius2+neckCut-r)*getm0(radindex1,radindex2)/(1+100*(r-getd0(radindex1,radindex2))^2+"
    "0.3*1000000*(r-getd0(radindex1,radindex2))^6)";

struct RadiusForm {
    SolventKind kind;
    std::string_view value;
};
constexpr std::array<RadiusForm, 5> kRadiusForms{{
    {SolventKind::hct, "1/(1/or-I)"},
    {SolventKind::obc1, "1/(1/or-tanh(0.8*psi+2.909125*psi^3)/radius)"},
    {SolventKind::obc2, "1/(1/or-tanh(psi-0.8*psi^2+4.85*psi^3)/radius)"},
    {SolventKind::gbn, "1/(1/or-tanh(1.09511284*psi-1.907992938*psi^2+2.50798245*psi^3)/radius)"},
    {SolventKind::gbn2, "1/(1/or-tanh(alpha*psi-beta*psi^2+gamma*psi^3)/radius)"},
}};

constexpr double kCloseEnough = 1e-6;  // what tables and radii may differ by, relative

class CustomGbReader {
public:
    CustomGbReader(const XmlFile& xml, pugi::xml_node force, const Molecule& molecule)
        : xml_(xml), force_(force), molecule_(molecule), parameters_(xml, force) {}

    Solvent read() {
        if (xml_.number(force_, "method", 0) != 0)
            xml_.refuse(force_, "CustomGBForce with a cutoff is not supported; make the System with "
                                "nonbondedMethod=NoCutoff");
        find_kind();
        options_.surface = find_energy();
        options_.solute_dielectric = constant("soluteDielectric");
        options_.solvent_dielectric = constant("solventDielectric");
        Solvent solvent = solvent_model(molecule_, options_);
        solvent.coulomb = kCoulombOfCustomForces;
        if (screened_) solvent.kappa = constant("kappa");
        if (std::fabs(constant("offset") - solvent.offset) > kCloseEnough * solvent.offset)
            unknown(force_, "another offset");
        read_atoms(solvent);
        return solvent;
    }

private:
    bool has_neck() const {
        return options_.kind == SolventKind::gbn || options_.kind == SolventKind::gbn2;
    }

    [[noreturn]] void unknown(pugi::xml_node node, const std::string& what) const {
        xml_.refuse(node, "CustomGBForce with " + what +
                              " is not supported; OpenMM's HCT, OBC1, OBC2, GBn and GBn2 are");
    }

    // Numbers that expressions define; all must agree.
    void take_constants(pugi::xml_node node, const CustomExpression& expression) {
        for (const auto& [name, text] : expression.definitions) {
            double value = 0;
            if (!parse_number(text, value)) continue;
            const auto [place, fresh] = constants_.emplace(name, value);
            // Sixteen digits of 0.009 are not 0.009.
            if (!fresh && std::fabs(place->second - value) > 1e-12 * std::fabs(value))
                unknown(node, "two values of " + name);
        }
    }
    double constant(const std::string& name) const {
        const auto found = constants_.find(name);
        if (found != constants_.end()) return found->second;
        if (parameters_.is_global(name)) return parameters_.global(name);
        unknown(force_, "no " + name);
    }
    void require(pugi::xml_node node, const CustomExpression& expression, const char* name,
                 std::string_view value) const {
        const auto found = expression.definitions.find(name);
        if (found == expression.definitions.end() || found->second != value)
            unknown(node, "another definition of " + std::string(name));
    }

    // The computed values: I over pairs, exclusions or not, and B of one particle.
    void find_kind() {
        const pugi::xml_node values = xml_.child(force_, "ComputedValues");
        if (xml_.count(values, "Value") != 2) unknown(values, "other computed values");
        const pugi::xml_node integral = values.first_child(), radius = integral.next_sibling();
        const CustomExpression b(radius.attribute("expression").value());
        const auto form =
            std::find_if(kRadiusForms.begin(), kRadiusForms.end(),
                         [&](const RadiusForm& known) { return known.value == b.value; });
        if (form == kRadiusForms.end() || radius.attribute("name").value() != std::string("B") ||
            xml_.integer(radius, "type") != 0)
            unknown(radius, "another effective radius");
        options_.kind = form->kind;
        if (options_.kind != SolventKind::hct) {
            require(radius, b, "psi", "I*or");
            require(radius, b, "radius", "or+offset");
        }
        take_constants(radius, b);
        check_integral(integral);
    }

    void check_integral(pugi::xml_node node) {
        const CustomExpression integral(node.attribute("expression").value());
        constexpr index kPairsNoExclusions = 2;
        if (node.attribute("name").value() != std::string("I") ||
            xml_.integer(node, "type") != kPairsNoExclusions)
            unknown(node, "another integral");
        const auto of_born = [](const std::string& text) {
            const std::string whole(kBornIntegral);
            return text == "select(step(r+sr2-or1)," + whole + ",0)" || text == "step(r+sr2-or1)*" + whole;
        };
        require(node, integral, "U", "r+sr2");
        require(node, integral, "L", "max(or1,D)");
        require(node, integral, "D", "abs(r-sr2)");
        if (has_neck()) {
            const auto found = integral.definitions.find("Ivdw");
            if (integral.value != "Ivdw+neckScale*Ineck" || found == integral.definitions.end() ||
                !of_born(found->second))
                unknown(node, "another integral");
            require(node, integral, "Ineck", kNeckIntegral);
            require(node, integral, "radius1", "or1+offset");
            require(node, integral, "radius2", "or2+offset");
            require(node, integral, "neckScale",
                    options_.kind == SolventKind::gbn2 ? "0.826836" : "0.361825");
            require(node, integral, "neckCut", "0.68");
        } else if (!of_born(integral.value)) {
            unknown(node, "another integral");
        }
        take_constants(node, integral);
    }

    // The energy of one particle, of a pair, and perhaps of the surface: whether there is the last.
    bool find_energy() {
        const pugi::xml_node terms = xml_.child(force_, "EnergyTerms");
        xml_.count(terms, "Term");
        int own = 0, pair = 0, surface = 0;
        for (const pugi::xml_node term : terms.children()) {
            const CustomExpression energy(term.attribute("expression").value());
            const index type = xml_.integer(term, "type");
            take_constants(term, energy);
            if (type == 0 && is_energy(energy.value, "-0.5*138.935485*", "B", "*charge^2/B")) {
                ++own;
            } else if (type == 2 && is_energy(energy.value, "-138.935485*", "f", "*charge1*charge2/f")) {
                require(term, energy, "f", "sqrt(r^2+B1*B2*exp(-r^2/(4*B1*B2)))");
                ++pair;
            } else if (type == 0 && energy.value == "28.3919551*(radius+0.14)^2*(radius/B)^6") {
                require(term, energy, "radius", "or+offset");
                ++surface;
            } else {
                unknown(term, "the energy " + quote_field(energy.value));
            }
        }
        if (own != 1 || pair != 1 || surface > 1) unknown(terms, "other energy terms");
        return surface == 1;
    }

    // With salt or without, by a distance B or f.
    bool is_energy(const std::string& text, const std::string& front, const std::string& distance,
                   const std::string& back) {
        if (text == front + "(1/soluteDielectric-1/solventDielectric)" + back) return true;
        const bool salt = text == front + "(1/soluteDielectric-exp(-kappa*" + distance +
                                      ")/solventDielectric)" + back;
        screened_ = screened_ || salt;
        return salt;
    }

    void read_atoms(Solvent& solvent) {
        const pugi::xml_node particles = xml_.child(force_, "Particles");
        if (xml_.count(particles, "Particle") != molecule_.size())
            xml_.refuse(particles, "CustomGBForce has another number of particles than the System");
        std::size_t i = 0;
        for (const pugi::xml_node particle : particles.children()) {
            Solvent::AtomParameters& atom = solvent.atoms[i];
            const double inner = value(particle, "or");
            if (!(inner > 0)) xml_.refuse(particle, "the radius less its offset must be positive");
            atom.radius = inner + solvent.offset;
            atom.scale = value(particle, "sr") / inner;
            if (solvent.kind == SolventKind::gbn2) {
                atom.alpha = value(particle, "alpha");
                atom.beta = value(particle, "beta");
                atom.gamma = value(particle, "gamma");
            }
            check_charge(particle, value(particle, "charge"), i);
            if (has_neck()) take_radius(particle, atom.radius);
            ++i;
        }
        if (has_neck()) check_tables();
    }
    double value(pugi::xml_node particle, const std::string& name) const {
        const std::string attribute = parameters_.attribute(name);
        if (attribute.empty()) unknown(force_, "no parameter " + name);
        return xml_.number(particle, attribute.c_str());
    }
    void check_charge(pugi::xml_node particle, double charge, std::size_t i) const {
        if (std::fabs(charge - molecule_.atoms[i].charge) > kCloseEnough)
            xml_.refuse(particle, "particle " + std::to_string(i) +
                                      " has another charge in the solvent than in NonbondedForce; give "
                                      "the same");
    }

    // Radii by their place in the tables.
    void take_radius(pugi::xml_node particle, double radius) {
        const double place = value(particle, "radindex");
        if (!(place >= 0 && place < kMostAtoms) || place != std::floor(place))
            xml_.refuse(particle, "radindex must count the radii from 0");
        const auto [found, fresh] = radii_.emplace(static_cast<index>(place), radius);
        if (!fresh && std::fabs(found->second - radius) > kCloseEnough * radius)
            xml_.refuse(particle, "one radindex stands for two radii");
    }
    void check_tables() const {
        const pugi::xml_node functions = xml_.child(force_, "Functions");
        xml_.count(functions, "Function");
        int known = 0;
        for (const pugi::xml_node table : functions.children()) {
            const std::string name = table.attribute("name").value();
            if (name != "getd0" && name != "getm0") unknown(table, "the function " + quote_field(name));
            check_table(table, name == "getd0");
            ++known;
        }
        if (known != 2) unknown(functions, "other functions than getd0 and getm0");
    }
    void check_table(pugi::xml_node table, bool distance) const {
        const index size = xml_.integer(table, "xsize");
        const pugi::xml_node values = xml_.child(table, "Values");
        const index count = xml_.count(values, "Value");
        if (size < 1 || size > kMostAtoms || xml_.integer(table, "ysize") != size ||
            count != size * size || radii_.rbegin()->first >= size)
            unknown(table, "a table of another size");
        std::vector<double> entries;
        for (const pugi::xml_node value : values.children()) entries.push_back(xml_.number(value, "v"));
        for (const auto& [i, radius1] : radii_)
            for (const auto& [j, radius2] : radii_) {
                const Neck neck = neck_between(radius1, radius2);
                const double expected = distance ? neck.distance : neck.height;
                if (std::fabs(entries[at(i + size * j)] - expected) > kCloseEnough * expected)
                    unknown(table, "another neck of the radii " + std::to_string(radius1) + " and " +
                                       std::to_string(radius2) + " nm");
            }
    }

    const XmlFile& xml_;
    pugi::xml_node force_;
    const Molecule& molecule_;
    CustomParameters parameters_;
    SolventOptions options_;
    std::map<std::string, double> constants_;
    std::map<index, double> radii_;
    bool screened_ = false;
};

}  // namespace

Solvent read_openmm_custom_gb(const XmlFile& xml, pugi::xml_node force, const Molecule& molecule) {
    return CustomGbReader(xml, force, molecule).read();
}

Solvent read_openmm_obc(const XmlFile& xml, pugi::xml_node force, const Molecule& molecule) {
    if (xml.number(force, "method", 0) != 0)
        xml.refuse(force, "GBSAOBCForce with a cutoff is not supported; make the System with "
                          "nonbondedMethod=NoCutoff");
    SolventOptions options;
    options.kind = SolventKind::obc2;
    options.solute_dielectric = xml.number(force, "soluteDielectric");
    options.solvent_dielectric = xml.number(force, "solventDielectric");
    Solvent solvent = solvent_model(molecule, options);
    solvent.surface_energy = 4 * std::numbers::pi * xml.number(force, "surfaceAreaEnergy", 2.25936);
    const pugi::xml_node particles = xml.child(force, "Particles");
    if (xml.count(particles, "Particle") != molecule.size())
        xml.refuse(particles, "GBSAOBCForce has another number of particles than the System");
    std::size_t i = 0;
    for (const pugi::xml_node particle : particles.children()) {
        solvent.atoms[i].radius = xml.number(particle, "r");
        solvent.atoms[i].scale = xml.number(particle, "scale");
        if (std::fabs(xml.number(particle, "q") - molecule.atoms[i].charge) > kCloseEnough)
            xml.refuse(particle, "particle " + std::to_string(i) +
                                     " has another charge in the solvent than in NonbondedForce; give "
                                     "the same");
        ++i;
    }
    return solvent;
}

}  // namespace microlift
