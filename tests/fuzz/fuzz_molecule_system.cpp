// Fuzzes the reader of OpenMM's Systems: whatever the bytes, a sound molecule or an InputError of one line.
#include <string>

#include "engine/error.h"
#include "sampling/molecule/files/openmm_system.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/molecule_check.h"

namespace {

std::string repeat(const std::string& text, int n) {
    std::string out;
    for (int i = 0; i < n; ++i) out += text;
    return out;
}

std::string system_of(const std::string& forces) {
    return "<?xml version=\"1.0\" ?>\n<System type=\"System\" version=\"1\">\n<Particles>\n" +
           repeat("<Particle mass=\"12.01\"/>\n", 5) +
           "</Particles>\n<Constraints>\n<Constraint d=\".109\" p1=\"0\" p2=\"1\"/>\n</Constraints>\n"
           "<Forces>\n" + forces + "</Forces>\n</System>\n";
}

std::string bonded() {
    return system_of(
        "<Force type=\"HarmonicBondForce\" usesPeriodic=\"0\"><Bonds>\n"
        "<Bond d=\".15\" k=\"200000\" p1=\"1\" p2=\"2\"/>\n</Bonds></Force>\n"
        "<Force type=\"HarmonicAngleForce\"><Angles>\n"
        "<Angle a=\"1.9\" k=\"400\" p1=\"0\" p2=\"1\" p3=\"2\"/>\n</Angles></Force>\n"
        "<Force type=\"PeriodicTorsionForce\"><Torsions>\n"
        "<Torsion k=\"6\" p1=\"0\" p2=\"1\" p3=\"2\" p4=\"3\" periodicity=\"2\" phase=\"3.14\"/>\n"
        "</Torsions></Force>\n<Force type=\"RBTorsionForce\"><Torsions>\n"
        "<Torsion c0=\"1\" c1=\"2\" c2=\"3\" c3=\"4\" c4=\"5\" c5=\"6\" p1=\"0\" p2=\"1\" p3=\"2\" p4=\"3\"/>\n"
        "</Torsions></Force>\n<Force type=\"CMAPTorsionForce\"><Maps><Map size=\"4\">\n" +
        repeat("<Energy e=\"1\"/>\n", 16) +
        "</Map></Maps><Torsions>\n<Torsion a1=\"0\" a2=\"1\" a3=\"2\" a4=\"3\" b1=\"1\" b2=\"2\" b3=\"3\" "
        "b4=\"4\" map=\"0\"/>\n</Torsions></Force>\n"
        "<Force type=\"CustomExternalForce\" energy=\"k*((x-x0)^2+(y-y0)^2+(z-z0)^2)\">"
        "<PerParticleParameters><Parameter name=\"x0\"/><Parameter name=\"y0\"/><Parameter name=\"z0\"/>"
        "</PerParticleParameters><GlobalParameters><Parameter default=\"100\" name=\"k\"/>"
        "</GlobalParameters><Particles><Particle index=\"2\" param1=\"1\" param2=\"2\" param3=\"3\"/>"
        "</Particles></Force>\n<Force type=\"CMMotionRemover\" frequency=\"1\"/>\n");
}

std::string pairs(const std::string& solvent) {
    return system_of("<Force method=\"0\" type=\"NonbondedForce\"><GlobalParameters/><ParticleOffsets/>"
                     "<ExceptionOffsets/><Particles>\n" +
                     repeat("<Particle eps=\".2\" q=\".1\" sig=\".3\"/>\n", 5) +
                     "</Particles><Exceptions>\n<Exception eps=\"0\" p1=\"0\" p2=\"1\" q=\"0\" sig=\"1\"/>\n"
                     "</Exceptions></Force>\n" + solvent);
}

std::string obc() {
    return pairs("<Force method=\"0\" soluteDielectric=\"1\" solventDielectric=\"78.5\" "
                 "surfaceAreaEnergy=\"2.25936\" type=\"GBSAOBCForce\"><Particles>\n" +
                 repeat("<Particle q=\".1\" r=\".17\" scale=\".72\"/>\n", 5) + "</Particles></Force>\n");
}

std::string custom_gb() {
    const std::string more = "; solventDielectric=78.5; soluteDielectric=1; kappa=0; offset=0.009";
    const std::string integral =
        "select(step(r+sr2-or1), 0.5*(1/L-1/U+0.25*(r-sr2^2/r)*(1/(U^2)-1/(L^2))+0.5*log(L/U)/r), 0)";
    const std::string gap = "U=r+sr2;L=max(or1, D);D=abs(r-sr2)";
    return pairs("<Force method=\"0\" type=\"CustomGBForce\"><PerParticleParameters>"
                 "<Parameter name=\"charge\"/><Parameter name=\"or\"/><Parameter name=\"sr\"/>"
                 "</PerParticleParameters><GlobalParameters/><ComputedValues>\n<Value expression=\"" +
                 integral + ";" + gap +
                 "\" name=\"I\" type=\"2\"/>\n<Value expression=\"1/(1/or-tanh(0.8*psi+2.909125*psi^3)/radius);"
                 "psi=I*or; radius=or+offset; offset=0.009\" name=\"B\" type=\"0\"/>\n</ComputedValues>"
                 "<EnergyTerms>\n<Term expression=\"-0.5*138.935485*(1/soluteDielectric-1/solventDielectric)"
                 "*charge^2/B" + more + "\" type=\"0\"/>\n<Term expression=\"-138.935485*(1/soluteDielectric-"
                 "1/solventDielectric)*charge1*charge2/f;f=sqrt(r^2+B1*B2*exp(-r^2/(4*B1*B2)))" + more +
                 "\" type=\"2\"/>\n</EnergyTerms><Particles>\n" +
                 repeat("<Particle param1=\".1\" param2=\".141\" param3=\".1\"/>\n", 5) +
                 "</Particles><Functions/></Force>\n");
}

}  // namespace

std::vector<std::string> fuzz_seeds() { return {bonded(), pairs(""), obc(), custom_gb()}; }

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace microlift;
    try {
        const TextFile file("fuzz", std::string(reinterpret_cast<const char*>(data), size));
        std::vector<std::string> notes;
        check_molecule(read_openmm_system(file, notes));
    } catch (const InputError& error) {
        const std::string message = error.what();
        abort_unless(!message.empty() && message.find('\n') == std::string::npos);
    }
    return 0;
}
