"""Runs what is asked for: a server and a worker for the peers, another server for ours, rows as they come."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.environments import ROOT, SetupError
from benchmarks.optimizers import code
from benchmarks.optimizers.baselines import BASELINES
from benchmarks.optimizers.rows import Row, append

SPARE = 1.25
"""A peer's natural run may take so many times the budget before the server refuses: it cannot be told to stop."""
LANES = 2
"""Workers for ours at once."""


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
        return code.of_baselines() if self.strategy in BASELINES else code.of_ours()


@contextmanager
def served() -> Generator[str]:
    """A model server in a process of its own; its address."""
    with TemporaryDirectory(prefix="dspex-bench") as folder:
        file = Path(folder) / "port"
        argv = [sys.executable, "-m", "benchmarks.optimizers.server", "--port-file", str(file)]
        process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE)
        try:
            while not file.exists():
                if process.poll() is not None:
                    raise SetupError(f"the model server ended with {process.returncode} before it served")
                time.sleep(0.02)
            yield f"http://127.0.0.1:{file.read_text(encoding='ascii')}"
        finally:
            process.communicate()


def perform(jobs: Sequence[Job], python: Path | None, rows: Path, say: Callable[[str], None]) -> None:
    """All jobs, a lane for the peers (`python` is of their environment) and two for ours; each row is appended as soon
    as it is there. What fails of ours is said and leaves no row."""
    theirs, mine = [job for job in jobs if job.theirs], [job for job in jobs if not job.theirs]
    desk = _Desk(rows, say)
    lanes = [_Lane(desk, sys.executable, "benchmarks.optimizers.worker", mine) for _ in range(LANES if mine else 0)]
    if theirs and python is not None:
        lanes.append(_Lane(desk, str(python), "benchmarks.optimizers.dspy_worker", theirs))
    threads = [threading.Thread(target=lane.run, name=lane.module) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failure := next((lane.failure for lane in lanes if lane.failure is not None), None):
        raise failure


class _Desk:
    """Hands jobs out and keeps rows; shared by the lanes."""

    def __init__(self, rows: Path, say: Callable[[str], None]) -> None:
        self._rows, self._say, self._lock = rows, say, threading.Lock()
        self._taken: set[Job] = set()
        self._absent: set[tuple[str, str]] = set()

    def next(self, jobs: Sequence[Job]) -> Job | None:
        """One that nobody has taken."""
        with self._lock:
            for job in jobs:
                if job not in self._taken and (job.family, job.strategy) not in self._absent:
                    self._taken.add(job)
                    return job
        return None

    def keep(self, job: Job, data: dict[str, Any]) -> None:
        """A worker's line."""
        with self._lock:
            if "failed" in data:
                if data["absent"]:
                    self._absent.add((job.family, job.strategy))
                self._say(f"{job.family} {job.seed} {job.strategy} left out: {data['failed']}")
                return
            data["trajectory"] = tuple((calls, score) for calls, score in data["trajectory"])
            row = replace(Row(**data), code=job.code)
            append(self._rows, row)
            self._say(f"{row.family} {row.seed} {row.strategy}: {row.gain:.0%} of the gain, {row.calls} calls")


@dataclass(slots=True)
class _Lane:
    """A server and a worker, one job after the other."""

    desk: _Desk
    python: str
    module: str
    jobs: Sequence[Job]
    failure: Exception | None = None

    def run(self) -> None:
        """All that is left of the jobs; what goes wrong is kept for whoever joins."""
        try:
            with served() as server, TemporaryDirectory(prefix="dspex-bench") as folder:
                self._work(server, Path(folder) / "stderr")
        except Exception as error:
            self.failure = error

    def _work(self, server: str, noise: Path) -> None:
        with noise.open("w", encoding="utf-8") as errors:
            pipe = subprocess.PIPE
            argv = [self.python, "-m", self.module, server]
            # One thread for linear algebra: the lanes share the cores, and more threads only wait for one another.
            env = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
            process = subprocess.Popen(argv, cwd=ROOT, env=env, stdin=pipe, stdout=pipe, stderr=errors, text=True)
            assert process.stdin is not None
            assert process.stdout is not None
            while (job := self.desk.next(self.jobs)) is not None:
                process.stdin.write(json.dumps(_described(job)) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
                if not line:
                    break
                self.desk.keep(job, json.loads(line))
            process.stdin.close()
            ended = process.wait()
        if ended:
            said = noise.read_text(encoding="utf-8")[-1500:]
            raise SetupError(f"{self.module} ended with {ended}: {said}")


def _described(job: Job) -> dict[str, object]:
    limit = int(job.budget * SPARE)
    return {"family": job.family, "seed": job.seed, "strategy": job.strategy, "budget": job.budget, "limit": limit}
