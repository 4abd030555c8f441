"""What a run left in its directory, as arrays; as frames of pandas and data sets of xarray, too."""
import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator

import numpy as np

from ._pictures import Plots, report_module, write_page
from ._errors import InputError

if TYPE_CHECKING:
    import pandas
    import xarray


def _library(name: str) -> Any:
    try:
        return __import__(name)
    except ImportError:
        raise ImportError(f"{name} is not installed; install it with: pip install {name}") from None


class Table:
    """A table of a run: columns of equal length, NumPy arrays of float64, or of text.

    `table["drift"]` and `table.drift` are columns; `table.names` lists them. Columns and their
    units are those of the file of the same name, which the page on running describes.
    """

    def __init__(self, columns: dict[str, np.ndarray]) -> None:
        """Takes its columns by name, each of shape (rows,)."""
        self._columns = columns

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return list(self._columns)

    def __getitem__(self, name: str) -> np.ndarray:
        """The column of that name, (rows,)."""
        return self._columns[name]

    def __getattr__(self, name: str) -> np.ndarray:
        """The column of that name, (rows,)."""
        if name.startswith("_") or name not in self._columns:
            raise AttributeError(f"no column '{name}'; there are {', '.join(self.__dict__.get('_columns', {}))}")
        return self._columns[name]

    def __len__(self) -> int:
        """The number of rows."""
        return len(next(iter(self._columns.values()), ()))

    def __iter__(self) -> Iterator[str]:
        """Over the names of the columns."""
        return iter(self._columns)

    def __dir__(self) -> list[str]:
        """With the columns, for completion."""
        return [*super().__dir__(), *self._columns]

    def __repr__(self) -> str:
        """Its kind, length and columns."""
        return f"<{type(self).__name__} of {len(self)} rows: {', '.join(self.names)}>"

    def select(self, **equal: Any) -> "Table":
        """The rows whose columns have the given values: `select(source="physics", variable="y")`."""
        mask = np.ones(len(self), dtype=bool)
        for name, value in equal.items():
            mask &= self[name] == value
        return Table({name: column[mask] for name, column in self._columns.items()})

    def to_pandas(self) -> "pandas.DataFrame":
        """A pandas DataFrame of the same columns; needs pandas."""
        return _library("pandas").DataFrame(self._columns)

    def to_xarray(self) -> "xarray.Dataset":
        """An xarray Dataset of the same columns along the dimension `row`; needs xarray."""
        return _library("xarray").Dataset({name: ("row", column) for name, column in self._columns.items()})


class FreeEnergy(Table):
    """The free energy along the collective variable(s), by bins.

    Energies are in the unit of the potential (kJ/mol of molecules), with the minimum at 0; bins
    that were never visited hold inf or nan. `error` is one standard error, for which correlated
    samples are accounted.
    """

    def __init__(self, columns: dict[str, np.ndarray], names: list[str]) -> None:
        """Takes the columns of free_energy.csv, and the names of the collective variables."""
        super().__init__(columns)
        self._names = names

    @property
    def cv(self) -> np.ndarray:
        """Centres of the bins: (bins,), or (bins, 2) of two collective variables, in their units (angles in rad)."""
        if "cv_2" not in self._columns:
            return self._columns["cv_1"]
        return np.stack([self._columns["cv_1"], self._columns["cv_2"]], axis=1)

    @property
    def value(self) -> np.ndarray:
        """Free energy of each bin, (bins,), in the unit of the potential."""
        return self._columns["free_energy"]

    @property
    def error(self) -> np.ndarray:
        """Standard error of each bin's free energy, (bins,), in the unit of the potential."""
        return self._columns["std_error"]

    def to_xarray(self) -> "xarray.Dataset":
        """An xarray Dataset of `free_energy` and `std_error` on the grid of the collective variables."""
        xarray = _library("xarray")
        keys = [key for key in ("cv_1", "cv_2") if key in self._columns]
        axes = [np.unique(self._columns[key]) for key in keys]
        at = tuple(np.searchsorted(axis, self._columns[key]) for axis, key in zip(axes, keys))
        data = {}
        for name in ("free_energy", "std_error"):
            grid = np.full([len(axis) for axis in axes], np.nan)
            grid[at] = self._columns[name]
            data[name] = (self._names, grid)
        return xarray.Dataset(data, coords=dict(zip(self._names, axes)))


