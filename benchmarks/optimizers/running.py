"""Runs what is asked for: a server and a worker for the peers, another server for ours, rows as they come."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.environments import ROOT, SetupError
from benchmarks.optimizers import baselines, code, ours
from benchmarks.optimizers.rows import Row, append
from dspex import DspexError
from dspex.errors import ConfigurationError

SPARE = 1.25
"""A peer's natural run may take so many times the budget before the server refuses: it cannot be told to stop."""


@dataclass(frozen=True, slots=True)
class Job:
    """One run."""

    family: str
    seed: int
    strategy: str
    budget: int

    @property
    def theirs(self) -> bool:
        """Whether it is a peer's."""
        return self.strategy.startswith("dspy-")

    @property
    def key(self) -> tuple[str, int, str, int]:
        return (self.family, self.seed, self.strategy, self.budget)

    @property
    def code(self) -> str:
        """Digest of the code that the run depends on."""
        if self.theirs:
            return code.of_peers()
        return code.of_baselines() if self.strategy in baselines.BASELINES else code.of_ours()


@contextmanager
def served() -> Generator[str]:
    """A model server in a process of its own; its address."""
    with TemporaryDirectory(prefix="dspex-bench") as folder:
        file = Path(folder) / "port"
        argv = [sys.executable, "-m", "benchmarks.optimizers.server", "--port-file", str(file)]
        process = subprocess.Popen(argv, cwd=ROOT)
        try:
            while not file.exists():
                if process.poll() is not None:
                    raise SetupError(f"the model server ended with {process.returncode} before it served")
                time.sleep(0.02)
            yield f"http://127.0.0.1:{file.read_text(encoding='ascii')}"
        finally:
            process.terminate()
            process.wait()


def perform(jobs: Sequence[Job], python: Path | None, rows: Path, say: Callable[[str], None]) -> None:
    """All jobs; each row is appended as soon as it is there. `python`: of the peers' environment."""
    lock = threading.Lock()

    def keep(job: Job, row: Row) -> None:
        with lock:
            append(rows, replace(row, code=job.code))
        say(f"{row.family} {row.seed} {row.strategy}: {row.gain:.0%} of the gain, {row.calls} calls")

    theirs = [job for job in jobs if job.theirs]
    failures: list[BaseException] = []

    def peers() -> None:
        try:
            if python is not None:
                _peers(theirs, python, keep)
        except BaseException as error:  # raised again where all is joined
            failures.append(error)

    thread = threading.Thread(target=peers, name="peers")
    thread.start()
    try:
        _ours([job for job in jobs if not job.theirs], keep, say)
    finally:
        thread.join()
    if failures:
        raise failures[0]


def _ours(jobs: Sequence[Job], keep: Callable[[Job, Row], None], say: Callable[[str], None]) -> None:
    absent: set[tuple[str, str]] = set()
    if not jobs:
        return
    with served() as server:
        for job in jobs:
            if (job.family, job.strategy) in absent:
                continue
            runner = baselines.run if job.strategy in baselines.BASELINES else ours.run
            try:
                keep(job, runner(server, job.family, job.seed, job.strategy, job.budget))
            except ConfigurationError as error:  # it is not built yet, or does not vary what this family has
                absent.add((job.family, job.strategy))
                say(f"{job.family}, {job.strategy} left out: {error}")
            except DspexError as error:
                say(f"{job.family} {job.seed} {job.strategy} failed: {type(error).__name__}: {error}")


def _peers(jobs: Sequence[Job], python: Path, keep: Callable[[Job, Row], None]) -> None:
    if not jobs:
        return
    with served() as server, TemporaryDirectory(prefix="dspex-bench") as folder:
        argv = [str(python), "-m", "benchmarks.optimizers.dspy_worker", server]
        noise = Path(folder) / "stderr"
        with noise.open("w", encoding="utf-8") as errors:
            pipe = subprocess.PIPE
            process = subprocess.Popen(argv, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=errors, text=True)
            assert process.stdin is not None
            assert process.stdout is not None
            for job in jobs:
                asked = {**_described(job), "limit": int(job.budget * SPARE)}
                process.stdin.write(json.dumps(asked) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
                if not line:
                    break
                data = json.loads(line)
                data["trajectory"] = tuple((calls, score) for calls, score in data["trajectory"])
                keep(job, Row(**data))
            process.stdin.close()
            ended = process.wait()
        if ended:
            raise SetupError(f"the peers' worker ended with {ended}: {noise.read_text(encoding='utf-8')[-1500:]}")


def _described(job: Job) -> dict[str, object]:
    return {"family": job.family, "seed": job.seed, "strategy": job.strategy, "budget": job.budget}
