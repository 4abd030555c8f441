// An example of a bias method of one's own: a moving umbrella.
#pragma once

#include "sampling/bias/methods.h"

namespace microlift {

struct DraggedOptions {
    double from = 0, to = 0, stiffness = 0;  // the centre goes from one to the other …
    index steps = 0, period = 1;             // … in so many steps, a move each period
};

std::unique_ptr<BiasMethod> make_dragged(Stream& stream, const BiasSetup& setup);

// The methods of the library and this one.
inline std::vector<BiasMethodEntry> methods_with_dragged() {
    std::vector<BiasMethodEntry> methods = bias_methods();
    methods.push_back({"dragged", "one parabola whose centre moves", make_dragged});
    return methods;
}

}  // namespace microlift
