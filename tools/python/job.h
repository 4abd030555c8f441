// Long work that Python started: on a thread of its own, without the interpreter.
#pragma once

#include <pybind11/pybind11.h>

#include <functional>

#include "engine/progress.h"

namespace microlift {

// Runs `work` while the calling thread hands on to `listener` what it tells, as listener(event, …):
//   "begin", stage, total, unit, already    "update", done    "end"    "note" | "warn" | "tell", text
// A signal that Python turns into an exception (Ctrl-C: KeyboardInterrupt), or an exception of the listener's,
// stops the work as a signal stops the command, with a checkpoint; then it is thrown. One such work at a time.
void run_watched(const std::function<void(Progress&)>& work, const pybind11::object& listener);

}  // namespace microlift
