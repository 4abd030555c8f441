"""What each kernel of the main job must do at the least, as its source has it: bytes between its registers and the
device's memory, and operations. Of a sample, where its threads share the samples; else of a lane, or of a step.

For two variables and one collective variable that umbrella windows bias. Kernels that step trajectories are not
here: what they do in a step is counted in their machine code (STEPPING of stages.py)."""
from dataclasses import dataclass, field

from cost.profile import FIXED, SIZES

WINDOWS = 28
SAMPLES = WINDOWS * SIZES["umbrella.replicas"][1] * SIZES["umbrella.steps"][1] // FIXED["umbrella.stride"]
# Padded parameters of a generator or critic of the job, 3 x 64.
NETWORK = 16 * 64 + 2 * 64 * 64 + 64 * 16


@dataclass(frozen=True)
class Work:
    """`per` unit: "sample" (all samples, once a launch), "lane" or "step"."""
    per: str
    bytes: float = 0
    pipes: dict = field(default_factory=dict)  # operations by pipe, counted in the source
    loop: tuple = None    # (marker, how many of them a unit): counted in the machine code's loop that has most of them
    flops: float = 0      # of tensor cores
    threads: int = 1      # of what the engine counts as a lane, where that is a block
    of_a_sample: float = 0  # threads, where small runs have one block however many samples they have
    code: str = ""        # the kernel on CUDA, where the small runs' CPU has another one


def block(per, threads=128, **more):
    return Work(per, threads=threads, **more)


# Double precision of one window's term in a mixture: twice its exponent, the larger one, an exponential of seventeen,
# two sums; and of a sample in each of the group's eight threads eight sums, an inverse, a logarithm.
TERM, LOGARITHM, INVERSE = 2 * 3 + 1 + 1 + 17 + 2, 20, 8
WORK = {
    # windows
    "MomentsKernel": block("sample", bytes=4 + 16 / 64, loop=("LDG", 1)),
    "GatherMomentsBody": Work("sample", bytes=16 / 64, pipes={"fp64": 2 / 64}),
    "LagKernel<true>": block("sample", bytes=4, loop=("LDG", 2), of_a_sample=128 / 4096),
    "LagKernel<false>": block("sample", bytes=4, loop=("LDG", 1), of_a_sample=128 / 4096),
    "TakeLagBody": Work("sample", bytes=8 / 4096, pipes={"fp64": 1 / 4096}),
    "StillBody": Work("lane", bytes=4 + 4 + 4),
    # estimates
    "MixtureKernel": block("sample", bytes=4, pipes={"fp64": 8 * (TERM + 8 + INVERSE + LOGARITHM)},
                           of_a_sample=8 * 16384 / SAMPLES),
    "CellHistogramBody": Work("lane", bytes=4, pipes={"fp64": 6, "memory": 3}),
    "BlockHistogramBody": Work("lane", bytes=4, pipes={"fp64": 4, "memory": 3}),
    "ReduceKernel<MinOp": block("sample", 256, bytes=4, pipes={"fp64": 1}, of_a_sample=256 / 4096),
    "ReduceKernel<MaxOp": block("sample", 256, bytes=4, pipes={"fp64": 1}, of_a_sample=256 / 4096),
    "ReduceKernel<NonFiniteOp": block("sample", 256, bytes=4, pipes={"fp64": 1}, of_a_sample=256 / 4096),
    # Of a chunk of at most 64 rows of a table, as wide as the windows are many.
    "ColumnSumKernel": block("lane", bytes=8 * 64 * WINDOWS / 128, pipes={"fp64": 64}),
    # A thread of each bin looks at every sample of its chunk; one adds it.
    "ConditionalKernel": block("sample", bytes=4 + 2 * 4, pipes={"memory": 128, "alu": 2 * 128, "fp64": 9},
                               of_a_sample=131072 / SAMPLES),
    # closure: a value's replicas; a part is sixteen of them, and each of its sums looks at all
    "ReduceKernel<SumOp": block("lane", 256, bytes=4 * 4, pipes={"fp64": 4}),
    "ReduceKernel<SquaresAboutMeanOp": block("lane", 256, bytes=4 * 4, pipes={"fp64": 4 * 2}),
    "DivideRowsBody": Work("lane", bytes=8 + 8, pipes={"fp64": INVERSE}),
    "BurstSumsKernel": block("lane", 48 + 15, bytes=8, pipes={"fp64": 16 * 8, "alu": 16 * 10}),
    "BurstDriftBody": Work("step", bytes=4 + 2 * 4, pipes={"fma": 8, "memory": 3}),
    "GatherColumns": Work("lane", bytes=8 + 2 * (4 + 4)),
    "PassageStartBody": Work("lane", bytes=4 + 4),
    # Of one that goes on.
    "KeepAliveBody": Work("lane", bytes=4 + 8 + 2 * (4 + 2 * 4) + 4),
    "ScanKernel": block("lane", 256, bytes=16 * (4 + 8), pipes={"fp64": 2 * 16 + 5}),
    # moves and descents
    "ExchangeBody": Work("lane", bytes=8),
    "NewtonStepBody": Work("lane", bytes=4 + 4 + 8 + 16),
    "CalmBody": Work("lane", bytes=8),
    "DescendBody": Work("lane", bytes=12),
    "LiftedProposalBody": Work("lane", bytes=2 * (4 + 4)),
    "LiftedWeightBody": Work("lane", bytes=2 * 4 + 4),
    # A formula's instruction is fetched, reads two slots, and writes one; of a row, two variables and a result.
    "Program": (Work("lane", bytes=2 * 4 + 4, code="ColumnProgramBody"),
                Work("step", pipes={"memory": 4, "alu": 6, "control": 2})),
    "RowProgram<float>": Work("lane", bytes=16 * 4 + 2 * 4, flops=2 * NETWORK, code="GenerateTileKernel"),
}


def work_of(name):
    """The work that is stated for a kernel; nothing where none is."""
    for pattern, work in WORK.items():
        if name == pattern or name.startswith(pattern + "<") or ("<" in pattern and name.startswith(pattern)):
            return work if isinstance(work, tuple) else (work,)
    return ()
