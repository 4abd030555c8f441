"""Instructions and bytes of one lane of a kernel, from its machine code and the trips of its main loop."""
import re

import sass_report

BYTES = re.compile(r"^(?:LDG|STG|RED|ATOMG)\b(.*)$")


def pipe_of(opcode):
    if re.match(r"D(?:FMA|ADD|MUL|SETP|MNMX)", opcode):
        return "fp64"
    return sass_report.pipe_of(opcode)


def bytes_of(opcode):
    m = BYTES.match(opcode)
    if not m:
        return 0
    width = re.search(r"\.(U8|S8|U16|S16|64|128)\b", m[1])
    return {"U8": 1, "S8": 1, "U16": 2, "S16": 2, "64": 8, "128": 16}[width[1]] if width else 4


class Kernel:
    """Counted code: `pipes` and `bytes` of a lane that goes once through everything, and its loops."""

    def __init__(self, instructions, resources):
        self.opcodes = [opcode for _, opcode, _ in instructions]
        self.loops = sass_report.loops_of(instructions)
        self.registers = resources.get("REG", 0)
        self.local = sass_report.local_instructions(instructions)
        self.tensor = sum(o.startswith("HMMA") for o in self.opcodes)

    def marked_loop(self, marker):
        """Of the innermost loops that hold instructions of this name the one with most; and how many."""
        def count(loop):
            return sum(o.startswith(marker) for o in self.opcodes[loop[0]:loop[1] + 1])
        having = [loop for loop in self.loops if count(loop)]
        innermost = [(first, last) for first, last in having if not any(
            (a, b) != (first, last) and first <= a and b <= last for a, b in having)]
        best = max(innermost, key=count, default=None)
        return best, count(best) if best else 0

    def pass_of(self, marker, each):
        """{pipe: instructions} of the marked loop, for `each` of what marks it."""
        loop, count = self.marked_loop(marker)
        if loop is None:
            raise ValueError(f"no loop with {marker}")
        pipes = {}
        for opcode in self.opcodes[loop[0]:loop[1] + 1]:
            pipe = pipe_of(opcode)
            pipes[pipe] = pipes.get(pipe, 0) + each / count
        return pipes

    def share(self, share):
        """{pipe: instructions} of a share of all its code, as its largest loop mixes them."""
        first, last = max(self.loops, key=lambda loop: loop[1] - loop[0])
        pipes = {}
        for opcode in self.opcodes[first:last + 1]:
            pipe = pipe_of(opcode)
            pipes[pipe] = pipes.get(pipe, 0) + share * len(self.opcodes) / (last + 1 - first)
        return pipes

    def lane(self, trip=None):
        """({pipe: instructions}, bytes) of a lane. trip: (times, marker, how many of them a time)."""
        pipes, moved = {}, 0.0
        loop, passes = None, 1.0
        if trip:
            times, marker, each = trip
            loop, count = self.marked_loop(marker)
            if loop is None:
                raise ValueError(f"no loop with {marker}")
            passes = times * each / count
        for i, opcode in enumerate(self.opcodes):
            weight = passes if loop and loop[0] <= i <= loop[1] else 1.0
            pipe = pipe_of(opcode)
            pipes[pipe] = pipes.get(pipe, 0) + weight
            moved += weight * bytes_of(opcode)
        return pipes, moved
