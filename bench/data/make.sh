#!/bin/sh
# Writes the molecules here: needs AmberTools' tleap.
set -e
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/ff96.in" <<END
source oldff/leaprc.ff96
set default PBRadii mbondi2
mol = sequence { ACE ALA NME }
saveAmberParm mol $PWD/ala2.prmtop $PWD/ala2.inpcrd
quit
END
cat > "$work/ff14SB.in" <<END
source leaprc.protein.ff14SB
set default PBRadii mbondi2
mol = sequence { ACE ALA ALA ALA ALA NME }
saveAmberParm mol $PWD/ala4.prmtop $PWD/ala4.inpcrd
mol = sequence { NTYR TYR ASP PRO GLU THR GLY THR TRP CTYR }
saveAmberParm mol $PWD/cln025.prmtop $PWD/cln025.inpcrd
mol = loadPdb $PWD/cln025_folded.pdb
saveAmberParm mol $work/folded.prmtop $PWD/cln025_folded.inpcrd
quit
END
for in in "$work"/*.in; do (cd "$work" && "${TLEAP:-tleap}" -f "$in"); done
