"""Numbers and lists as words for a reader."""
import html
import math

import numpy as np

esc = html.escape


def number(value, otherwise=math.nan):
    """A float from JSON or TOML; `otherwise` for anything that is none."""
    plain_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if plain_number else otherwise


def plain(text):
    """Text for matplotlib that must not be read as mathematics."""
    return str(text).replace("$", r"\$")


def shortened(text, most):
    return text if len(text) <= most else text[:most - 1] + "…"


def superscript(exponent):
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def fmt(value, digits=3, strip=True):
    """A number for a reader: 12 345, 0.0123, 1.2 × 10⁸."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    value = float(value) if isinstance(value, np.number) else number(value)
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}".replace(",", "\u202f").replace("-", "−")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    exponent = int(exponent)
    if not -4 < exponent < 6:
        return f"{mantissa}\u00a0×\u00a010{superscript(exponent)}".replace("-", "−")
    text = f"{value:,.{max(0, digits - 1 - exponent)}f}".replace(",", "\u202f")
    return (text.rstrip("0").rstrip(".") if strip and "." in text else text).replace("-", "−")


def with_error(value, error):
    """12.31 ± 0.04: two digits of the error, and as many decimals of the value."""
    value, error = number(value), number(error)
    if not math.isfinite(value):
        return "–"
    if error == math.inf:
        return f"{fmt(value)}\u00a0±\u00a0∞"
    if not (math.isfinite(error) and error > 0):
        return fmt(value)
    decimals = 1 - math.floor(math.log10(error))
    if decimals > 5 or max(abs(value), error) >= 1e5:
        return f"{fmt(value, 4)}\u00a0±\u00a0{fmt(error, 2)}"
    decimals = max(decimals, 0)
    return f"{value:.{decimals}f}\u00a0±\u00a0{error:.{decimals}f}".replace("-", "−")


def bytes_text(value):
    value, units = number(value), ["B", "kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{fmt(value)}\u00a0{units[0]}" if math.isfinite(value) else "–"


def seconds_text(value):
    value = number(value)
    return f"{fmt(value)}\u00a0s" if not value >= 120 else \
        f"{int(value // 60)} min {int(value % 60)} s"


def percent(value):
    return "–" if not math.isfinite(value) else fmt(100 * value) + " %"


def capital(text):
    return text[:1].upper() + text[1:]


def several(count, noun):
    return f"{fmt(count)} {noun}{'' if count == 1 else 's'}"


def sentence(text):
    return capital(text.rstrip(".")) + "."


def listed(items, limit=6):
    items = list(items)
    items = items[:limit] + [f"{len(items) - limit} more"] if len(items) > limit else items
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def place(value, digits=3):
    """A value of one collective variable or of two, as metrics.json has it."""
    values = [fmt(v, digits) for v in np.ravel(value)]
    return values[0] if len(values) == 1 else "(" + ", ".join(values) + ")"


def cv_text(run, values):
    return ", ".join(f"{s}\u00a0=\u00a0{fmt(v)}" for s, v in zip(run.cv_symbols, np.ravel(values)))
