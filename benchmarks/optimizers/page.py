"""The report as a page: what was found, against each peer, family by family, and what each part is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.optimizers import measures, tables, verdicts
from benchmarks.optimizers.ablations import ABLATIONS, WORDS
from benchmarks.optimizers.baselines import BASELINES
from benchmarks.optimizers.families import FAMILIES
from benchmarks.optimizers.plan import FEW, FLAT, OURS, PEERS, kinds
from benchmarks.optimizers.replay import MORE
from benchmarks.optimizers.rows import Row, latest, strategies


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Where and when."""

    when: str
    machine: str
    versions: str
    commit: str
    budget: int


def document(rows: Sequence[Row], found: Circumstances, replay: str, reading: str) -> str:
    """The whole page. `replay` is the section on real outcomes, `reading` the text on how it is made."""
    last = latest(rows)
    main, flat = _main(last), [row for row in last if row.family == FLAT]
    mine = [name for name in OURS if any(row.strategy == name for row in last)]
    parts = [_opening(last, found), "## What was found", verdicts.found(main, flat, mine)]
    parts += ["## Where we lose", verdicts.losses(main, mine), _replayed(replay)]
    parts += ["## Every strategy in every family", _every(main)]
    parts += [f"## `{name}` against the peers\n\n{tables.against(main, name, PEERS)}" for name in mine]
    parts += ["## Beside the usual baselines", _baselines(main), "## Parts taken out, or put in", _ablations(rows)]
    parts += [f"## Real outcomes, replayed\n\n{replay}" if replay else "", reading]
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _replayed(replay: str) -> str:
    """What of the replay is a loss."""
    lines = [line for line in replay.splitlines() if MORE in line]
    return "On real outcomes, replayed, regret in points:\n\n" + "\n".join(lines) if lines else ""


def _opening(rows: Sequence[Row], found: Circumstances) -> str:
    minutes, states = sum(row.seconds for row in rows) / 60, _states(rows)
    developed, held = kinds()
    return f"""# Optimizers compared

Written by `make bench-optimizers`; do not edit. {found.when}, {found.machine};
{found.versions}; commit {found.commit}.
{len(rows)} runs of {found.budget} calls each, proposals included, {minutes:.0f} minutes of searching.
{states}

The models are simulated, behind HTTP, with known optima; DSPy's optimizers are the real package, on the same server,
the same data and the same metric. Defaults may be chosen on {_listed(developed)},
on worlds with seeds below 100. {_listed(held)} are held out. All worlds below have seeds from 100 on."""


def _states(rows: Sequence[Row]) -> str:
    """Of how many states of the code the runs of ours are: work goes on while a report is made."""
    mine = [row for row in rows if row.strategy not in PEERS and row.strategy not in BASELINES]
    every, auto = ({row.code for row in some} for some in (mine, [row for row in mine if row.strategy == "auto"]))
    if len(every) < 2:
        return "Runs of ours are of one state of the code."
    return f"Runs of ours are of {len(every)} states of the code, as it went on; those of `auto` of {len(auto)}."


def _main(rows: Sequence[Row]) -> list[Row]:
    """Without ablations, and without the many further runs that have no headroom."""
    few = {row.seed for row in rows if row.family != FLAT}
    return [row for row in rows if row.strategy not in ABLATIONS and row.seed in few]


def _every(rows: Sequence[Row]) -> str:
    told = f"Strategies with {FEW} runs or fewer are to be seen beside the rest: no claim rests on them."
    return f"{told}\n\n{tables.by_family(rows)}"


def _baselines(rows: Sequence[Row]) -> str:
    """Ours and the baselines where numbers, models and adapters vary, paired by world."""
    lines = [
        "| | against | family | pairs | more of the gain at the end | calls to its result, ratio to all its calls |",
        "| --- | --- | --- | ---: | --- | --- |",
    ]
    wide = [row for row in rows if not FAMILIES[row.family].shared]
    for name in reversed([item for item in OURS if any(row.strategy == item for row in wide)]):
        for other in [*(item for item in verdicts.USUAL if item in strategies(wide)), *(set(OURS) - {name})]:
            for family in ["all", *dict.fromkeys(row.family for row in wide)]:
                here = [row for row in wide if family in ("all", row.family)]
                found = measures.versus(
                    [row for row in here if row.strategy == name], [row for row in here if row.strategy == other]
                )
                if found.more.n:
                    first = f"`{name}` | `{other}`" if family == "all" else " | "
                    lines.append(
                        f"| {first} | {family} | {found.more.n} | {tables.signed(found.more)} | "
                        f"{tables.ratio(found.whole)} |"
                    )
    told = (
        "Families with models, adapters and numbers to choose. `random`, `random-halving` and `tpe` write no texts; "
        "Optuna's studies choose among instructions that the model was asked for beforehand, and confirm nothing. In "
        "`parameters` there are no texts, so that these are equals there."
    )
    return f"{told}\n\n" + "\n".join(lines)


def _ablations(rows: Sequence[Row]) -> str:
    """Each variant against what it is a variant of, paired by world, of the same code where there is one."""
    whole = {(row.family, row.seed, row.strategy, row.code): row for row in rows}
    last = {(row.family, row.seed, row.strategy): row for row in latest(rows)}
    lines = [
        "| variant | what is changed | family | pairs | share of the gain | less the whole's | below the seed | |",
        "| --- | --- | --- | ---: | --- | --- | ---: | --- |",
    ]
    for name, words in WORDS.items():
        own = [row for row in last.values() if row.strategy == name]
        of = name.partition("-")[0]
        base = [
            whole.get((row.family, row.seed, of, row.code)) or last.get((row.family, row.seed, of)) for row in own
        ]  # fmt: skip
        lines += _ablated(f"`{name}` | {words}", own, [row for row in base if row is not None])
    told = (
        "*Less the whole's* is the share of the gain with the change, less that without it. *Worse*: the interval is "
        "below 0, so that what was taken out earns its place, or what was put in does harm; *better*: above 0. Worlds "
        "without headroom are counted apart; `auto` itself is counted at the top of the page. A warm start from what "
        "past runs taught does not exist yet, so that nothing can be taken out there."
    )
    return f"{told}\n\n" + "\n".join(lines) if len(lines) > 2 else f"{told}\n\nNone was run."


def _ablated(first: str, own: Sequence[Row], base: Sequence[Row]) -> list[str]:
    """A variant's lines: pooled, then by family."""
    lines: list[str] = []
    for family in ["all", *dict.fromkeys(row.family for row in own)] if own else []:
        here = [row for row in own if row.family == family or (family == "all" and row.family != FLAT)]
        found = measures.versus(here, base)
        pooled = family == "all"
        figures = [tables.share(measures.gain(here)), tables.signed(found.more)] if family != FLAT else ["", ""]
        cells = [
            first if pooled else " | ", family, str(found.more.n), *figures, str(measures.below(here)),
            _said(found.more) if pooled else "",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _said(more: measures.Figure) -> str:
    """What the interval says of the change."""
    if not more.known or more.n < verdicts.FEWEST:
        return "too few"
    if more.high < 0:
        return "worse"
    return "better" if more.low > 0 else "no difference shown"


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
