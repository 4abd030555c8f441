// Bias energies of stored states, on their device.
#pragma once

#include "engine/device/buffer.h"
#include "kernels/dynamics/bias.h"
#include "kernels/dynamics/grid_bias.h"

namespace microlift {

// out[j], j < n, of states xi (cvs, row). Of windows column s · windows.row + t belongs to trajectory t.
void bias_energy(Stream& stream, const WindowView& windows, int cvs, Span<const float> xi, index row,
                 index n, Span<float> out);
void bias_energy(Stream& stream, const GridView& grid, int cvs, Span<const float> xi, index row,
                 index n, Span<float> out);

// to (n) += factor · from (n).
void add_scaled(Stream& stream, float factor, Span<const float> from, Span<float> to);

}  // namespace microlift
