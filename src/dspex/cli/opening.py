"""A runtime for one command, closed when the command is done."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from dspex.blocking import wait
from dspex.configuration.runtimes import build
from dspex.configuration.settings import Resolved
from dspex.kernel.ports import Runtime


@contextmanager
def opened(resolved: Resolved) -> Generator[Runtime]:
    """A runtime by these settings. Raises ConfigurationError without a model."""
    ready = build(resolved)
    try:
        yield ready
    finally:
        wait(ready.lm.aclose())
