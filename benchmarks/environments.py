"""The environments a benchmark needs: one for the mock server, one for the peer, one for this checkout."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name

ROOT = Path(__file__).resolve().parent.parent

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "server": ("uvloop", "httptools", "orjson", "aiohttp"),
    # numpy and optuna: two of the peer's optimizers need them and do not bring them.
    "dspy": ("dspy==3.4.1", "gepa==0.1.4", "numpy", "optuna"),
}
"""What is installed by name; the figures go with the versions, so the peer's is pinned."""


class SetupError(Exception):
    """An environment could not be made, or something it needs is absent."""


@dataclass(frozen=True, slots=True)
class Size:
    """What a distribution brings with everything it requires."""

    distributions: int
    megabytes: float
    """Of the installed files, without bytecode."""


_Wish = tuple[NormalizedName, frozenset[str]]
"""A distribution and the extras of it that are asked for."""


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/dspex-bench`, or `.bench` in the checkout where that variable is not set."""
    named = os.environ.get("XDG_CACHE_HOME")
    return Path(named) / "dspex-bench" if named else ROOT / ".bench"


def make_all(folder: Path) -> dict[str, Path]:
    """The Python of each environment, by name; those already there as they should be are left alone."""
    made = {name: _named(folder / name, packages) for name, packages in PACKAGES.items()}
    made["dspex"] = _checkout(folder)
    return made


def peer() -> Path:
    """The Python of the peer's environment, which is made where it is not there."""
    return _named(cache_folder() / "dspy", PACKAGES["dspy"])


def size_of(python: Path, distribution: str) -> Size:
    """What `distribution` and all it requires take in that environment. Raises SetupError when it is not there."""
    site = next((python.parent.parent / "lib").glob("python*/site-packages"))
    there = {canonicalize_name(item.metadata["Name"]): item for item in distributions(path=[str(site)])}
    wanted = canonicalize_name(distribution)
    if wanted not in there:
        raise SetupError(f"{site} has no distribution {distribution!r}; remove the folder and run again")
    seen: set[_Wish] = set()
    waiting: list[_Wish] = [(wanted, frozenset())]
    while waiting:
        name, extras = waiting.pop()
        if name in there and (name, extras) not in seen:
            seen.add((name, extras))
            waiting.extend(_required(there[name], extras))
    names = {name for name, _ in seen}
    return Size(len(names), sum(_bytes(there[name]) for name in names) / 1e6)


def _required(item: Distribution, extras: frozenset[str]) -> Iterator[_Wish]:
    for text in item.requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or {""}):
            yield canonicalize_name(requirement.name), frozenset(requirement.extras)


def _bytes(item: Distribution) -> int:
    paths = [Path(str(file.locate())) for file in item.files or () if file.suffix != ".pyc"]
    return sum(path.stat().st_size for path in paths if path.is_file())


def _named(folder: Path, packages: tuple[str, ...]) -> Path:
    python = folder / "bin" / "python"
    if not _fresh(folder, packages):
        _say(f"making {folder} ({', '.join(packages)})")
        _venv(folder)
        _install(python, *packages)
        _stamp(folder, packages)
    return python


def _checkout(folder: Path) -> Path:
    """The checkout as a user gets it: built to a wheel, with the locked versions of what it requires."""
    home = folder / "dspex"
    python = home / "bin" / "python"
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    # Without hashes and continuation lines: a constraint, so that only what the wheel requires is installed.
    pins = "".join(line.removesuffix("\\").rstrip() + "\n" for line in lock.splitlines() if line[:1].isalnum())
    digest = hashlib.sha256(pins.encode()).hexdigest()
    if not _fresh(home, (digest,)):
        _say(f"making {home} (this checkout, locked)")
        _venv(home)
        _stamp(home, (digest,))
    constraints = folder / "constraints.txt"
    constraints.write_text(pins, encoding="utf-8")
    wheels = folder / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)], cwd=ROOT)
    wheel = next(wheels.glob("dspex-*.whl"))
    _install(python, "-c", str(constraints), str(wheel))
    # The same version from another commit: the requirement is met already, so the code must be laid anew.
    _install(python, "--no-deps", *_AGAIN[_uv() is not None], str(wheel))
    return python


_AGAIN = {True: ("--reinstall-package", "dspex"), False: ("--force-reinstall",)}


def _venv(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    uv = _uv()
    if uv is not None:
        _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
    else:
        _run([sys.executable, "-m", "venv", str(folder)])


def _install(python: Path, *arguments: str) -> None:
    uv = _uv()
    if uv is not None:
        _run([uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python), *arguments])
    else:
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "-qq"]
        _run([*pip, *arguments])


def _uv() -> str | None:
    return shutil.which("uv")


def _fresh(folder: Path, content: tuple[str, ...]) -> bool:
    stamp = folder / "stamp.json"
    return stamp.is_file() and json.loads(stamp.read_text(encoding="utf-8")) == [sys.version, *content]


def _stamp(folder: Path, content: tuple[str, ...]) -> None:
    (folder / "stamp.json").write_text(json.dumps([sys.version, *content]), encoding="utf-8")


def _run(argv: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SetupError(f"{' '.join(argv)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-2000:]}")


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)
