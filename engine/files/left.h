// Files that another process of the same run writes.
#pragma once

namespace microlift {

// From now on this process writes none: what AtomicFile and all that writes through it is given goes nowhere.
void leave_files_to_another();
bool leaves_files();

}  // namespace microlift
