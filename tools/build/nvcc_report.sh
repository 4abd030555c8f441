#!/bin/sh
# Runs "$@", a call of nvcc, keeps what ptxas reports of each kernel's registers, stack and spills in
# OUTPUT.ptxas, and passes everything else on.
output=
previous=
for argument in "$@"; do
    if [ "$previous" = -o ]; then output=$argument; fi
    previous=$argument
done
"$@" 2>"$output.ptxas"
status=$?
grep -v -e '^ptxas info' -e '^ *[0-9]* bytes stack frame' "$output.ptxas" >&2
exit $status
