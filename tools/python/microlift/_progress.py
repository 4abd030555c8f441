"""What a long run shows while it goes on."""
from __future__ import annotations

import html
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any, Optional, Union

from . import _core

Listener = Callable[[str, float, float, str], None]
Progress = Union[bool, Listener]
_BAR = 24
_OFTEN, _SELDOM = 0.1, 5.0  # seconds between two pictures, on what draws over and on what does not


def in_notebook() -> bool:
    """Whether a front end shows what is displayed: a kernel of Jupyter's."""
    shell = sys.modules.get("IPython")
    if shell is None:
        return False
    instance = shell.get_ipython()
    return instance is not None and "IPKernelApp" in instance.config


class Shown:
    """Hears what a run tells and shows it: in a notebook as a bar below the cell, on a terminal as a line that is
    drawn over, else as a line every few seconds; or tells a function of the user's."""

    def __init__(self, progress: Progress) -> None:
        self.listener: Optional[Listener] = progress if callable(progress) else None
        self.quiet = not progress or self.listener is not None
        self.notebook = not self.quiet and in_notebook()
        self.terminal = not self.quiet and not self.notebook and sys.stderr.isatty()
        self.summary = ""
        self.stage, self.unit, self.total, self.done, self.first = "", "", 0.0, 0.0, 0.0
        self.begun = self.drawn = 0.0
        self.handle: Any = None

    def __call__(self, event: str, *about: Any) -> None:
        getattr(self, event)(*about)

    def begin(self, stage: str, total: float, unit: str, already: float) -> None:
        self.stage, self.total, self.unit, self.done, self.first = stage, total, unit, already, already
        self.begun = self.drawn = time.monotonic()
        self.handle = None

    def update(self, done: float) -> None:
        self.done = done
        if self.listener:
            self.listener(self.stage, done, self.total, self.unit)
        if not self.quiet and time.monotonic() - self.drawn > (_OFTEN if self.terminal or self.notebook else _SELDOM):
            self.draw(False)

    def end(self) -> None:
        if not self.quiet and self.stage:
            self.draw(True)
        self.stage = ""

    def note(self, text: str) -> None:
        if text.startswith("warning: "):  # of the run's own list, which its summary has, too
            self.warn(text.removeprefix("warning: "))
        elif not self.quiet:
            print(("\r\033[K" if self.terminal else "") + text, file=sys.stderr)

    def warn(self, text: str) -> None:
        warnings.warn(text, stacklevel=4)

    def tell(self, text: str) -> None:
        self.summary = text
        if not self.quiet:
            print(text, end="")

    def figures(self, last: bool) -> str:
        seconds = time.monotonic() - self.begun
        rate = (self.done - self.first) / seconds if seconds > 0 else 0.0
        words = [f"{_core.format_count(rate)} {self.unit}/s"] if rate > 0 else []
        if last:
            words.append(_core.format_seconds(seconds))
        elif rate > 0 and self.total > 0:
            words.append(_core.format_seconds(max(0.0, self.total - self.done) / rate) + " left")
        return "  ".join(words)

    def draw(self, last: bool) -> None:
        self.drawn = time.monotonic()
        share = min(max(self.done / self.total, 0.0), 1.0) if self.total > 0 else 0.0
        if self.notebook:
            return self.display(share, last)
        full = round(share * _BAR)
        line = f"{self.stage:<10} [{'#' * full}{'.' * (_BAR - full)}] {int(100 * share):3d}%  {self.figures(last)}"
        if self.terminal:
            print("\r\033[K" + line, end="\n" if last else "", file=sys.stderr, flush=True)
        else:
            print(f"{self.stage}: " + ("done" if last else f"{int(100 * share)}%") + f"  {self.figures(last)}",
                  file=sys.stderr)

    def display(self, share: float, last: bool) -> None:
        from IPython.display import HTML, display
        bar = HTML(f"<code>{html.escape(self.stage):<10}</code> <progress value='{share:.4f}'></progress> "
                   f"{int(100 * share)}% <small>{html.escape(self.figures(last))}</small>")
        if self.handle is None:
            self.handle = display(bar, display_id=True)
        else:
            self.handle.update(bar)
