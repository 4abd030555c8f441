#include <filesystem>

#include "sampling/run/evaluate.h"
#include "tools/command/commands.h"

namespace microlift {

void command_evaluate(const EvaluateOptions& options) {
    if (std::filesystem::path(options.out_file).extension() != ".h5")
        throw InputError("-o " + options.out_file +
                         ": not the name of a .h5 file; write for example -o energies.h5");
    evaluate_states(options);
}

}  // namespace microlift
