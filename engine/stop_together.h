// How processes of one run stop together.
#pragma once

namespace microlift {

// Another process got this signal: as if it had come here.
void stop_as_told(int signal);
// This process says nothing when a signal ends it: another one does.
void stop_silently();
// What RemovedAtStop watches, before the process ends on the spot.
void remove_unfinished();

}  // namespace microlift
