// Where a trajectory is on its way: the progress coordinate, and how far it is from either state.
#pragma once

#include "sampling/model/model.h"
#include "sampling/rates/rates_config.h"

namespace microlift {

class RateCoordinate {
public:
    // Throws KeyError.
    RateCoordinate(const Device& device, const Model& model, const RatesConfig& rates);

    // Rows of what run() makes: `progress` grows from `from` to `to`; distances are not positive inside.
    enum Row : int { progress, from, to, rows };
    // q (rows, row) of collective variables xi (K, row).
    void run(Stream& stream, Span<const float> xi, index row, index n, Span<float> q) const {
        program_.run(stream, xi, row, n, q, row);
    }
    // Both states are values of the first collective variable: crossings between the ends of a step can be drawn.
    bool by_value() const { return by_value_; }

private:
    bool by_value_;
    ColumnProgram program_;
};

}  // namespace microlift
