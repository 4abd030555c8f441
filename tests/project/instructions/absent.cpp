// What the counted kernels call on other machines and in error alone, so that its sources need no compilation here.
#include <stdexcept>

#include "sampling/dynamics/compiled_path.h"
#include "sampling/dynamics/cuda_path.h"
#include "sampling/molecule/worst_force.h"

namespace microlift {

[[noreturn]] static void absent() { throw std::logic_error("not in this program"); }

CompiledPath compile_formula_path(const FormulaSystem&, const PathSetup&, const std::string&, std::string&) { absent(); }
void launch_formula_on_cuda(Stream&, const FormulaSystem&, const PathSetup&, const PathArgs&) { absent(); }
std::string atom_words(const Molecule&, index) { absent(); }
std::string worst_force(Stream&, const Molecule&, std::span<const float>) { absent(); }
std::string worst_force_on_the_way(Stream&, const Molecule&, std::span<const float>) { absent(); }

}  // namespace microlift
