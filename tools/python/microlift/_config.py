"""A configuration as its readers take it: a file's name, or a dict as TOML."""
from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Optional, Union

import numpy as np

from ._errors import InputError

Config = Union[str, "os.PathLike[str]", Mapping[str, Any]]
NAME = "config"  # of a configuration that stands in no file
_MOST_THREADS = 4096


def _key(key: object) -> str:
    text = str(key)
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else _text(text)


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda c: f"\\u{ord(c[0]):04x}", escaped) + '"'


def value(item: Any, key: str) -> str:
    """One value as TOML; arrays of NumPy are lists."""
    if isinstance(item, np.generic) or isinstance(item, np.ndarray):
        item = item.tolist()
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, int):
        return str(item)
    if isinstance(item, float):
        text = repr(item)
        return text if re.search(r"[.en]", text) else text + ".0"
    if isinstance(item, (str, os.PathLike)):
        return _text(os.fspath(item))
    if isinstance(item, Mapping):
        return "{ " + ", ".join(f"{_key(k)} = {value(v, f'{key}.{k}')}" for k, v in item.items()) + " }"
    if isinstance(item, (list, tuple)):
        return "[" + ", ".join(value(v, key) for v in item) + "]"
    raise InputError(f"{NAME}: key '{key}' is a {type(item).__name__}; give a number, a text, a list or a dict")


def toml(config: Mapping[str, Any]) -> str:
    """A dict of tables as TOML."""
    top = [f"{_key(k)} = {value(v, str(k))}\n" for k, v in config.items() if not isinstance(v, Mapping)]
    tables = [f"[{_key(k)}]\n" + "".join(f"{_key(n)} = {value(v, f'{k}.{n}')}\n" for n, v in table.items())
              for k, table in config.items() if isinstance(table, Mapping)]
    return "".join(top + tables)


def source(config: Config) -> tuple[str, str | None]:
    """(file, None), or (what messages call it, its text)."""
    if isinstance(config, Mapping):
        return NAME, toml(config)
    return os.fspath(config), None


def changes(set: Mapping[str, Any]) -> list[str]:
    """What `--set` would be given."""
    return [f"{key}={value(item, str(key))}" for key, item in set.items()]


def threads_of(threads: Optional[int]) -> int:
    """Threads of the CPU as the core counts them, 0: one for each core."""
    if threads is None:
        return 0
    if isinstance(threads, bool) or not isinstance(threads, (int, np.integer)) or not 0 <= threads <= _MOST_THREADS:
        raise InputError(f"threads is {threads!r}; give 1 to {_MOST_THREADS}, or 0 for one on each core")
    return int(threads)
