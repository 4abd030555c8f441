"""Runs: `run`, `load`, and what a run gives."""
from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import numpy.typing as npt

from . import _core
from ._config import Config, changes, source, threads_of
from ._pictures import write_page
from ._progress import Progress, Shown
from ._results import Results
from ._errors import InputError


class Generator:
    """The trained generator of a run: fine-scale states with a given value of the collective variables."""

    def __init__(self, folder: Path, device: str = "auto", threads: Optional[int] = None) -> None:
        """Takes the directory of a run, and what to run on."""
        self._dir, self._device, self._threads = Path(folder), device, threads

    def sample(self, at: Union[float, Sequence[float]], n: int, seed: Optional[int] = 0, heal: int = 0,
               progress: Progress = False) -> npt.NDArray[np.float32]:
        """Lifts: draws states that have this value of the collective variables.

        Parameters
        ----------
        at : float, or a sequence (2,) of two collective variables, in their units (angles in rad)
        n : int
            How many states.
        seed : int or None
            The same seed gives the same states; None: the seed of the run.
        heal : int
            Steps of restrained dynamics that relax each state.
        progress : bool or function
            As for `run`.

        Returns
        -------
        states : array, (n, variables), float32, in the unit of the variables (of molecules nm, x0 y0 z0 x1 …;
            `states.reshape(n, -1, 3)` by atoms)
        """
        values = [float(v) for v in np.atleast_1d(np.asarray(at, dtype=float)).ravel()]
        if n < 1 or heal < 0:
            raise InputError(f"n = {n}, heal = {heal}: give a number of states from 1, and of steps from 0")
        if not self._dir.is_dir():
            raise InputError(f"{self._dir}: there is no such directory; give the directory of a run")
        return _core.generate(str(self._dir), values, n, heal, seed, self._device, threads_of(self._threads), Shown(progress))

    def __repr__(self) -> str:
        """Which run it is of."""
        return f"<microlift.Generator of {self._dir}>"


class Run(Results):
    """A run in its directory: every result as an array, its generator, its pictures.

    A result that the configuration did not ask for raises an InputError that says what makes it.
    """

    def __init__(self, folder: Union[str, "os.PathLike[str]"], device: str = "auto",
                 threads: Optional[int] = None) -> None:
        """Takes the directory of a run; files are read where they are asked for."""
        super().__init__(Path(folder))
        self._device, self._threads = device, threads

    @property
    def generator(self) -> Generator:
        """The trained generator: `run.generator.sample(at, n)` gives states (n, variables)."""
        self._there("generator.safetensors", "[generator]")
        return Generator(self.dir, self._device, self._threads)

    @property
    def config(self) -> str:
        """The resolved configuration, TOML: running it again gives the same bytes."""
        return self._there("config.toml", "any stage").read_text(encoding="utf-8")

    @property
    def complete(self) -> bool:
        """Whether it came to its end; else `run(…, resume=True)` goes on."""
        return (self.dir / "metrics.json").is_file() and bool(self.metrics.get("complete"))

    def __repr__(self) -> str:
        """Where it lies."""
        return f"<microlift.Run in {self.dir}>"


def run(config: Config, out: Union[str, "os.PathLike[str]"], device: str = "auto", threads: Optional[int] = None,
        force: bool = False, set: Mapping[str, Any] = {}, *, resume: bool = False, seed: Optional[int] = None,
        math: str = "", progress: Progress = True, report: bool = True) -> Run:
    """Runs what a configuration names (sample, estimate, train, couple, close), as `microlift run` does, with
    the same files in `out`, byte for byte.

    Ctrl-C (KeyboardInterrupt) stops it within seconds, after a checkpoint; `resume=True` goes on from there. Other
    threads of Python run on meanwhile.

    Parameters
    ----------
    config : str, path or dict
        A configuration (TOML), or its tables: ``{"system": {"name": "muller_brown"}, …}``. Relative paths in a dict
        begin in the working directory.
    out : path
        The directory for the results; it has to be empty or new, but for `force` and `resume`.
    device : str
        "auto" (a CUDA device if one works, else the CPU), "cpu", "cuda" or "cuda:N".
    threads : int, optional
        Of the CPU; all cores by default.
    force : bool
        Replaces the results of an earlier run.
    set : dict
        Keys to replace: ``{"umbrella.steps": 2000}``.
    resume : bool
        Goes on from the last checkpoint in `out`.
    seed : int, optional
        Replaces the seed of the configuration.
    math : str
        "fast" or "portable", as ``--math`` of the command.
    progress : bool or function
        True: a bar, in notebooks below the cell. A function is called as ``f(stage, done, total, unit)`` a few
        times a second in the calling thread; its exceptions stop the run as Ctrl-C does.
    report : bool
        Whether to write report.html, which needs matplotlib.

    Returns
    -------
    run : Run
        Free energy, averages, closure, samples and figures, as arrays; units are those of the configuration (of
        molecules nm, ps, kJ/mol, K, rad).

    Raises
    ------
    InputError, DeviceError, NumericalError
        With the message that the command prints.
    KeyboardInterrupt
    """
    if resume and force:
        raise InputError("resume and force exclude each other: one goes on with a run, the other replaces it")
    file, text = source(config)
    shown = Shown(progress)
    _core.run(file, text, os.fspath(out), device, threads_of(threads), math, seed, resume, force, changes(set), shown)
    result = Run(out, device, threads)
    if report:
        try:
            write_page(result.dir)
        except (ImportError, InputError) as problem:
            # The results are there; only their pictures are not.
            warnings.warn(f"no report.html: {problem}", stacklevel=2)
    return result


def load(dir: Union[str, "os.PathLike[str]"], device: str = "auto", threads: Optional[int] = None) -> Run:
    """The run in a directory, whether the command made it or `run`.

    Parameters
    ----------
    dir : path
        The directory of a run.
    device : str
        What its generator shall run on, as of `run`.
    threads : int, optional
        Of the CPU; all cores by default.
    """
    if not (Path(dir) / "config.toml").is_file():
        raise InputError(f"{os.fspath(dir)}: there is no config.toml in it; give the directory of a run")
    return Run(dir, device, threads)
