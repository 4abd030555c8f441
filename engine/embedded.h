// For a host program that keeps its own handlers of signals: work stops as if a signal had come, with what
// it leaves for --resume, and the process goes on.
#pragma once

namespace microlift {

void request_stop(int signal);
void forget_stop();  // the next piece of work may begin

}  // namespace microlift
