"""`dspex doctor`: does everything stand where it should? One line a check, and what to do where it does not."""

from __future__ import annotations

import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

import typer

from dspex.blocking import wait
from dspex.cli.exits import PROVIDER, USAGE, message_of
from dspex.cli.metrics import metric_for
from dspex.cli.opening import opened
from dspex.cli.options import Json, Model
from dspex.cli.output import emit, paint, say, shortened, spent
from dspex.cli.project import Project
from dspex.cli.providers import key_state, known_providers
from dspex.clients.providers import find_key, find_provider
from dspex.clients.stack import provider_of
from dspex.configuration.runtimes import OFFLINE_MODEL
from dspex.configuration.settings import FILE_NAME, find_file
from dspex.errors import DspexError
from dspex.evaluation.dataset import Dataset
from dspex.hosting.stores import IN_MEMORY
from dspex.kernel.ports import Completion, Request, Runtime
from dspex.optimization.counting import counted
from dspex.storage.opening import look
from dspex.storage.tables import SCHEMA_VERSION

PACKAGES = ("pydantic", "aiohttp", "json-repair", "typer", "PyYAML", "pyarrow")
State = Literal["ok", "note", "fault"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `code` is the exit code a fault asks for."""

    name: str
    state: State
    said: str
    code: int = 0


def doctor(
    model: Model = None,
    call: Annotated[bool, typer.Option("--call", help="Also make one small real call to the model.")] = False,
    json: Json = False,
) -> None:
    """Check installation, configuration, keys (never shown), the store and where files go; --call asks the model."""
    checks = [*_installation(), *_project(model, call)]
    code = max((item.code for item in checks), default=0)
    if json:
        emit({"ok": code == 0, "checks": [asdict(item) for item in checks]})
    else:
        colours = {"ok": "green", "note": "dim", "fault": "red"}
        for item in checks:  # whole, however long: what to do stands at the end
            say(f"{paint(item.state.ljust(5), colours[item.state])}  {item.name.ljust(11)}  {item.said}")
        say("Everything stands where it should." if code == 0 else "See the faults above.")
    if code:
        raise typer.Exit(code)


def _installation() -> Iterator[Check]:
    release = ".".join(map(str, sys.version_info[:3]))
    supported = (3, 11) <= sys.version_info[:2] < (3, 15)
    said = f"{release} on {platform.system()} {platform.machine()}"
    yield Check("python", "ok", said) if supported else _fault("python", f"{said}: DSPEx needs 3.11 to 3.14")
    yield Check("dspex", "ok", version("dspex"))
    for name in PACKAGES:
        try:
            yield Check(name, "ok", version(name))
        except PackageNotFoundError:
            extra = name == "pyarrow"
            yield (
                Check(name, "note", 'not installed; for Parquet files: pip install "dspex[parquet]"')
                if extra
                else _fault(name, "not installed; install DSPEx again")
            )


def _project(model: str | None, call: bool) -> Iterator[Check]:
    found = find_file()
    yield Check(FILE_NAME, "ok" if found else "note", str(found) if found else f"none from {Path.cwd()} upward")
    try:
        project = Project.here({"model": model})
    except DspexError as error:
        yield _fault("settings", message_of(error))
        return
    yield from _keys(project)
    yield _writable(project.resolved.settings.cache)
    yield _store(project.store)
    yield from _parts(project)
    if call:
        yield _called(project)


def _keys(project: Project) -> Iterator[Check]:
    settings = project.resolved.settings
    set_here = [item.key_env for item in known_providers(settings) if key_state(item) == "set" and item.key_env]
    yield Check("keys", "ok" if set_here else "note", f"set: {', '.join(set_here)}" if set_here else "none is set")
    if settings.model is None:
        yield Check("model", "note", f'none; write model = "..." in {FILE_NAME}; offline: {OFFLINE_MODEL}')
        return
    origin = project.resolved.origins["model"]
    try:
        name = provider_of(settings.model)
        if name != "embedded":
            own = settings.providers.get(name)
            find_key(find_provider(name, own.model_dump(exclude_unset=True) if own else None))
        yield Check("model", "ok", f"{settings.model} (from {origin})")
    except DspexError as error:
        yield _fault("model", f"{settings.model} (from {origin}): {message_of(error)}", PROVIDER)


def _writable(cache: str) -> Check:
    folder = Path.cwd() if cache in ("memory", "none") else Path(cache).expanduser().parent
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Check("writing", "ok", f"{folder}; calls are remembered in {cache}")
    except OSError as error:
        return _fault("writing", f"{folder}: {error.strerror}; choose another folder, or another cache in {FILE_NAME}")


def _store(where: str) -> Check:
    """The project's store, only looked at: it is neither made nor brought up to date."""
    if where == IN_MEMORY:
        return Check("store", "note", f"{IN_MEMORY}: searches keep nothing")
    try:
        found = wait(look(where))
    except DspexError as error:
        return _fault("store", message_of(error))
    if found is None:
        return Check("store", "note", f"none yet at {where}; `dspex optimize` and `dspex programs create` make one")
    said = f"{found.url}: schema {found.schema}, {counted(found.runs, 'run')}"
    if found.schema == SCHEMA_VERSION:
        return Check("store", "ok", said)
    return Check("store", "note", f"{said}; `dspex db upgrade`, or opening it, brings it to schema {SCHEMA_VERSION}")


def _parts(project: Project) -> Iterator[Check]:
    """The program, data and metric that dspex.toml names, each as a command would read it."""
    named = project.resolved.settings.project
    if named.program is not None:
        yield _tried("program", lambda: f"{project.program(None).name}, {project.program_path(None)}")
    if named.data is not None:
        yield _tried("data", lambda: repr(Dataset.load(project.data_path(None))).strip("<>"))
    if named.metric is not None:
        yield _tried("metric", lambda: f"{named.metric}, {metric_for(project, ()) and 'read'}")


def _tried(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, "ok", look())
    except DspexError as error:
        return _fault(name, message_of(error))


def _called(project: Project) -> Check:
    """One small question to the model in force."""
    began = perf_counter()
    try:
        with opened(project.resolved) as runtime:
            answer = wait(_asked(runtime))
    except DspexError as error:
        return _fault("call", message_of(error), PROVIDER)
    use = spent(answer.usage, perf_counter() - began)
    return Check("call", "ok", f"{answer.model or runtime.model} answered {shortened(answer.text, 40)!r}; {use}")


async def _asked(runtime: Runtime) -> Completion:
    question: Any = {"role": "user", "content": "Answer with the word ok."}
    return await runtime.lm.complete(Request(runtime.model, [question], {"max_tokens": 64}))


def _fault(name: str, said: str, code: int = USAGE) -> Check:
    return Check(name, "fault", said, code)
