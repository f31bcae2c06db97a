"""`dspex optimize`: search for a better configuration within a budget; nothing is overwritten, nothing paid in vain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from dspex.blocking import wait
from dspex.cli.carrying import carried
from dspex.cli.data import examples
from dspex.cli.metrics import metric_for
from dspex.cli.opening import opened
from dspex.cli.options import (
    Calls,
    Concurrency,
    HardTimeout,
    Isolated,
    Json,
    Judge,
    JudgeModel,
    JudgeTokens,
    MemoryMb,
    Metric,
    Model,
    Program,
    Seconds,
    Seed,
    Store,
    Tokens,
    Usd,
)
from dspex.cli.output import emit, limits, marked, note, say
from dspex.cli.project import Project
from dspex.cli.saving import refuse_existing, save_beside
from dspex.cli.telling import tell_promotion
from dspex.clients.budget import Budget
from dspex.configuration.files import save
from dspex.configuration.settings import Settings
from dspex.errors import ConfigurationError
from dspex.evaluation.dataset import Dataset
from dspex.evaluation.judge import JUDGE_TOKENS
from dspex.evaluation.scoring import as_metric
from dspex.hosting import preparing
from dspex.hosting.isolation import Isolation, isolation_of
from dspex.kernel.program import Program as ProgramData
from dspex.optimization.counting import counted
from dspex.optimization.options import SearchOptions
from dspex.optimization.progress import ProgressLine
from dspex.optimization.result import OptimizationResult
from dspex.optimization.runner import DEFAULT_BUDGET
from dspex.optimization.schedules.table import SCHEDULES
from dspex.optimization.strategies.table import CLASSIC, STRATEGIES

SHARES = (0.4, 0.35, 0.25)
"""Of one data file: what proposals learn from, what the race runs on, what confirms."""


@dataclass(frozen=True, slots=True)
class Splits:
    """The data of one search. `confirm` is None where half of val is to be set aside."""

    train: Dataset
    val: Dataset
    confirm: Dataset | None


def optimize(  # noqa: PLR0913 - the options of the command
    program: Program = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="FILE", help="Split by seed into train, val and confirm.", show_default=False),
    ] = None,
    train: Annotated[
        Path | None,
        typer.Option("--train", metavar="FILE", help="What proposals learn from.", show_default=False),
    ] = None,
    val: Annotated[
        Path | None,
        typer.Option("--val", metavar="FILE", help="What the candidates race on.", show_default=False),
    ] = None,
    confirm: Annotated[
        Path | None,
        typer.Option(
            "--confirm",
            "--test",
            metavar="FILE",
            help="Untouched, to confirm the gain once; without it half of val is set aside.",
            show_default=False,
        ),
    ] = None,
    metric: Metric = [],  # noqa: B006 - typer copies it
    judge: Judge = [],  # noqa: B006
    judge_model: JudgeModel = None,
    judge_tokens: JudgeTokens = JUDGE_TOKENS,
    model: Model = None,
    proposer_model: Annotated[
        str | None,
        typer.Option(
            "--proposer-model", metavar="PROVIDER/NAME", help="The model that writes proposals.", show_default=False
        ),
    ] = None,
    teacher_model: Annotated[
        str | None,
        typer.Option(
            "--teacher-model",
            metavar="PROVIDER/NAME",
            help="The model that runs the program for demonstrations.",
            show_default=False,
        ),
    ] = None,
    strategy: Annotated[
        str, typer.Option("--strategy", metavar="NAME", help=f"What is proposed: {', '.join(sorted(STRATEGIES))}.")
    ] = "auto",
    schedule: Annotated[
        str | None,
        typer.Option(
            "--schedule",
            metavar="NAME",
            help=f"Where evaluations go: {', '.join(SCHEDULES)}; or {CLASSIC}, for a strategy as it was published.",
            show_default=False,
        ),
    ] = None,
    calls: Calls = None,
    usd: Usd = None,
    tokens: Tokens = None,
    seconds: Seconds = None,
    objective: Annotated[
        list[str],
        typer.Option(
            "--objective", metavar="NAME", help="Beside the score: cost, tokens or latency.", show_default=False
        ),
    ] = [],  # noqa: B006
    constraint: Annotated[
        list[str],
        typer.Option(
            "--constraint", metavar="TEXT", help='What a result has to keep: "cost <= 0.002".', show_default=False
        ),
    ] = [],  # noqa: B006
    seed: Seed = 0,
    concurrency: Concurrency = None,
    isolation: Isolated = None,
    hard_timeout: HardTimeout = None,
    memory_mb: MemoryMb = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Where to save the better program.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --out.")] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Search in a supervised process of its own, and return at once.")
    ] = False,
    on_outage: Annotated[
        str | None,
        typer.Option(
            "--on-outage",
            metavar="pause|wait",
            help="When the model is gone: pause, or wait and go on by itself.",
            show_default="pause",
        ),
    ] = None,
    store: Store = None,
    json: Json = False,
) -> None:
    """Search a program's variables for what scores best, within a budget, and keep it only if the gain is confirmed.

    The search is a durable run: it can be paused (Ctrl-C), killed and carried on; nothing is paid for twice.
    """
    project = Project.here({"model": model, "concurrency": concurrency, "store": store, "on_outage": on_outage})
    reference = project.reference(program)
    found = project.program(program)
    scorer = metric_for(project, metric, judge, judge_model, judge_tokens)
    files = {"--train": train, "--val": val, "--confirm": confirm}
    splits = _splits(found, _paths(project, data, files), as_metric(scorer).columns, seed)
    source = None if reference is not None else project.program_path(program)
    target = _checked(out, force)
    budget = _budget(calls, usd, tokens, seconds)
    options = _options(project.resolved.settings, proposer_model, teacher_model, concurrency)
    if detach and out is not None:
        raise ConfigurationError("--out with --detach: the result stays with the run; `dspex runs export` writes it")
    _announce(found, splits, budget, strategy)
    with opened(project.resolved) as ready:
        prepared = wait(
            preparing.prepare(
                reference or found, splits.train, splits.val, scorer, ready,
                strategy=strategy, schedule=schedule, budget=budget, confirm=splits.confirm, seed=seed, options=options,
                store=project.store, objectives=("score", *(name for name in objective if name != "score")),
                constraints=constraint, isolation=_isolation(isolation, hard_timeout, memory_mb),
            )
        )  # fmt: skip
        try:
            if detach:
                wait(prepared.detached())
                _tell_detached(prepared.run.id, json)
                return
            note(f"run {prepared.run.id}; Ctrl-C pauses it")
            result = carried(prepared.run, prepared.live, ProgressLine(), json=json)
            kept = wait(prepared.run.result())
        finally:
            wait(prepared.run.aclose())
    saved = _saved(result, source, target)
    if json:
        emit(facts(result, saved))
    else:
        tell(result, project.place(program), saved)
        tell_promotion(reference, kept)


def _options(
    settings: Settings, proposer_model: str | None, teacher_model: str | None, concurrency: int | None
) -> SearchOptions:
    options = SearchOptions(
        proposer_model=proposer_model, teacher_model=teacher_model, on_outage=settings.on_outage,
        outage_seconds=settings.outage_seconds, probe_seconds=settings.probe_seconds,
    )  # fmt: skip
    # A place whose call waits for another's would work on nothing, and its call would count as sent after a kill.
    return replace(options, concurrency=concurrency or min(options.concurrency, settings.concurrency))


def _tell_detached(run: str, json: bool) -> None:
    if json:
        emit({"run": run, "state": "queued"})
        return
    say(f"run {run} goes on in a process of its own.")
    say(f"  dspex runs watch {run}      see it live; Ctrl-C leaves it running")
    say(f"  dspex runs pause {run}      and later: dspex runs resume {run}")
    say(f"  dspex runs export {run} --out better.yaml     what it has found")


def facts(result: OptimizationResult, saved: Path | None) -> dict[str, Any]:
    """The result as JSON, with scores on the confirm split and the file it was saved to."""
    verdict = result.verdict
    return {
        **result.to_dict(),
        "seed_score": None if verdict is None else verdict.seed_score,
        "final_score": result.score,
        "calls": result.usage.calls,
        "retries": result.usage.retries,
        "usd": result.usage.usd,
        "out": None if saved is None else str(saved),
    }


def tell(result: OptimizationResult, source: str, target: Path | None) -> None:
    """The report, and what to type next."""
    say(marked(result.report()))
    if not result.improved:
        say("Nothing was saved: the program stays as it is. More budget, or more examples, may show a gain:")
        say(f"       dspex runs fork {result.run} --calls N     goes on from here, and pays for nothing again")
        return
    if target is None:
        say(f"it is in the store: dspex runs show {result.run}, dspex programs history {source.partition('@')[0]}")
        return
    say(f"saved: {target}")
    say(f"next:  dspex diff {source} {target}")
    say(f"       dspex compare {source} {target} FILE     with data that this search has not seen")


def _paths(project: Project, data: Path | None, files: Mapping[str, Path | None]) -> Mapping[str, Path]:
    """The files by option; `--data` alone is one to be split."""
    named = {option: path for option, path in files.items() if path is not None}
    if data is not None and named:
        raise ConfigurationError(f"--data is split into all parts: give it alone, or {', '.join(files)} without it")
    if not named:
        return {"--data": project.data_path(data)}
    missing = [option for option in ("--train", "--val") if option not in named]
    if missing:
        raise ConfigurationError(f"{missing[0]} is not given: name --train and --val, or one file to split with --data")
    return {option: project.data_path(path) for option, path in named.items()}


def _splits(program: ProgramData, paths: Mapping[str, Path], columns: Sequence[str], seed: int) -> Splits:
    loaded = {option: examples(path, program) for option, path in paths.items()}
    whole = loaded.get("--data")
    if whole is None:
        return Splits(loaded["--train"], loaded["--val"], loaded.get("--confirm"))
    by = [name for name in columns if _few(whole, name)]
    return Splits(*whole.split(*SHARES, seed=seed, by=by))


def _few(data: Dataset, name: str) -> bool:
    """Whether a field has so few values that parts can have equal shares of each."""
    seen = [item.get(name) for item in data]
    return all(isinstance(item, str | bool | int) for item in seen) and len({str(item) for item in seen}) <= 12


def _checked(out: Path | None, force: bool) -> Path | None:
    """What --out names, before anything is paid for; None where it names nothing, or the store has the program."""
    if out is None:
        return None
    if out.suffix.lower() not in (".json", ".yaml", ".yml"):
        raise ConfigurationError(f"--out {out}: a program file ends in .json, .yaml or .yml")
    refuse_existing(out, force)
    return out


def _saved(result: OptimizationResult, source: Path | None, target: Path | None) -> Path | None:
    """Where the better program was saved: what --out names, or a free name beside the first one's file."""
    if not result.improved:
        return None
    if target is not None:
        return save(result.program, target)
    return None if source is None else save_beside(result.program, source)


