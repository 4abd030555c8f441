"""The section on the reduced model."""

from matplotlib.colors import to_rgba

from report_data import column, pick, plain, sentence
from report_draw import COLOUR, MUTED, errors, figure, zoom


def section_closure(run):
    table = run.tables.get("closure")
    if not table or not len(table["cv"]):
        return None
    sources = list(dict.fromkeys(table["source"]))

    def panel_of(name, title):
        def panel(axes):
            for source in sources:
                rows = pick(table, source=source)
                x, y, se = rows["cv_1"], rows[name], column(rows, name + "_se")
                if source == "burst" or len(x) < 30:
                    errors(axes, x, y, se, source)
                else:
                    axes.fill_between(x, y - 2 * se, y + 2 * se, lw=0,
                                      color=to_rgba(COLOUR.get(source, MUTED), 0.22))
                    axes.plot(x, y, color=COLOUR.get(source, MUTED), label=source)
            zoom(axes, table[name], 2 * column(table, name + "_se"),
                 floor=0 if name == "diffusion" else None)
            axes.axhline(0, color="#9aa3ad", lw=0.8)
            axes.set(xlabel=plain(run.cv_labels[0]), ylabel=f"{title}({plain(run.given)})")
        return panel

    words = {"conditional": "averages over the fine variables at a fixed value of it",
             "burst": "short unbiased runs"}
    return "closure", "Closure", figure(
        [panel_of("drift", "drift  b"), panel_of("diffusion", "diffusion  D")],
        "Reduced model dξ = b dt + √(2D) dW of the collective variable alone, with two standard "
        "errors. " + " ".join(sentence(f"{s}: {words.get(s, 'as given')}") for s in sources), 2,
        height=3.2)
