"""The peer's worker, in the peer's environment: DSPy's own optimizers on the same worlds, one run a line of input.

    python -m benchmarks.optimizers.dspy_worker SERVER < jobs.jsonl > rows.jsonl

A job is {"family", "seed", "strategy", "budget", "limit"}. Settings are DSPy's defaults, but for the sizes, which are
chosen so that a run takes about the budget (see `COMPILERS`), the number of demonstrations (as in our programs), and
`max_errors`, lifted so that a remark of the server never ends a run. DSPy's memory of calls is on within a run, as by
default, and empty at its start: rollouts that DSPy tells apart are distinct requests, equal ones are asked once.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from benchmarks.optimizers.client import SessionClient
from benchmarks.optimizers.families import world as world_of
from benchmarks.optimizers.worlds import Stage, World

os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-memory-"))
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

dspy: Any = __import__("dspy")
optuna: Any = __import__("optuna")

DEMOS = 8
THREADS = 4


class Pipeline(dspy.Module):  # type: ignore[misc] # the peer has no types
    """The world's stages, one after the other."""

    def __init__(self, world: World) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType] - as above
        self.names = [item.name for item in world.stages]
        self.wanted = [item.inputs for item in world.stages]
        for item in world.stages:
            setattr(self, item.name, dspy.Predict(_signature(item)))

    def forward(self, ticket: str) -> Any:
        """Every stage with what came before it."""
        known: dict[str, Any] = {"ticket": ticket}
        for name, inputs in zip(self.names, self.wanted, strict=True):
            known.update(getattr(self, name)(**{key: known[key] for key in inputs}).toDict())
        known.pop("ticket")
        return dspy.Prediction(**known)


def _signature(stage: Stage) -> Any:
    answers = ", ".join(repr(item) for item in stage.answers)
    text = f"{', '.join(f'{name}: str' for name in stage.inputs)} -> {stage.output}: Literal[{answers}]"
    return dspy.Signature(text, stage.instructions)