class Samples:
    """The stored samples of a run, read from samples.h5 where they are asked for.

    Each property reads its array anew: keep it if you need it twice. `open()` gives the file
    itself, to read a part of what does not fit into memory.
    """

    def __init__(self, file: Path) -> None:
        """Takes the path of a samples.h5."""
        self._file = Path(file)

    def open(self) -> Any:
        """The file, an h5py.File opened for reading: close it, or use it in a `with` block."""
        import h5py
        try:
            return h5py.File(self._file, "r")
        except OSError as problem:
            raise InputError(f"{self._file}: cannot be read: {problem}") from None

    def _read(self, name: str) -> np.ndarray:
        with self.open() as file:
            if name not in file:
                raise InputError(f"{self._file}: there is no /{name} in it; there are {', '.join(file)}")
            return np.asarray(file[name][...])

    def _attribute(self, of: str, name: str) -> list[str]:
        with self.open() as file:
            found = np.ravel(np.asarray(file[of].attrs.get(name, []), dtype=object)) if of in file else []
        return [v.decode() if isinstance(v, bytes) else str(v) for v in found]

    def __len__(self) -> int:
        """The number of samples."""
        with self.open() as file:
            return len(file["state"])

    @property
    def variables(self) -> list[str]:
        """Names of the variables, the columns of `state`."""
        return self._attribute("state", "variables")

    @property
    def units(self) -> list[str]:
        """Units of the variables, "1" where they have none."""
        return self._attribute("state", "units")

    @property
    def state(self) -> np.ndarray:
        """States, (samples, variables), float32; of molecules positions in nm, x0 y0 z0 x1 …"""
        return self._read("state")

    @property
    def cv(self) -> np.ndarray:
        """Collective variables, (samples, number of them), in their units (angles in rad)."""
        values = self._read("cv")
        return values.reshape(len(values), -1)

    @property
    def window(self) -> np.ndarray:
        """The window that each sample is of, (samples,), from 0."""
        return np.ravel(self._read("window"))

    @property
    def weight(self) -> np.ndarray:
        """Logarithm of the weight that undoes the bias, (samples,)."""
        return np.ravel(self._read("weight"))

    def to_pandas(self) -> "pandas.DataFrame":
        """A pandas DataFrame, a row a sample: variables, cv_1[, cv_2], window, weight; needs pandas."""
        return _library("pandas").DataFrame(self._columns())

    def to_xarray(self) -> "xarray.Dataset":
        """An xarray Dataset of state (sample, variable), cv (sample, cv), window and weight (sample)."""
        state, cv = self.state, self.cv
        names = self.variables or [f"x{i + 1}" for i in range(state.shape[1])]
        return _library("xarray").Dataset(
            {"state": (("sample", "variable"), state), "cv": (("sample", "cv_number"), cv),
             "window": ("sample", self.window), "weight": ("sample", self.weight)},
            coords={"variable": names, "cv_number": np.arange(1, cv.shape[1] + 1)})

    def _columns(self) -> dict[str, np.ndarray]:
        state, cv = self.state, self.cv
        names = self.variables or [f"x{i + 1}" for i in range(state.shape[1])]
        return {**dict(zip(names, state.T)), **{f"cv_{k + 1}": column for k, column in enumerate(cv.T)},
                "window": self.window, "weight": self.weight}

    def __repr__(self) -> str:
        """How many samples lie where."""
        return f"<Samples: {len(self)} in {self._file}>"


class Results:
    """The results in the directory of a run. A file that is not there raises an InputError."""

    def __init__(self, folder: Path) -> None:
        """Takes the directory of a run; files are read where they are asked for."""
        self._dir = Path(folder)

    @property
    def dir(self) -> Path:
        """The directory of the run."""
        return self._dir

    def _there(self, name: str, made_by: str) -> Path:
        file = self._dir / name
        if not file.is_file():
            raise InputError(f"{file}: there is none; run a configuration with {made_by}")
        return file

    def table(self, name: str) -> Table:
        """Any table of the run by the name of its file without .csv: "conditional", "rates", "exact", …"""
        return Table(self._columns(name, "what writes it"))

    def _columns(self, name: str, made_by: str) -> dict[str, np.ndarray]:
        data, file = report_module("data"), self._there(f"{name}.csv", made_by)
        try:
            columns = data.read_table(file, [])
        except data.Broken as problem:
            raise InputError(str(problem)) from None
        columns.pop("cv")
        return columns

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Every figure of the run, metrics.json: stages, windows, generator, warnings, versions."""
        return json.loads(self._there("metrics.json", "any stage").read_text(encoding="utf-8"))

    @cached_property
    def free_energy(self) -> FreeEnergy:
        """The free energy: `.cv`, `.value`, `.error`, each (bins,), in the unit of the potential (kJ/mol of molecules)."""
        columns = self._columns("free_energy", "[estimate]")
        count = sum(key in columns for key in ("cv_1", "cv_2"))
        names = [str(name) for name in self.metrics.get("system", {}).get("cvs", [])]
        unique = len(names) == count == len(set(names))
        return FreeEnergy(columns, names if unique else [f"cv_{k + 1}" for k in range(count)])

    @cached_property
    def conditional(self) -> Table:
        """Averages at each value of the collective variable: `cv_1[, cv_2], variable, mean, mean_se, variance, source`.

        Columns (rows,), a row for each bin, variable and source: "physics" (reweighted samples), "generator" or
        "healed". Means are in the unit of the variable, variances in its square.
        """
        return Table(self._columns("conditional", "[estimate]"))

    @cached_property
    def closure(self) -> Table:
        """The reduced model dξ = drift dt + sqrt(2 diffusion) dW: `cv_1, drift, drift_se, diffusion, diffusion_se, source`.

        Columns (rows,); `source` is "conditional" or "burst". Units are those of ξ and of time (ps of molecules).
        """
        return Table(self._columns("closure", "[closure]"))

    @property
    def samples(self) -> Samples:
        """The stored samples: `.state`, `.cv`, `.window`, `.weight`."""
        return Samples(self._there("samples.h5", "[umbrella] or [bias]"))

    @property
    def report(self) -> Path:
        """The path of report.html, one page with every picture, which is written now if it is not there."""
        page = self._dir / "report.html"
        return page if page.is_file() else write_page(self._dir)

    @cached_property
    def plot(self) -> Plots:
        """Pictures as matplotlib figures: `run.plot.free_energy()`."""
        return Plots(self._dir)
