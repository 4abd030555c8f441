#include "sampling/run/checkpoint.h"

#include "sampling/run/agreement.h"

namespace microlift {

namespace {

// A run that is complete has nothing to go on from.
bool is_kept(const Run& run, const Product* product) {
    return !run.position.done() || product == &run.position || product == &run.record;
}

}  // namespace

void save_checkpoint(Run& run) {
    Store store;
    for (const Product* product : run.products())
        if (is_kept(run, product)) product->save(store);
    store.save(run.dir / "checkpoint.h5");
}

void load_checkpoint(Run& run) {
    const fs::path file = run.dir / "checkpoint.h5";
    if (!fs::exists(file)) return;
    load_checkpoint(run, Store::load(file));
}

void load_checkpoint(Run& run, const Store& store) {
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
