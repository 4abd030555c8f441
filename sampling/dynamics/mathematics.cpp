#include "sampling/dynamics/mathematics.h"

#include "engine/error.h"

namespace microlift {

bool portable_mathematics(const std::string& asked, const Device& device) {
    if (!asked.empty() && asked != "portable" && asked != "fast")
        throw InputError("--math: unknown mathematics '" + asked + "'; use fast or portable");
    if (asked == "fast" && device.is_cpu())
        throw InputError("--math fast: the CPU computes in the portable mathematics alone; give "
                         "portable, or --device cuda");
    return device.is_cpu() || asked == "portable";
}

bool same_mathematics(const std::string& asked, const std::string& begun, const Device& device,
                      const std::string& where) {
    if (!asked.empty() && asked != begun)
        throw InputError("--math " + asked + ": the run was begun in the " + begun +
                         " mathematics (" + where + "); go on with --math " + begun +
                         ", or begin anew with --force");
    if (begun == "fast" && device.is_cpu())
        throw InputError(where + ": the run was begun in the fast mathematics of a CUDA device, which "
                                 "the CPU does not have; go on with --device cuda, or begin anew "
                                 "with --force");
    return portable_mathematics(begun, device);
}

}  // namespace microlift
