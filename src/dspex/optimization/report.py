"""An optimization's result as text: what changed word by word, what it gained, what it cost, what was tried."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, TypeGuard

from dspex.kernel.difference import Change
from dspex.kernel.ports import JSON, Usage

if TYPE_CHECKING:
    from dspex.optimization.ports import Death
    from dspex.optimization.result import OptimizationResult

SHOWN = 12
"""Rows of the table of what was tried."""
_PIECES = re.compile(r"\s+|[^\s]+")


def reported(result: OptimizationResult) -> str:
    """The whole report, some forty lines."""
    return "\n".join(_lines(result)) + "\n"


def word_difference(before: str, after: str) -> str:
    """`after` with what is new in {+braces+} and what is gone in [-brackets-]."""
    old, new = _PIECES.findall(before), _PIECES.findall(after)
    parts: list[str] = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, came = "".join(old[a:b]), "".join(new[c:d])
        if kind == "equal":
            parts.append(came)
            continue
        parts.append((f"[-{gone}-]" if gone.strip() else "") + (f"{{+{came}+}}" if came.strip() else came))
    return "".join(parts)


def described(change: Change) -> str:
    """One change in words: texts word by word, demonstrations one on a line, all else old and new."""
    before, after = change.before, change.after
    if isinstance(after, str) and (isinstance(before, str) or before is None) and (len(after) > 40 or "\n" in after):
        return f"{change.path}:\n{_indented(word_difference(before or '', after))}"
    if shown := _demonstrations(after):
        rows = "\n".join(map(_short, shown))
        return f"{change.path}: {len(_demonstrations(before))} -> {len(shown)} demonstrations\n{_indented(rows)}"
    return f"{change.path}: {_short(before)} -> {_short(after)}"


def _demonstrations(value: JSON) -> list[JSON]:
    """A list of mappings; empty for anything else."""
    return value if _is_list(value) and all(isinstance(item, dict) for item in value) else []


def _is_list(value: JSON) -> TypeGuard[list[JSON]]:
    return isinstance(value, list)


def _lines(result: OptimizationResult) -> Iterator[str]:
    yield f"optimization of {result.seed_program.name!r} by {result.strategy!r}, seed {result.seed}"
    yield f"  {result.reason}"
    verdict = result.verdict
    if verdict is not None:
        interval = verdict.interval
        yield (
            f"  confirm split, {verdict.n} pairs: {verdict.seed_score:.3f} -> {verdict.score:.3f}, "
            f"gain {verdict.gain:+.3f} ({interval.level:.0%} interval {interval.low:+.3f} to {interval.high:+.3f}, "
            f"{interval.method})"
        )
    yield f"  search ended: {result.stopped}"
    yield (
        f"  {result.rounds} rounds, {len(result.tried)} candidates, {result.evaluations} evaluations in "
        f"{result.seconds:.1f} s: {_cost(result.usage)} (of these to write proposals: {_cost(result.proposing)})"
    )
    if result.fitting >= 0.05:
        yield f"  {result.fitting:.1f} s of it went into fitting what the search believes"
    if result.unevaluated:
        why = "infrastructure failed, or quarantined" if result.quarantined else "infrastructure failed"
        yield f"  {result.unevaluated} pairs could not be evaluated ({why}); they count for nothing"
    yield from _killers(result)
    if result.usage.retries:
        yield f"  {result.usage.retries} calls were sent again after a failure"
    for note in result.notes:
        yield f"  note: {note}"
    if result.changes:
        yield "changed:"
        for change in result.changes:
            yield _indented(described(change))
    yield "tried (gain over the seed program on the same val examples):"
    yield f"  {'gain':>7} {'score':>6} {'n':>4}  {'by':<12} why"
    for row in result.tried[:SHOWN]:
        yield f"  {row.gain:>+7.3f} {row.score:>6.3f} {row.n:>4}  {row.operator:<12} {row.hypothesis}"
    if len(result.tried) > SHOWN:
        yield f"  and {len(result.tried) - SHOWN} more"


def _killers(result: OptimizationResult) -> Iterator[str]:
    if not result.quarantined:
        return
    by_example: dict[str, list[Death]] = {}
    for item in result.quarantined:
        by_example.setdefault(item.example, []).append(item)
    yield (
        f"  {len(result.quarantined)} pairs are quarantined, of {len(by_example)} examples: "
        "evaluating them killed their process twice"
    )
    for example, deaths in list(by_example.items())[:SHOWN]:
        yield f"    example {example}, {len(deaths)} candidates: {deaths[-1].reason}"


def _cost(usage: Usage) -> str:
    dollars = "price unknown" if usage.usd is None else f"${usage.usd:.4f}"
    again = f", {usage.cached_calls} answered from memory" if usage.cached_calls else ""
    return f"{usage.calls} calls{again}, {usage.input_tokens + usage.output_tokens} tokens, {dollars}"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _short(value: JSON) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else f"{text[:157]}..."
