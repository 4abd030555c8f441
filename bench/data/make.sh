#!/bin/sh
# Writes ala2.prmtop and ala2.inpcrd here: needs AmberTools' tleap.
set -e
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/leap.in" <<END
source oldff/leaprc.ff96
set default PBRadii mbondi2
mol = sequence { ACE ALA NME }
saveAmberParm mol $PWD/ala2.prmtop $PWD/ala2.inpcrd
quit
END
(cd "$work" && "${TLEAP:-tleap}" -f leap.in)
