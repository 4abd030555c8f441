"""Finds the report's Python code, and draws its sections as figures of matplotlib."""
import importlib
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# In a wheel a folder of the package; in the source tree tools/report itself.
PLACES = (Path(__file__).absolute().parent / "_report", Path(__file__).resolve().parents[2] / "report")


@lru_cache(maxsize=None)
def report_module(name: str) -> Any:
    """A module of tools/report by its name there ("report", "data", "pictures").

    They are scripts that import one another by bare names, which others may use, too: so they are
    imported apart, and no such name stays behind.
    """
    folder = next((place for place in PLACES if (place / "report.py").is_file()), None)
    if folder is None:
        raise InputError(f"{PLACES[0]}: the report's code is not there; install microlift anew")
    names = {path.stem for path in folder.glob("*.py")} | {"sections"}

    def take_away() -> dict:
        return {n: sys.modules.pop(n) for n in list(sys.modules) if n.split(".")[0] in names}

    path, others = sys.path[:], take_away()
    sys.modules.update(_OURS)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        _OURS.update(take_away())
        sys.modules.update(others)
        sys.path[:] = path


_OURS: dict = {}  # modules of the report that were imported before


def write_page(folder: Path) -> Path:
    """Writes `folder`/report.html, one page with every picture of a run, and says where it is."""
    report, pictures = report_module("report"), report_module("pictures")
    page = Path(folder) / "report.html"
    try:
        with pictures.our_style():
            report.write_atomically(page, report.page(report.Run(folder)))
    except report.Broken as problem:
        raise InputError(str(problem)) from None
    return page


class Plots:
    """Pictures of a run, as figures of matplotlib: `run.plot.free_energy()`.

    Each is a section of the report, drawn by the same code. A figure shows itself in a notebook;
    elsewhere `figure.savefig("name.png")` keeps it. Energies are in the unit of the potential
    (kJ/mol of molecules) where an axis does not say kT. `run.plot.available` tells which ones a
    run has; the others raise an InputError.

    Each takes `panel`, the number of one panel (from 0; None: all), and `axes` of your own
    figure, on which that panel, or the first, is drawn.
    """

    def __init__(self, folder: Path) -> None:
        """Pictures of the run in the directory `folder`, whose files are read at the first one."""
        self._folder = Path(folder)
        self._run: Any = None

    def _read(self) -> Any:
        if self._run is None:
            report = report_module("report")
            try:
                self._run = report.Run(self._folder)
            except report.Broken as problem:
                raise InputError(str(problem)) from None
        return self._run

    @property
    def available(self) -> list[str]:
        """Names of the pictures that this run has."""
        run = self._read()
        return [name.replace("-", "_") for name, _, module in report_module("report").SECTIONS
                if name != "figures" and module.wanted(run)]

    def _draw(self, name: str, panel: int | None, axes: "Axes | None") -> "Figure":
        run, pictures = self._read(), report_module("pictures")
        for found, title, module in report_module("report").SECTIONS:
            if found == name:
                break
        if not module.wanted(run):
            raise InputError(f"{self._folder}: the run has nothing of '{title}'; it has "
                             + (", ".join(self.available) or "no pictures"))
        with pictures.our_style():
            panels, columns = pictures.panels_of(run, module.section)
            if panel is not None and not 0 <= panel < len(panels):
                raise InputError(f"panel {panel}: '{title}' has {len(panels)}, counted from 0")
            if axes is not None:
                return pictures.put(axes, panels[panel or 0], columns).figure
            return pictures.picture(panels if panel is None else [panels[panel]], columns)

    def free_energy(self, panel: int | None = None, axes: "Axes | None" = None) -> "Figure":
        """Free energy along the collective variable(s) with its errors, beside the exact one where it is known."""
        return self._draw("free-energy", panel, axes)

    def samples(self, panel: int | None = None, axes: "Axes | None" = None) -> "Figure":
        """Stored samples over the potential, and what each window covers."""
        return self._draw("samples", panel, axes)

    def bias(self, panel: int | None = None, axes: "Axes | None" = None) -> "Figure":
        """The bias that all walkers made, and how it settled."""
        return self._draw("bias", panel, axes)

    def steered(self, panel: int | None = None, axes: "Axes | None" = None) -> "Figure":
        """Distributions of the work of both ways, and the free energy from it."""
        return self._draw("steered", panel, axes)

    def string(self, panel: int | None = None, axes: "Axes | None" = None) -> "Figure":
        """The string, its free energy, and its errors."""
        return self._draw("string", panel, axes)

    def annealing(self, panel: int | None = None, axes: "Axes | None" = None) -> "Figure":
        """The population that came down from a high temperature."""
        return self._draw("annealing", panel, axes)

    def rates(self, panel: int | None = None, axes: "Axes | None" = None) -> "Figure":
        """Times and probabilities of passage between two states."""
        return self._draw("rates", panel, axes)

    def molecule(self, panel: int | None = None, axes: "Axes | None" = None) -> "Figure":
        """Torsions of a molecule's lifted states beside those of physics."""
        return self._draw("molecule", panel, axes)

    def moments(self, panel: int | None = None, axes: "Axes | None" = None) -> "Figure":
        """Averages and variances of the variables at each value of the collective variable."""
        return self._draw("moments", panel, axes)

    def densities(self, panel: int | None = None, axes: "Axes | None" = None) -> "Figure":
        """Densities of the variables at fixed values of the collective variable: physics, generator, healed, exact."""
        return self._draw("densities", panel, axes)

    def consistency(self, panel: int | None = None, axes: "Axes | None" = None) -> "Figure":
        """Where the generator may be used."""
        return self._draw("consistency", panel, axes)

    def classical(self, panel: int | None = None, axes: "Axes | None" = None) -> "Figure":
        """Lifting by geometric harmonics beside the generator."""
        return self._draw("classical", panel, axes)

    def proposals(self, panel: int | None = None, axes: "Axes | None" = None) -> "Figure":
        """How many generated states physics accepts."""
        return self._draw("proposals", panel, axes)

    def healing(self, panel: int | None = None, axes: "Axes | None" = None) -> "Figure":
        """What relaxing generated states changes."""
        return self._draw("healing", panel, axes)

    def training(self, panel: int | None = None, axes: "Axes | None" = None) -> "Figure":
        """Losses and distances while the generator was trained."""
        return self._draw("training", panel, axes)

    def comparison(self, panel: int | None = None, axes: "Axes | None" = None) -> "Figure":
        """Kinds of generators on the same data."""
        return self._draw("comparison", panel, axes)

    def coupling(self, panel: int | None = None, axes: "Axes | None" = None) -> "Figure":
        """Rounds of coupling, and what they buy."""
        return self._draw("coupling", panel, axes)

    def energies(self, panel: int | None = None, axes: "Axes | None" = None) -> "Figure":
        """Energies of lifted states beside those of physics."""
        return self._draw("energies", panel, axes)

    def closure(self, panel: int | None = None, axes: "Axes | None" = None) -> "Figure":
        """Drift and diffusion of the reduced model, with standard errors, and its passages."""
        return self._draw("closure", panel, axes)

    def learned(self, panel: int | None = None, axes: "Axes | None" = None) -> "Figure":
        """Coordinates that a diffusion map learned."""
        return self._draw("learned", panel, axes)