class Bench:
    """One run: data, metrics, the model, and a diary of what was the best when."""

    def __init__(self, world: World, session: SessionClient) -> None:
        self.world, self.session = world, session
        self.model = f"openai/{next(iter(world.models))}"
        self.lm = self.connected(session.models)
        final = world.stages[-1].output
        self.train, self.val = (
            [
                dspy.Example(**{"ticket": item.text, final: item.label[final]}).with_inputs("ticket")
                for item in world.splits[split]
            ]
            for split in ("train", "val")
        )
        self.final = final
        self.diary: list[tuple[int, Any]] = []
        """(calls so far, program) at each new best on all of val."""
        self._best = -1.0

    def connected(self, base: str, *, remembers: bool = True) -> Any:
        """The model at this address."""
        return dspy.LM(self.model, api_base=base, api_key="none", cache=remembers, num_retries=0)

    def right(self, gold: Any, given: Any, trace: Any = None) -> float:
        """The metric as a number."""
        return float(getattr(given, self.final, None) == gold[self.final])

    def remarked(self, gold: Any, given: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
        """The metric with the world's remark."""
        score = self.right(gold, given)
        case = self.world.cases[gold["ticket"][5:12]]
        outputs = {item.output: getattr(given, item.output, None) for item in self.world.stages}
        said = "Right." if score else self.world.feedback(case, outputs)
        return dspy.Prediction(score=score, feedback=said)

    def watch(self) -> Callable[[], None]:
        """Note every whole evaluation on val that is the best so far; returns what undoes it."""
        kind = dspy.Evaluate
        original = kind.__call__

        def evaluating(evaluator: Any, program: Any, *args: Any, **more: Any) -> Any:
            found = original(evaluator, program, *args, **more)
            rows = more.get("devset") or evaluator.devset
            score = float(getattr(found, "score", found))
            if len(rows) == len(self.val) and score > self._best:
                self._best = score
                self.diary.append((self.session.counts()["calls"], program.deepcopy()))
            return found

        kind.__call__ = evaluating

        def undo() -> None:
            kind.__call__ = original

        return undo

    def score(self, program: Any) -> float:
        """The true score of a program."""
        copy = program.deepcopy()
        copy.set_lm(self.connected(self.session.oracle, remembers=False))
        copy(ticket=self.world.splits["test"][0].text)
        return self.session.score()


def _mipro(bench: Bench, program: Any, budget: int, seed: int) -> Any:
    """Its medium setting for one stage; with more, as many trials as fit, since its settings would take twice that."""
    stages = len(bench.world.stages)
    sizes: dict[str, Any] = {"auto": "medium" if budget >= 1000 else "light"}
    more: dict[str, Any] = {}
    if stages > 1:
        sizes = {"auto": None, "num_candidates": 6}
        more = {"num_trials": max(2, int(0.75 * budget / stages - len(bench.val)) // 50)}
    compiler = dspy.MIPROv2(
        metric=bench.right, num_threads=THREADS, seed=seed + 1, max_bootstrapped_demos=4, max_labeled_demos=DEMOS,
        max_errors=10**6, **sizes,
    )  # fmt: skip
    return compiler.compile(program, trainset=bench.train, valset=bench.val, **more)


def _simba(bench: Bench, program: Any, budget: int, seed: int) -> Any:
    """Four candidates on batches of 16, 144 runs and some rules a step, so that its eight steps fit.

    With its default of six there is room for four or five steps, and it found less on the development families.
    """
    each = len(bench.world.stages)
    steps = max(1, (budget - 5 * each * len(bench.train)) // (each * 144 + 4))
    compiler = dspy.SIMBA(
        metric=bench.remarked, bsize=16, num_candidates=4, max_steps=steps, max_demos=DEMOS, num_threads=THREADS,
    )  # fmt: skip
    return compiler.compile(program, trainset=bench.train, seed=seed)


def _gepa(bench: Bench, program: Any, budget: int, seed: int) -> Any:
    """Stopped by its own means when the calls are spent, but for half of a whole evaluation, which may come yet."""
    enough = budget - len(bench.val) * len(bench.world.stages) // 2

    def spent(state: Any) -> bool:
        return bool(bench.session.counts()["calls"] >= enough)

    compiler = dspy.GEPA(
        metric=bench.remarked, max_metric_calls=3 * budget, reflection_lm=bench.lm.copy(temperature=1.0),
        num_threads=THREADS, track_stats=True, seed=seed, gepa_kwargs={"stop_callbacks": spent},
    )  # fmt: skip
    found = compiler.compile(program, trainset=bench.train, valset=bench.val)
    stats = found.detailed_results
    used = bench.session.counts()["calls"]
    scale = used / max(1, stats.total_metric_calls or used)
    best = -1.0
    order = sorted(range(len(stats.candidates)), key=lambda place: stats.discovery_eval_counts[place])
    for place in order:
        if stats.val_aggregate_scores[place] > best:
            best = stats.val_aggregate_scores[place]
            bench.diary.append((int(stats.discovery_eval_counts[place] * scale), stats.candidates[place]))
    return found


def _bootstrap(bench: Bench, program: Any, budget: int, seed: int) -> Any:
    """As many candidates as whole evaluations of val fit, besides three of its own and the bootstrapping."""
    each = len(bench.world.stages) * (len(bench.val) + 8)
    compiler = dspy.BootstrapFewShotWithRandomSearch(
        metric=bench.right, max_bootstrapped_demos=4, max_labeled_demos=DEMOS, num_threads=THREADS,
        num_candidate_programs=max(1, budget // each - 3), max_errors=10**6,
    )  # fmt: skip
    return compiler.compile(program, trainset=bench.train, valset=bench.val)


COMPILERS: Mapping[str, Callable[[Bench, Any, int, int], Any]] = {
    "dspy-mipro": _mipro, "dspy-simba": _simba, "dspy-gepa": _gepa, "dspy-bootstrap": _bootstrap,
}  # fmt: skip


def perform(server: str, job: Mapping[str, Any]) -> dict[str, Any]:
    """One job's row."""
    world = world_of(job["family"], job["seed"])
    bench = Bench(world, SessionClient.opened(server, world.family, world.seed, job["limit"]))
    dspy.configure(lm=bench.lm, callbacks=[])
    dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
    dspy.cache.reset_memory_cache()
    program = Pipeline(world)
    began = time.perf_counter()
    undo = bench.watch() if job["strategy"] != "dspy-gepa" else (lambda: None)
    error = ""
    try:
        found = COMPILERS[job["strategy"]](bench, program.deepcopy(), job["budget"], job["seed"])
    except Exception as raised:  # a run that the peer loses is a result: what it held to be the best is kept
        error = f"{type(raised).__name__}: {raised}"[:300]
        found = bench.diary[-1][1] if bench.diary else program
    finally:
        undo()
    seconds = time.perf_counter() - began
    counts = bench.session.counts()
    final = bench.score(found)
    trajectory = [(calls, bench.score(held)) for calls, held in bench.diary]
    return {
        "family": world.family, "seed": world.seed, "strategy": job["strategy"], "budget": job["budget"],
        "calls": counts["calls"], "proposals": counts["proposals"], "seed_score": bench.score(program),
        "final_score": final, "best_score": world.best(), "trajectory": [*trajectory, (counts["calls"], final)],
        "seconds": seconds, "usd": counts["usd"], "refused": counts["refused"], "error": error,
    }  # fmt: skip


def main(server: str, jobs: TextIO, out: TextIO) -> None:
    """Every job in turn; what DSPy prints goes to stderr."""
    logging.disable(logging.WARNING)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for line in jobs:
        out.write(json.dumps(perform(server, json.loads(line))) + "\n")
        out.flush()


if __name__ == "__main__":
    rows_out, sys.stdout = sys.stdout, sys.stderr
    main(sys.argv[1], sys.stdin, rows_out)
