"""`dspex config`: every setting, its value and where it came from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dspex.cli.description import value
from dspex.cli.options import Json
from dspex.cli.output import columns, emit, say
from dspex.cli.project import Project
from dspex.configuration.settings import FILE_NAME, Resolved, find_file
from dspex.kernel.canonical import is_mapping

_PASSWORD = re.compile(r"(://[^/:@]*):[^/]*@")
"""The password of a URL, with what is before it."""


def config(json: Json = False) -> None:
    """Show every setting, its value and where it came from: the environment, dspex.toml or the defaults."""
    resolved = Project.here().resolved
    path = find_file()
    rows = settings_rows(resolved)
    if json:
        emit({
            "file": None if path is None else str(path),
            "settings": {name: {"value": item, "from": origin} for name, item, origin in rows},
        })  # fmt: skip
        return
    say(f"file: {path or f'none ({FILE_NAME} is searched from {Path.cwd()} upward)'}")
    say(columns([("setting", "value", "from"), *((name, value(item), origin) for name, item, origin in rows)]))
    say("\nAn argument beats the environment (DSPEX_MODEL and so on), which beats the file, which beats the default.")


def settings_rows(resolved: Resolved) -> list[tuple[str, Any, str]]:
    """(dotted name, value, origin) of every setting, tables opened; empty tables are one row."""
    rows: list[tuple[str, Any, str]] = []
    for name, item in resolved.settings.model_dump(mode="json").items():
        origin = resolved.origins[name]
        if name == "store" and item is not None:
            item = _PASSWORD.sub(r"\1:***@", item)
        rows.extend((key, found, "default" if found is None else origin) for key, found in _opened(name, item))
    return rows


def _opened(name: str, item: Any) -> list[tuple[str, Any]]:
    if not is_mapping(item) or not item:
        return [(name, item)]
    return [pair for key, inner in item.items() for pair in _opened(f"{name}.{key}", inner)]
