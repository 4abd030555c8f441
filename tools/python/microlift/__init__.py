"""Biased ensembles, free energies, conditional generators and closures of stochastic systems.

    import microlift

    run = microlift.run("tools/examples/muller_brown.toml", "out/muller_brown")
    run.free_energy.value                       # (bins,), energy unit of the potential
    run.generator.sample(-0.5, 1000)            # (1000, variables): states with that collective variable
    run.plot.free_energy()                      # a figure of matplotlib

    system = microlift.System({"system": {"name": "muller_brown", "beta": 0.0667}, "cv": {"variables": ["x"]}})
    energy, force = system.energy_forces(states)  # (n,), (n, variables)

A configuration is a file (TOML) or a dict of the same tables; `microlift check --keys` lists the keys.
Units are the configuration's own, of molecules nm, ps, u, kJ/mol, K and rad.
"""
from ._pictures import Plots
from ._results import FreeEnergy, Results, Samples, Table
from ._run import Generator, Run, load, run
from ._tensor import Tensor
from ._errors import DeviceError, Error, InputError, NumericalError
from ._system import System, info

__version__: str = info()["version"]
__all__ = ["DeviceError", "Error", "FreeEnergy", "Generator", "InputError", "NumericalError", "Plots", "Results", "Run",
           "Samples", "System", "Table", "Tensor", "info", "load", "run"]
for _name in __all__:
    globals()[_name].__module__ = __name__  # as messages and help() show them
del _name
