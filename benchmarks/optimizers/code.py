"""Which code a run depends on, as a digest: rows made by other code are not mixed with new ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from benchmarks.environments import PACKAGES, ROOT

_HERE = Path(__file__).parent
_WORLDS = ("words", "reading", "answering", "worlds", "evidence", "proposing", "server", "client")
_OURS = ("ours", "oracle", "programs", "variants", "ablations")


@cache
def of_peers() -> str:
    """The simulator's, the worker's, and the versions of what is compared with."""
    return _digest([*_simulator(), _HERE / "dspy_worker.py"], " ".join(PACKAGES["dspy"]))


@cache
def of_ours() -> str:
    """The simulator's and the library's."""
    return _digest([*_simulator(), *(_HERE / f"{name}.py" for name in _OURS), *(ROOT / "src").rglob("*.py")])


@cache
def of_baselines() -> str:
    """The simulator's and the baselines'."""
    return _digest([*_simulator(), _HERE / "programs.py", _HERE / "baselines.py"])


def _simulator() -> list[Path]:
    return [*(_HERE / f"{name}.py" for name in _WORLDS), *(_HERE / "families").glob("*.py")]


def _digest(files: Iterable[Path], more: str = "") -> str:
    found = hashlib.sha256(more.encode())
    for file in sorted(files):
        found.update(file.relative_to(ROOT).as_posix().encode() + file.read_bytes())
    return found.hexdigest()[:16]
