#!/bin/sh
# Installs cuobjdump and nvdisasm into BUILD/disassembler, where tools/checks/sass_report.py looks for
# them: disassembler.sh BUILD. Without them, or a network, the machine code is not counted.
set -u
folder=$1/disassembler
if [ -d "$folder/nvidia" ]; then exit 0; fi
for pip in "python3 -m pip" "/usr/bin/python3 -m pip" pip3 pip; do
    if $pip --version >/dev/null 2>&1; then
        $pip install --quiet --no-deps --disable-pip-version-check --target "$folder" \
            nvidia-cuda-cuobjdump nvidia-cuda-nvdisasm >/dev/null 2>&1 && exit 0
        rm -rf "$folder"
    fi
done
echo "disassembler: pip could not install nvidia-cuda-cuobjdump; the machine code is not counted" >&2
