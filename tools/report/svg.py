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
    """The figure as an <svg> element; identifiers that nothing refers to go, the rest are its own."""
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
    text = re.sub(r"<svg[^>]*>", f'<svg class=plot role=img aria-label="{esc(label)}" {box}>', text, 1)
    return themed(text)


def paint(colour):
    """A colour for a style, with its opacity."""
    red, green, blue, alpha = to_rgba(colour)
    return themed(to_hex((red, green, blue))), alpha


def key_of_line(line):
    colour, alpha = paint(line.get_color())
    alpha *= line.get_alpha() or 1
    result = ""
    if line.get_linestyle() not in ("None", "none", " ", ""):
        dash = DASHES.get(line.get_linestyle())
        result += (f'<path d="M1 6H27" style="stroke:{colour};stroke-width:{line.get_linewidth():.2g}'
                   f';opacity:{alpha:.2g}' + (f";stroke-dasharray:{dash}" if dash else "") + '"/>')
    marker = line.get_marker()
    if marker not in ("None", "none", " ", "", None):
        style = MarkerStyle(marker)
        size = min(line.get_markersize(), 8)
        path = style.get_path().transformed(style.get_transform())
        shape = "".join("M" + "L".join(f"{14 + size * x:.1f} {6 - size * y:.1f}" for x, y in polygon)
                        for polygon in path.to_polygons(closed_only=False))
        face = line.get_markerfacecolor()
        fill = "none" if isinstance(face, str) and face == "none" else paint(face)[0]
        result += (f'<path d="{shape}" style="fill:{fill};stroke:{paint(line.get_markeredgecolor())[0]}'
                   f';stroke-width:{min(line.get_markeredgewidth(), 1.4):.2g}"/>')
    return result


def key_of(handle):
    """What stands for a drawn thing in a legend."""
    if isinstance(handle, ErrorbarContainer):
        handle = handle.lines[0]
    if isinstance(handle, Line2D):
        inner = key_of_line(handle)
    else:
        face = np.atleast_2d(handle.get_facecolor() if hasattr(handle, "get_facecolor")
                             else handle[0].get_facecolor())
        edge = np.atleast_2d(handle.get_edgecolor()) if hasattr(handle, "get_edgecolor") else face
        filled = len(face) and face[0][-1] > 0 and getattr(handle, "get_fill", lambda: True)()
        if not filled and len(edge):
            colour, alpha = paint(edge[0])
            dash = DASHES.get(handle.get_linestyle()) if isinstance(handle.get_linestyle(), str) else None
            inner = (f'<path d="M1 6H27" style="stroke:{colour};stroke-width:1.6;opacity:{alpha:.2g}'
                     + (f";stroke-dasharray:{dash}" if dash else "") + '"/>')
        elif hasattr(handle, "get_offsets"):  # fields that are filled, or points
            points = len(handle.get_offsets()) > 1
            middle = len(face) // 2
            colour, alpha = paint(face[middle])
            inner = (f'<path d="M14 2L19 10H9Z" style="fill:{colour}"/>' if points else
                     f'<rect x="1" y="1" width="26" height="10" style="fill:{colour};opacity:{alpha:.2g}"/>')
        else:
            colour, alpha = paint(face[0])
            inner = f'<rect x="1" y="1" width="26" height="10" style="fill:{colour};opacity:{alpha:.2g}"/>'
    return f'<svg class=key viewBox="0 0 28 12" aria-hidden=true>{inner}</svg>'
