"""Writes values in the form that a request asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping

from benchmarks.optimizers.reading import Form


def written(form: Form, values: Mapping[str, object]) -> str:
    """The answer's text."""
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in values.items()}
    if form == "marked":
        parts = [f"[[ ## {name} ## ]]\n{text}" for name, text in texts.items()]
        return "\n\n".join([*parts, "[[ ## completed ## ]]"])
    if form == "sections":
        return "\n\n".join([*(f"[[{name}]]\n{text}" for name, text in texts.items()), "[[end]]"])
    if form == "json":
        return json.dumps(dict(values))
    if form in ("xml", "tags"):
        return "\n".join(f"<{name}>{text}</{name}>" for name, text in texts.items())
    return "\n\n".join(texts.values())
