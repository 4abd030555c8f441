"""What the model takes a GPU to be, and the least time that counted work needs on it. Rates are those of data
sheets and of the programming guide; latencies are assumed, and nothing here has been measured."""
from dataclasses import dataclass

LAUNCH = 3e-6  # seconds from one kernel to the next of a stream
NODE = 1.5e-6  # seconds from one node of a replayed graph to the next, each waiting for the one before
WAIT = 10e-6   # seconds of a wait of the host for a result, its copy included
HOST_LINK = 50e9  # bytes a second between host and device, PCI Express 5.0


@dataclass(frozen=True)
class Gpu:
    name: str
    bandwidth: float  # bytes a second
    processors: int = 132
    clock: float = 1.755e9
    schedulers: int = 4
    tensor_tf32: float = 494e12  # operations a second, dense

    def lanes(self, per_processor):
        return self.processors * per_processor * self.clock


GPUS = [Gpu("H100", 3.35e12), Gpu("H200", 4.8e12)]
# Lanes a clock and processor of each pipe; integer products take the lanes of two.
PIPES = {"fma": 128, "alu": 64, "sfu": 16, "fp64": 64}


def pipe_load(pipes):
    """{pipe: lane instructions} as the pipes see them."""
    load = {pipe: pipes.get(pipe, 0) for pipe in PIPES}
    load["fma"] += 2 * pipes.get("imad", 0)
    return load


def limits(gpu, lanes, pipes, bytes_moved, flops=0.0):
    """{what: seconds} of a kernel of so many lanes: instructions of a lane by pipe, bytes of all lanes."""
    total = sum(pipes.values())
    seconds = {"issue": lanes * total / gpu.lanes(32 * gpu.schedulers),
               "bandwidth": bytes_moved / gpu.bandwidth,
               # A warp issues one instruction a clock at most, however idle the rest is.
               "one thread": total / gpu.clock,
               "tensor cores": flops / gpu.tensor_tf32}
    for pipe, load in pipe_load(pipes).items():
        seconds[pipe] = lanes * load / gpu.lanes(PIPES[pipe])
    return seconds
