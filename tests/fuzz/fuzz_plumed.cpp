// Fuzzes the reader of PLUMED inputs: whatever the bytes, keys of a configuration that TOML can hold, or an InputError
// of a line for each fault.
#include <cstdlib>
#include <string>

#include "engine/error.h"
#include "sampling/bias/plumed/read.h"
#include "tests/fuzz/fuzz.h"

std::vector<std::string> fuzz_seeds() {
    return {"phi: TORSION ATOMS=5,7,9,15\npsi: TORSION ATOMS=7,9,15,17 # comment\nmetad: METAD ARG=phi,psi ...\n  PACE=500 "
            "HEIGHT=1.2 BIASFACTOR=8\n  SIGMA=0.3,0.3 TEMP=300\n  GRID_MIN=-pi,-pi GRID_MAX=pi,pi GRID_BIN=100,100\n...\n"
            "PRINT ARG=phi,psi,metad.bias FILE=COLVAR STRIDE=10\nENDPLUMED\nx",
            "UNITS LENGTH=A ENERGY=kcal/mol TIME=fs\nDISTANCE ATOMS=1-2 LABEL=d\nc: CUSTOM ARG=d FUNC=log(x)+2*pi "
            "PERIODIC=NO\nOPES_METAD ...\n LABEL=o ARG=c,d PACE=50 BARRIER=10 SIGMA=0.1,0.2 SIGMA_MIN=0.01,0.01\n... OPES_METAD\n"
            "UPPER_WALLS ARG=d AT=3.0 KAPPA=10 OFFSET=0.1\nRESTRAINT ARG=c AT=1 KAPPA=2\n",
            "g: GROUP ATOMS=1-9:2\nr: GYRATION ATOMS=g MASS_WEIGHTED\nn: COORDINATION GROUPA=1,2 GROUPB=4-6 "
            "SWITCH={RATIONAL R_0=0.3 NN=8}\nm: COMBINE ARG=r,n COEFFICIENTS=1,-2 POWERS=1,2 PERIODIC=-pi,pi\nDRR ARG=m "
            "GRID_MIN=-pi GRID_MAX=pi GRID_BIN=60 FULLSAMPLES=200\nINCLUDE FILE=nothing.dat\n",
            "phi: TORSION ATOMS=@phi-2\nRESTRAINT ARG=phi KAPPA=200 AT=@replicas:{-pi -2 0*pi},1\n"};
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace microlift;
    PlumedEngine engine;
    engine.atoms = 22;
    engine.temperature = 300;
    engine.dt = 0.002;
    const std::string text(reinterpret_cast<const char*>(data), size);
    try {
        const PlumedTables tables = read_plumed_text(text, "plumed.dat", "/nonexistent", engine);
        for (const ConfigValue* table : {&tables.cv, &tables.given, &tables.fallback})
            (void)parse_toml("v = " + toml_value(*table) + "\n", "again.toml");
        if (!tables.cv.find("variables") || tables.cv.find("variables")->items.empty()) std::abort();
    } catch (const InputError& error) {
        const std::string message = error.what();
        // A line for each fault, with its place.
        for (std::size_t at = 0; at <= message.size();) {
            const std::size_t end = std::min(message.find('\n', at), message.size());
            if (message.compare(at, 11, "plumed.dat:") != 0) std::abort();
            at = end + 1;
        }
    }
    return 0;
}
