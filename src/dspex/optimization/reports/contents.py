"""What a report says, from a result as data; the forms only say how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dspex.kernel.difference import Change
from dspex.kernel.ports import JSON
from dspex.optimization.counting import counted
from dspex.optimization.reports.changes import short

SHOWN = 12
"""Rows of the table of what was tried."""
_SURE, _UNSURE = 16, 3
"""Candidates seen on fewer examples than _SURE are shown at most _UNSURE times: most of what they show is luck."""
_BAR = 24


@dataclass(frozen=True, slots=True)
class Title:
    """What the report is about."""

    text: str


@dataclass(frozen=True, slots=True)
class Lines:
    """Sentences, one on a line, under a heading where there is one."""

    lines: tuple[str, ...]
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between the seed program and the one that ships."""

    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts. Columns named in `right` are figures."""

    heading: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[str] = frozenset()
    more: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """Points of a front in two objectives: (x, y, what it is). Drawn where a form can draw."""

    x: str
    y: str
    points: tuple[tuple[float, float, str], ...] = field(default=())


Block = Title | Lines | Changes | Table | Chart


def contents(data: Mapping[str, Any], importance: Sequence[tuple[str, float]] | str = "") -> Iterator[Block]:
    """The blocks of a report. `data` is what `OptimizationResult.to_dict` gives, also one that an older release kept.

    `importance`: (path, share) of each variable, the most important first; or in words why there is none.
    """
    yield Title(f"optimization of {data['program']['name']!r} by {data['strategy']!r}, seed {data['seed']}")
    yield Lines((*_outcome(data), *_costs(data), *(f"note: {note}" for note in data["notes"])))
    changes = tuple(Change(**item) for item in data["changes"])
    if changes:
        yield Changes(changes)
    yield from _front(data)
    yield _tried(data["tried"])
    if isinstance(importance, str):
        if importance:
            yield Lines((importance,), "importance of each variable:")
    else:
        rows = tuple((f"{share:.0%}", path, "#" * round(_BAR * share)) for path, share in importance)
        yield Table(
            "importance of each variable (share of the variance of gains, by functional ANOVA):",
            ("share", "variable", ""), rows, frozenset({"share"}),
        )  # fmt: skip


def _outcome(data: Mapping[str, Any]) -> Iterator[str]:
    yield data["reason"]
    verdict = data["confirmation"]
    if verdict is None:
        for kept in (row for row in data["tried"] if row["operator"] == "seed"):
            yield (
                f"on val, {kept['n']} examples, the seed program has {kept['score']:.3f}; "
                "higher scores below are of programs that nothing has confirmed"
            )
    else:
        interval = verdict["interval"]
        yield (
            f"confirm split, {verdict['n']} pairs: {verdict['seed_score']:.3f} -> {verdict['score']:.3f}, "
            f"gain {verdict['gain']:+.3f} ({interval['level']:.0%} interval {interval['low']:+.3f} to "
            f"{interval['high']:+.3f}, {interval['method']})"
        )
        yield f"on val the gain is {verdict['shrunk']:+.3f}, less what the best of so many candidates gains by luck"


def _costs(data: Mapping[str, Any]) -> Iterator[str]:
    yield f"search ended: {data['stopped']}"
    yield (
        f"{counted(data['rounds'], 'round')}, {counted(len(data['tried']), 'candidate')}, "
        f"{counted(data['evaluations'], 'evaluation')} in "
        f"{data['seconds']:.1f} s: {_cost(data['usage'])} (of these to write proposals: {_cost(data['proposing'])})"
    )
    if data.get("fitting", 0.0) >= 0.05:
        yield f"{data['fitting']:.1f} s of it went into fitting what the search believes"
    if data.get("idle_share") is not None:
        lost = data["unwanted"]
        more = f"; {lost} evaluations were begun before they were asked for, and never were" if lost else ""
        yield f"slots stood idle for {data['idle_share']:.0%} of the time{more}"
    killers = data.get("quarantined", [])
    if data["unevaluated"]:
        why = "infrastructure failed, or quarantined" if killers else "infrastructure failed"
        yield f"{data['unevaluated']} pairs could not be evaluated ({why}); they count for nothing"
    yield from _killers(killers)
    if data["usage"]["retries"]:
        yield f"{data['usage']['retries']} calls were sent again after a failure"


def _killers(deaths: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    by_example: dict[str, list[Mapping[str, Any]]] = {}
    for item in deaths:
        by_example.setdefault(item["example"], []).append(item)
    if deaths:
        yield (
            f"{len(deaths)} pairs are quarantined, of {len(by_example)} examples: evaluating them killed their "
            "process twice"
        )
    for example, found in list(by_example.items())[:SHOWN]:
        yield f"  example {example}, {counted(len(found), 'candidate')}: {found[-1]['reason']}"


def _front(data: Mapping[str, Any]) -> Iterator[Block]:
    names, points = data.get("objectives", []), data.get("front", [])
    if len(names) < 2 or not points:
        return
    rows: list[tuple[str, ...]] = []
    for point in points:
        cells = [_estimate(point["means"][name], point["intervals"][name]) for name in names]
        rows.append((*cells, point["candidate"][:8], point["hypothesis"]))
    heading = (
        f"Pareto front on {points[0]['n']} val examples, hypervolume {data['hypervolume']:.3f} "
        "(95% intervals; not confirmed; the best score within the constraints is what ships):"
    )
    yield Table(heading, (*names, "candidate", "why"), tuple(rows), frozenset(names))
    drawn = tuple((point["means"][names[1]], point["means"]["score"], point["hypothesis"]) for point in points)
    yield Chart(names[1], "score", drawn)


def _tried(rows: Sequence[Mapping[str, Any]]) -> Table:
    shown: list[tuple[str, ...]] = []
    unsure = 0
    for row in rows:
        unsure += row["n"] < _SURE
        if len(shown) < SHOWN and (row["n"] >= _SURE or unsure <= _UNSURE):
            interval = row.get("interval")
            spread = f"{interval[0]:+.3f} to {interval[1]:+.3f}" if interval else ""
            believed = row.get("believed", row["gain"])
            shown.append(
                (f"{believed:+.3f}", f"{row['gain']:+.3f}", spread, str(row["n"]), row["operator"], row["hypothesis"])
            )
    left = len(rows) - len(shown)
    return Table(
        "tried (gain over the seed program on the same val examples; the fewer, the less of it is believed):",
        ("believed", "gain", "95% interval", "n", "by", "why"), tuple(shown),
        frozenset({"believed", "gain", "n"}), f"and {left} more" if left else "",
    )  # fmt: skip


def _estimate(mean: float, interval: Sequence[float]) -> str:
    return f"{mean:.4g} ({interval[0]:.4g} to {interval[1]:.4g})"


def _cost(usage: Mapping[str, JSON]) -> str:
    dollars = "price unknown" if usage["usd"] is None else f"${usage['usd']:.4f}"
    again = f", {usage['cached_calls']} answered from memory" if usage["cached_calls"] else ""
    return f"{usage['calls']} calls{again}, {usage['input_tokens'] + usage['output_tokens']} tokens, {dollars}"


def change_line(change: Change) -> str:
    """A change that needs no more than a line."""
    return f"{change.path}: {short(change.before)} -> {short(change.after)}"
