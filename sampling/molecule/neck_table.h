// The neck between two atoms of GBn and GBn2: the region too narrow for water that both atoms' spheres
// leave. Its integral over the distance r is height / (1 + (r − d)²/0.01 + 0.3·(r − d)⁶/1e-6), r and d in nm.
//
// The tables are those of Mongan, Simmerling, McCammon, Case, Onufriev, J. Chem. Theory Comput. 3 (2007)
// 156, as AMBER and OpenMM (customgbforces.py) hold them, bilinear between their radii.
#pragma once

namespace microlift {

// The radii that the tables know, nm.
inline constexpr double kLeastNeckRadius = 0.1, kMostNeckRadius = 0.2;

struct Neck {
    double distance;  // d, nm
    double height;    // 1/nm
};

// Of intrinsic radii without the offset, nm: `radius1` of the atom whose effective radius it changes. The
// other atom's neck has them exchanged, and other numbers.
Neck neck_between(double radius1, double radius2);

}  // namespace microlift