def _budget(calls: int | None, usd: float | None, tokens: int | None, seconds: float | None) -> Budget:
    budget = Budget(calls=calls, usd=usd, tokens=tokens, seconds=seconds)
    return DEFAULT_BUDGET if budget == Budget() else budget


def _isolation(kind: str | None, timeout: float | None, memory_mb: int | None) -> Isolation | None:
    given = {"timeout": timeout, "memory_mb": memory_mb}
    named = {name: value for name, value in given.items() if value is not None}
    found = isolation_of(kind)
    if named and found is None:
        raise ConfigurationError("--hard-timeout and --memory-mb are limits of a worker: give --isolation process too")
    return None if found is None else Isolation.model_validate({**found.model_dump(), **named})


def _announce(program: ProgramData, splits: Splits, budget: Budget, strategy: str) -> None:
    default = " (the default; set --calls, --usd, --tokens or --seconds)" if budget == DEFAULT_BUDGET else ""
    confirm = "half of val" if splits.confirm is None else f"{len(splits.confirm)}"
    note(
        f"{program.name}: {counted(len(program.space), 'variable')}, strategy {strategy!r}; {len(splits.train)} train, "
        f"{len(splits.val)} val, {confirm} to confirm; budget {limits(budget.model_dump(exclude_none=True))}{default}"
    )
