"""A molecule: its picture, maps of its torsions beside the collective variable from samples, generator and
healed states, and what a chemist asks of generated states."""
import h5py
import numpy as np

from data import dig
from draw import figure, of_pi
from markup import html_table
from palette import COLOUR, MUTED
from words import capital, fmt, number, percent, plain

ELEMENT = {"H": "#c9ccd1", "C": "#4a4f57", "N": "#3060d0", "O": "#d03a30", "S": "#c9a227", "P": "#e07b00"}
CELLS = 60  # of a map, along each angle
MAPS = (("generator", "generator"), ("healed", "healed"))


def read_pdb(path):
    """Names, elements, places (atom, 3) in angstrom and bonds of atoms counted from 0."""
    names, elements, places, bonds, serial = [], [], [], set(), {}
    for line in path.read_text().splitlines():
        if line.startswith(("ATOM", "HETATM")):
            serial[line[6:11].strip()] = len(names)
            names.append(line[12:16].strip())
            elements.append(line[76:78].strip().capitalize() or names[-1][:1])
            places.append([float(line[at:at + 8]) for at in (30, 38, 46)])
        elif line.startswith("CONECT"):
            ends = [serial.get(line[at:at + 5].strip()) for at in range(6, len(line), 5)]
            bonds |= {tuple(sorted((ends[0], end))) for end in ends[1:] if None not in (end, ends[0])}
    return names, elements, np.array(places), sorted(bonds)


def wanted(run):
    return (run.folder / "reference.pdb").exists()


def picture(run):
    """Balls and sticks, seen along the axis in which the molecule is thinnest."""
    names, elements, places, bonds = read_pdb(run.folder / "reference.pdb")
    along = np.linalg.svd(places - places.mean(axis=0), full_matrices=False)[2]
    x, y, depth = ((places - places.mean(axis=0)) @ along.T).T
    chosen = {a for entry in run.config.get("cv", {}).get("variables") or [] if isinstance(entry, dict)
              for a in entry.get("atoms", [])}

    def panel(axes):
        for a, b in bonds:
            held = a in chosen and b in chosen
            axes.plot(x[[a, b]], y[[a, b]], color=COLOUR["physics"] if held else MUTED,
                      lw=4 if held else 2, zorder=1)
        large = len(names) > 60
        for i in np.argsort(depth):
            light = elements[i] == "H"
            axes.plot(x[i], y[i], "o", ms=(5 if light else 9) * (0.5 if large else 1.4),
                      color=ELEMENT.get(elements[i], "#8a5cc0"), mec="white", mew=0.7, zorder=2)
            if not light and not large:
                axes.annotate(f"{names[i]} {i}", (x[i], y[i]), xytext=(6, 6), fontsize=8,
                              textcoords="offset points")
        axes.set_aspect("equal", adjustable="datalim")
        axes.set(xlabel="", ylabel="", xticks=[], yticks=[])
        axes.set_title(f"{len(names)} atoms" + (", coloured bonds: the collective variable" if chosen else ""))

    return panel


def weights(run, rows):
    """Unbiasing weights of some samples, the mean 1; None where there are none."""
    path = run.folder / "samples.h5"
    if not path.exists():
        return None
    with h5py.File(path, "r") as file:
        if "weight" not in file or not len(rows) or rows.max() >= len(file["weight"]):
            return None
        log = np.ravel(file["weight"][...])[rows]
    weight = np.exp(log - np.nanmax(log))
    return weight / weight.mean()


def read_torsions(run):
    """Names, samples' ξ, torsions and weights, and of lifted states ξ and torsions by source."""
    with h5py.File(run.folder / "torsions.h5", "r") as file:
        names = str(np.ravel(file.attrs["torsions"])[0]
                    if not isinstance(file.attrs["torsions"], str) else file.attrs["torsions"]).split(",")
        rows, physics = np.ravel(file["sample"][...]).astype(int), np.asarray(file["physics"][...], float)
    with h5py.File(run.folder / "samples.h5", "r") as file:
        cv = np.asarray(file["cv"][...], float).reshape(-1, len(run.cv_labels))[rows]
    lifted = {}
    if (run.folder / "lifted_torsions.h5").exists():
        with h5py.File(run.folder / "lifted_torsions.h5", "r") as file:
            for source, _ in MAPS:
                if source in file:
                    lifted[source] = (np.asarray(file["cv"][...], float).reshape(len(run.cv_labels), -1).T,
                                      np.asarray(file[source][...], float))
    return names, cv, physics, weights(run, rows), lifted


def map_panel(run, x, y, weight, title, name):
    def panel(axes):
        edges = (np.linspace(x.min(), x.max(), CELLS + 1), np.linspace(-np.pi, np.pi, CELLS + 1))
        count = np.histogram2d(x, y, bins=edges, weights=weight)[0].T
        with np.errstate(divide="ignore"):
            free = -np.log(count / count.max())
        axes.pcolormesh(*edges, np.where(count > 0, free, np.nan), cmap="viridis_r", vmin=0, vmax=10,
                        rasterized=True)
        axes.set(xlabel=plain(run.cv_labels[0]), ylabel=name, ylim=(-np.pi, np.pi))
        axes.yaxis.set_major_formatter(of_pi)
        axes.set_yticks(np.pi * np.array([-1, -0.5, 0, 0.5, 1]))
        axes.set_title(title)

    return panel


def maps(run):
    if not (run.folder / "torsions.h5").exists() or not (run.folder / "samples.h5").exists():
        return ""
    names, cv, physics, weight, lifted = read_torsions(run)
    # The torsion that varies most.
    k = int(np.argmin(np.abs(np.exp(1j * physics).mean(axis=0))))
    panels = []
    if weight is not None:
        panels.append(map_panel(run, cv[:, 0], physics[:, k], weight, "free energy, samples unbiased", names[k]))
    panels.append(map_panel(run, cv[:, 0], physics[:, k], None, "biased samples", names[k]))
    for source, title in MAPS:
        if source in lifted:
            panels.append(map_panel(run, lifted[source][0][:, 0], lifted[source][1][:, k], None, title, names[k]))
    return figure(panels, f"−ln of the density over {plain(run.cv_labels[0])} and the torsion {names[k]}, in kT, "
                          "from 0 (the most frequent cell) to 10."
                  + (" States of the generator are made at the values that samples have: their maps would be that of "
                     "the biased samples." if lifted else ""))


def laws(run):
    record = dig(run.metrics, "molecule")
    rows = []
    for kind in ("bonds", "angles", "torsions"):
        row = [kind]
        for source in ("generated", "healed"):
            found = dig(record, source, kind)
            row += [fmt(number(found.get("mean_w1_over_sigma"))), fmt(number(found.get("worst_w1_over_sigma")))]
        rows.append(row)
    clashes = ["states closer than any sample"]
    for source in ("generated", "healed"):
        clashes += [percent(number(dig(record, source).get("clashes"))), ""]
    if not record:
        return ""
    return html_table(["distance of laws, W₁/σ", "generated: mean", "worst", "healed: mean", "worst"],
                      rows + [clashes])


def section(run):
    caption = "The molecule as in reference.pdb; numbers count atoms from 0."
    temperature = number(run.stage("sample").get("temperature"))
    if temperature > 0:
        caption += (f" At the end of sampling its velocities have {fmt(temperature, 5)} ± "
                    f"{fmt(number(run.stage('sample').get('temperature_error')), 2)} K.")
    return figure([picture(run)], capital(caption), 2, 340) + maps(run) + laws(run)
