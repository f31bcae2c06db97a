"""The forms of a report by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from dspex.errors import UnknownNameError
from dspex.optimization.reports.contents import Block, contents
from dspex.optimization.reports.html import as_html
from dspex.optimization.reports.markdown import as_markdown
from dspex.optimization.reports.text import as_text

FORMS: Mapping[str, Callable[[Iterable[Block]], str]] = {"text": as_text, "markdown": as_markdown, "html": as_html}


def reported(data: Mapping[str, Any], form: str = "text", importance: Sequence[tuple[str, float]] | str = "") -> str:
    """A result as data in one of FORMS. Raises UnknownNameError. See `contents` for `importance`."""
    if form not in FORMS:
        raise UnknownNameError("form of a report", form, FORMS)
    return FORMS[form](contents(data, importance))
