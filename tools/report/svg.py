"""Figures and legend keys as inline SVG that takes colours and fonts from the page."""
import io
import re

import numpy as np
from matplotlib.colors import to_hex, to_rgba
from matplotlib.container import ErrorbarContainer
from matplotlib.lines import Line2D
from matplotlib.markers import MarkerStyle

from palette import LIGHT
from words import esc

VARIABLE = {colour: f"var(--{name})" for name, colour in reversed(LIGHT.items())}
DASHES = {"--": "5 3", ":": "1.5 2.5", "-.": "5 2 1.5 2"}


def themed(text):
    """The palette's colours by their names in the page."""
    return re.sub(r"#[0-9a-f]{6}\b", lambda found: VARIABLE.get(found[0], found[0]), text)


def inline(drawing, prefix, label):
    """The figure as an <svg> element; identifiers that nothing refers to go, the rest are its
    own."""
    buffer = io.StringIO()
    drawing.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg"):]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.S)
    text = re.sub(r"base64,[^\"]*", lambda image: re.sub(r"\s", "", image[0]), text)
    text = re.sub(r"\s*\n\s*", " ", text).replace("> <", "><").replace("xlink:href", "href")
    used = set(re.findall(r'(?:href="#|url\(#)([\w.-]+)', text))
    text = re.sub(r' id="([\w.-]+)"', lambda found: f' id="{prefix}{found[1]}"'
                  if found[1] in used else "", text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    text = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag[0]), text)
    text = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", text)
    text = text.replace("<defs></defs>", "").replace("<g></g>", "")
    box = re.search(r'viewBox="[^"]*"', text)[0]
    head = f'<svg class=plot role=img aria-label="{esc(label)}" {box}>'
    text = re.sub(r"<svg[^>]*>", lambda _: head, text, count=1)  # a label may hold backslashes
    return themed(text)


def paint(colour):
    """A colour for a style, with its opacity."""
    red, green, blue, alpha = to_rgba(colour)
    return themed(to_hex((red, green, blue))), alpha


def stroke(colour, alpha, width, dash):
    """A piece of line in a legend."""
    style = f"stroke:{colour};stroke-width:{width:.2g};opacity:{alpha:.2g}"
    return f'<path d="M1 6H27" style="{style}{f";stroke-dasharray:{dash}" if dash else ""}"/>'


def field(colour, alpha):
    style = f"fill:{colour};opacity:{alpha:.2g}"
    return f'<rect x="1" y="1" width="26" height="10" style="{style}"/>'


def dash_of(handle):
    style = handle.get_linestyle()
    return DASHES.get(style) if isinstance(style, str) else None


def key_of_line(line):
    colour, alpha = paint(line.get_color())
    result = ""
    if line.get_linestyle() not in ("None", "none", " ", ""):
        result = stroke(colour, alpha * (line.get_alpha() or 1), line.get_linewidth(),
                        dash_of(line))
    marker = line.get_marker()
    if marker not in ("None", "none", " ", "", None):
        style = MarkerStyle(marker)
        size = min(line.get_markersize(), 8)
        path = style.get_path().transformed(style.get_transform())
        shape = "".join("M" + "L".join(f"{14 + size * x:.1f} {6 - size * y:.1f}" for x,
                                       y in polygon)
                        for polygon in path.to_polygons(closed_only=False))
        face = line.get_markerfacecolor()
        fill = "none" if isinstance(face, str) and face == "none" else paint(face)[0]
        edge, width = paint(line.get_markeredgecolor())[0], min(line.get_markeredgewidth(), 1.4)
        result += f'<path d="{shape}" style="fill:{fill};stroke:{edge};stroke-width:{width:.2g}"/>'
    return result


def key_of_patch(handle):
    """Of a filled field, a staircase or a cloud of points."""
    if not hasattr(handle, "get_facecolor"):  # bars
        handle = handle[0]
    face, edge = (np.atleast_2d(c) for c in (handle.get_facecolor(), handle.get_edgecolor()))
    filled = len(face) and face[0][-1] > 0 and getattr(handle, "get_fill", lambda: True)()
    if not filled and len(edge):
        return stroke(*paint(edge[0]), 1.6, dash_of(handle))
    colour, alpha = paint(face[len(face) // 2])
    if hasattr(handle, "get_offsets") and len(handle.get_offsets()) > 1:
        return f'<path d="M14 2L19 10H9Z" style="fill:{colour}"/>'
    return field(colour, alpha)


def key_of(handle):
    """What stands for a drawn thing in a legend."""
    if isinstance(handle, ErrorbarContainer):
        handle = handle.lines[0]
    inner = key_of_line(handle) if isinstance(handle, Line2D) else key_of_patch(handle)
    return f'<svg class=key viewBox="0 0 28 12" aria-hidden=true>{inner}</svg>'
