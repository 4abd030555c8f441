// Functions that formulas know and that are made of the graph's operations; and what to write for those
// that they do not know.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "sampling/formula/formula.h"

namespace microlift {

NodeId build_asin(Expressions& graph, std::span<const NodeId> x);
NodeId build_acos(Expressions& graph, std::span<const NodeId> x);
NodeId build_log2(Expressions& graph, std::span<const NodeId> x);
NodeId build_log10(Expressions& graph, std::span<const NodeId> x);

// "write 1/cos(x)" for sec; empty for a name that no language is known to have.
std::string function_advice(std::string_view word);

}  // namespace microlift
