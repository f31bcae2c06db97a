"""`dspex optimize`: search for a better configuration within a budget; nothing is overwritten, nothing paid in vain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from dspex.blocking import blocking
from dspex.cli.data import examples
from dspex.cli.metrics import metric_for
from dspex.cli.opening import opened
from dspex.cli.options import Concurrency, Json, Judge, JudgeModel, Metric, Model, Program, Seed
from dspex.cli.output import emit, marked, note, say
from dspex.cli.project import Project
from dspex.clients.budget import Budget
from dspex.configuration.files import save
from dspex.errors import ConfigurationError
from dspex.evaluation.dataset import Dataset
from dspex.evaluation.scoring import as_metric
from dspex.kernel.ports import Event
from dspex.kernel.program import Program as ProgramData
from dspex.optimization.ledger import MemoryLedger
from dspex.optimization.ports import SearchOptions
from dspex.optimization.problem import MIN_VAL
from dspex.optimization.progress import ProgressLine
from dspex.optimization.result import OptimizationResult
from dspex.optimization.runner import DEFAULT_BUDGET
from dspex.optimization.runner import optimize as search

SHARES = (0.4, 0.35, 0.25)
"""Of one data file: what proposals learn from, what the race runs on, what confirms."""
LEAST_CALLS = 4 * MIN_VAL


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
    model: Model = None,
    proposer_model: Annotated[
        str | None,
        typer.Option(
            "--proposer-model", metavar="PROVIDER/NAME", help="The model that writes proposals.", show_default=False
        ),
    ] = None,
    strategy: Annotated[
        str, typer.Option("--strategy", metavar="NAME", help="auto, bootstrap, random or reflection.")
    ] = "auto",
    calls: Annotated[
        int | None, typer.Option("--calls", min=1, help="Budget: calls of a model.", show_default=False)
    ] = None,
    usd: Annotated[float | None, typer.Option("--usd", min=0, help="Budget: dollars.", show_default=False)] = None,
    tokens: Annotated[
        int | None, typer.Option("--tokens", min=1, help="Budget: tokens, in and out.", show_default=False)
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", min=0, help="Budget: seconds.", show_default=False)
    ] = None,
    seed: Seed = 0,
    concurrency: Concurrency = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="Where to save the better program.", show_default=False),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --out.")] = False,
    json: Json = False,
) -> None:
    """Search a program's variables for what scores best, within a budget, and keep it only if the gain is confirmed."""
    project = Project.here({"model": model, "concurrency": concurrency})
    source = project.program_path(program)
    found = project.program(program)
    scorer = metric_for(project, metric, judge, judge_model)
    files = {"--train": train, "--val": val, "--confirm": confirm}
    splits = _splits(found, _paths(project, data, files), as_metric(scorer).columns, seed)
    target = _target(source, out, force)
    budget = _budget(calls, usd, tokens, seconds)
    options = SearchOptions(proposer_model=proposer_model)
    if concurrency is not None:
        options = SearchOptions(proposer_model=proposer_model, concurrency=concurrency)
    _announce(found, splits, budget, strategy)
    with opened(project.resolved) as ready:
        watched = Watched(MemoryLedger())
        try:
            result = blocking(search)(
                found, splits.train, splits.val, scorer, ready,
                strategy=strategy, budget=budget, confirm=splits.confirm, seed=seed, options=options,
                ledger=watched.ledger, on_event=watched,
            )  # fmt: skip
        except KeyboardInterrupt:
            watched.interrupted(project.resolved.settings.cache)
            raise
    if result.improved:
        save(result.program, target)
    if json:
        emit(facts(result, target))
    else:
        tell(result, source, target)


class Watched:
    """Shows a search as it goes, and knows what to say when it is broken off."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self.ledger = ledger
        self._line = ProgressLine()
        self._last: Mapping[str, Any] = {}

    def __call__(self, event: Event) -> None:
        self._line(event)
        if event.kind == "round.finished":
            self._last = event.data

    def interrupted(self, cache: str) -> None:
        """Say where the search was, and what typing the command again would cost."""
        last = self._last
        note()
        if last and last["best_score"] is not None:
            note(
                f"Stopped after {last['evaluations']:,} evaluations; best on val so far {last['best_score']:.3f}, "
                "not confirmed, so nothing was saved."
            )
        if cache in ("memory", "none"):
            note('With cache = ".dspex/calls.db" in dspex.toml, the same command would pay for nothing twice.')
        else:
            note(f"The answers so far are in {cache}: the same command carries on and pays for none of them again.")


def facts(result: OptimizationResult, target: Path) -> dict[str, Any]:
    """The result as JSON, with scores on the confirm split and the file it was saved to."""
    verdict = result.verdict
    return {
        **result.to_dict(),
        "seed_score": None if verdict is None else verdict.seed_score,
        "final_score": result.score,
        "calls": result.usage.calls,
        "retries": result.usage.retries,
        "usd": result.usage.usd,
        "out": str(target) if result.improved else None,
    }


def tell(result: OptimizationResult, source: Path, target: Path) -> None:
    """The report, and what to type next."""
    say(marked(result.report()))
    if result.improved:
        say(f"saved: {target}")
        say(f"next:  dspex diff {source} {target}")
        say(f"       dspex compare {source} {target} FILE     with data that this search has not seen")
    else:
        say("Nothing was saved: the program stays as it is. More budget, or more examples, may show a gain.")


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


def _target(source: Path, out: Path | None, force: bool) -> Path:
    """Where to save: what --out names, or a free name beside the program."""
    if out is not None:
        if out.suffix.lower() not in (".json", ".yaml", ".yml"):
            raise ConfigurationError(f"--out {out}: a program file ends in .json, .yaml or .yml")
        if out.exists() and not force:
            raise ConfigurationError(f"--out {out}: this file is there already; name another, or give --force")
        return out
    names = [f"{source.stem}-optimized{'' if n == 1 else f'-{n}'}{source.suffix}" for n in range(1, 1000)]
    return next(path for name in names if not (path := source.with_name(name)).exists())


def _budget(calls: int | None, usd: float | None, tokens: int | None, seconds: float | None) -> Budget:
    if calls is not None and calls < LEAST_CALLS:
        raise ConfigurationError(
            f"--calls {calls}: too small a budget to compare anything. The program as it is on {MIN_VAL} examples, one "
            f"candidate on {MIN_VAL}, and both on {MIN_VAL} more to confirm take {LEAST_CALLS} calls at least; a few "
            "hundred are a start"
        )
    budget = Budget(calls=calls, usd=usd, tokens=tokens, seconds=seconds)
    return DEFAULT_BUDGET if budget == Budget() else budget


def _announce(program: ProgramData, splits: Splits, budget: Budget, strategy: str) -> None:
    limits = ", ".join(f"{value:,} {name}" for name, value in budget.model_dump().items() if value is not None)
    default = " (the default; set --calls, --usd, --tokens or --seconds)" if budget == DEFAULT_BUDGET else ""
    confirm = "half of val" if splits.confirm is None else f"{len(splits.confirm)}"
    note(
        f"{program.name}: {len(program.space)} variables, strategy {strategy!r}; {len(splits.train)} train, "
        f"{len(splits.val)} val, {confirm} to confirm; budget {limits}{default}"
    )
