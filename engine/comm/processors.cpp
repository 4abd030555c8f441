#include "engine/comm/processors.h"

#include <sched.h>

namespace microlift {

Processors usable_processors() {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return {};
    Processors found{CPU_COUNT(&set), 0};
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu)
        if (CPU_ISSET(cpu, &set)) found.key = (found.key + cpu + 1) * 0x9e3779b97f4a7c15u;
    return found;
}

}  // namespace microlift
