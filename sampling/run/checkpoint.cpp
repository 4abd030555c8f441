#include "sampling/run/checkpoint.h"

#include "sampling/dynamics/mathematics.h"
#include "sampling/run/agreement.h"
#include "sampling/run/meter.h"
#include "sampling/run/stages/store.h"

namespace microlift {

namespace {

// A run that is complete has nothing to go on from.
bool is_kept(const Run& run, const Product* product) {
    return !run.position.done() || product == &run.position || product == &run.record;
}

void need_same_configuration(const Run& run, const Store& store) {
    const auto found = store.attributes.find("configuration");
    // There is none in a checkpoint of an earlier version.
    if (found != store.attributes.end() && found->second != run.config.checksum())
        throw InputError((run.dir / "checkpoint.h5").string() +
                         ": it belongs to another configuration than config.toml beside it; put back "
                         "the one that is missing, or begin anew with --force");
}

}  // namespace

void save_checkpoint(Run& run) {
    const Clock::time_point began = Clock::now();
    write_segments(run);
    Store store;
    for (const Product* product : run.products())
        if (is_kept(run, product)) product->save(store);
    store.attributes["math"] = mathematics_name(run.config.integrator.portable_math);
    store.attributes["configuration"] = run.config.checksum();
    store.save(run.dir / "checkpoint.h5");
    remove_segments(run);
    const double seconds = seconds_since(began);
    expect_checkpoint(seconds);
    run.progress.figure("checkpoint_seconds", seconds);
}

std::optional<Store> read_checkpoint(const fs::path& dir) {
    const fs::path file = dir / "checkpoint.h5";
    if (!fs::exists(file)) return std::nullopt;
    return Store::load(file);
}

std::string mathematics_of(const Store& store) {
    const auto found = store.attributes.find("math");
    if (found == store.attributes.end()) return mathematics_name(true);  // of an earlier version
    if (found->second != mathematics_name(true) && found->second != mathematics_name(false))
        throw InputError("checkpoint.h5: it does not say in which mathematics it was computed; begin "
                         "anew with --force");
    return found->second;
}

void load_checkpoint(Run& run, const Store& store) {
    need_same_configuration(run, store);
    try {
        for (Product* product : run.products())
            if (is_kept(run, product)) product->load(store);
        if (!run.position.done()) check_agreement(run);
    } catch (const std::logic_error&) {
        throw InputError((run.dir / "checkpoint.h5").string() +
                         ": it was written by another version; begin anew with --force");
    }
}

}  // namespace microlift
