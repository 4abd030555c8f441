#!/bin/sh
# Compiler launcher of the CUDA build: runs "$@", keeps what ptxas reports of each kernel's registers,
# stack and spills in OBJECT.ptxas, and passes everything else on.
object=
previous=
for argument in "$@"; do
    if [ "$previous" = -o ]; then object=$argument; fi
    previous=$argument
done
if [ -z "$object" ]; then exec "$@"; fi
"$@" 2>"$object.ptxas"
status=$?
grep -v -e '^ptxas info' -e '^ *[0-9]* bytes stack frame' "$object.ptxas" >&2
exit $status
