#include "sampling/lift/lifted_moves_kernels.h"

namespace microlift {

HOST_PASS_BEGIN

void propose_lifted(Stream& stream, index n, const LiftedProposalBody& body) {
    for_each_index(stream, n, body);
}

void accept_lifted(Stream& stream, index n, const LiftedAcceptBody& body) {
    for_each_index(stream, n, body);
}

void weigh_lifted(Stream& stream, index n, const LiftedWeightBody& body) {
    for_each_index(stream, n, body);
}

HOST_PASS_END

}  // namespace microlift
