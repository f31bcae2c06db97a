"""What is measured, and which figure of which trial goes into which line of the table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from benchmarks.harness import Trial

Medians = Mapping[str, Mapping[str, float]]
"""By trial, the median of each figure."""
Reading = Callable[[Medians], float | None]
"""One figure out of the trials of an experiment; None where a trial failed."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table. `wanted` is the goal, `peer_then` the peer's figure that stood beside it when it was set."""

    title: str
    unit: str
    theirs: Reading | None
    ours: Reading
    wanted: float | None = None
    peer_then: float | None = None
    """None where a slower machine does not move the figure in proportion (a share, a count)."""
    more: bool = False
    """Whether more is better."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """Trials that run side by side, turn by turn, and the lines that come of them."""

    name: str
    trials: Mapping[str, Trial]
    lines: tuple[Line, ...]
    rounds: int | None = None
    """Turns in a full run; None: as asked for."""
    once: frozenset[str] = field(default_factory=frozenset[str])
    """Trials too long to repeat."""


def figure(trial: str, name: str, scale: float = 1.0) -> Reading:
    """One figure as it is."""
    return lambda medians: None if (value := _found(medians, trial, name)) is None else value * scale


def slope(high: str, low: str, name: str, steps: float) -> Reading:
    """How much a figure grows for each of `steps` between two trials."""

    def read(medians: Medians) -> float | None:
        top, bottom = _found(medians, high, name), _found(medians, low, name)
        return None if top is None or bottom is None else (top - bottom) / steps

    return read


def quotient(above: str, below: str, name: str) -> Reading:
    """A figure of one trial over that of another."""

    def read(medians: Medians) -> float | None:
        top, bottom = _found(medians, above, name), _found(medians, below, name)
        return None if top is None or not bottom else top / bottom

    return read


def each(trial: str, total: str, count: str, scale: float) -> Reading:
    """A total over a count of the same trial."""

    def read(medians: Medians) -> float | None:
        top, bottom = _found(medians, trial, total), _found(medians, trial, count)
        return None if top is None or not bottom else top / bottom * scale

    return read


def _found(medians: Medians, trial: str, name: str) -> float | None:
    return medians.get(trial, {}).get(name)


def _dspy(what: str, *arguments: str) -> Trial:
    return Trial("dspy_more", "dspy", what, arguments)


def _dspex(what: str, *arguments: str) -> Trial:
    return Trial("dspex", "dspex", what, arguments)


@dataclass(frozen=True, slots=True)
class Goal:
    """What we want, and the peer's figure that stood beside it."""

    wanted: float
    peer_then: float | None = None
    more: bool = False


def _line(
    title: str, unit: str, sides: tuple[str, str], name: str, goal: Goal | None = None, scale: float = 1.0
) -> Line:
    """The same figure of two trials."""
    theirs, ours = (figure(side, name, scale) for side in sides)
    if goal is None:
        return Line(title, unit, theirs, ours)
    return Line(title, unit, theirs, ours, goal.wanted, goal.peer_then, goal.more)


_CPU = "us of CPU"
_BOTH = ("dspy", "dspex")


def _start() -> Experiment:
    trials = {
        "dspy": _dspy("import"),
        "dspex": _dspex("import"),
        "dspy hello": _dspy("hello"),
        "dspex hello": _dspex("hello"),
    }
    hello = ("dspy hello", "dspex hello")
    lines = (
        _line("import, define a signature and a program: CPU", "s", _BOTH, "cpu_s", Goal(0.2, 0.61)),
        _line("the same: memory", "MB", _BOTH, "peak_rss_mb", Goal(45)),
        _line("the same and one call over HTTP: CPU", "s", hello, "cpu_s"),
        _line("the same: memory", "MB", hello, "peak_rss_mb"),
    )
    return Experiment("import", trials, lines, rounds=5)


def _call() -> Experiment:
    many = ("--backend", "stub", "--n", "1000")
    awaited = (*many, "--opt", "mode=await")
    shown = ("--opt", "demos=16")
    trials = {
        "dspy": _dspy("call", *many),
        "dspy demos": _dspy("call", *many, *shown),
        "await": _dspex("call", *awaited),
        "await demos": _dspex("call", *awaited, *shown),
        "chat": _dspex("call", *awaited, "--opt", "adapter=chat"),
        "block": _dspex("call", *many),
    }
    name = "cpu_us_per_call"
    demo = (slope("dspy demos", "dspy", name, 16), slope("await demos", "await", name, 16))
    lines = (
        _line("awaited in one loop", _CPU, ("dspy", "await"), name, Goal(40, 349)),
        _line("the same, the chat adapter in place of JSON", _CPU, ("dspy", "chat"), name, Goal(40, 349)),
        _line("through the blocking bridge", _CPU, ("dspy", "block"), name, Goal(150, 349)),
        Line("each demonstration more", _CPU, *demo, wanted=3, peer_then=76),
    )
    return Experiment("call", trials, lines)


def _http() -> Experiment:
    many = ("--n", "1000")
    trials = {
        "dspy": _dspy("call", *many),
        "block": _dspex("call", *many),
        "await": _dspex("call", *many, "--opt", "mode=await"),
    }
    name = "cpu_us_per_call"
    lines = (
        _line("one at a time, awaited", _CPU, ("dspy", "await"), name, Goal(350, 847)),
        _line("one at a time, through the blocking bridge", _CPU, ("dspy", "block"), name),
    )
    return Experiment("http", trials, lines)


def _evaluation(concurrency: int, n: int, wanted: float, *, cpu: bool = False) -> Experiment:
    arguments = ("--concurrency", str(concurrency), "--n", str(n))
    trials = {"dspy": _dspy("evaluate", *arguments), "dspex": _dspex("evaluate", *arguments)}
    title = f"{n:,} examples, {concurrency} at once"
    share = Goal(wanted, more=True)
    lines = [
        _line(f"{title}: share of the ideal rate", "%", _BOTH, "of_ideal_wall", share, scale=100),
        Line(f"{title}: rate", "examples/s", figure("dspy", "ex_per_s"), figure("dspex", "ex_per_s"), more=True),
    ]
    if cpu:
        lines.append(_line(f"{title}: an example", _CPU, _BOTH, "cpu_s_per_1000", Goal(300, 2160), scale=1000))
    if n <= 2000:
        return Experiment(f"evaluate-{concurrency}", trials, tuple(lines))
    return Experiment(f"evaluate-{concurrency}-{n}", trials, tuple(lines), once=frozenset({"dspy"}))


def _linearity() -> Experiment:
    def stub(make: Callable[..., Trial], n: int) -> Trial:
        return make("evaluate", "--backend", "stub", "--concurrency", "64", "--n", str(n))

    trials = {f"dspy {n}": stub(_dspy, n) for n in (1000, 16_000)}
    trials |= {f"dspex {n}": stub(_dspex, n) for n in (1000, 10_000, 100_000)}
    name = "cpu_s_per_1000"
    large = ("dspy 16000", "dspex 100000")
    ratios = (quotient("dspy 16000", "dspy 1000", name), quotient("dspex 100000", "dspex 1000", name))
    lines = (
        _line("an example of 1,000", _CPU, ("dspy 1000", "dspex 1000"), name, scale=1000),
        Line("an example of 10,000", _CPU, None, figure("dspex 10000", name, 1000)),
        _line("an example of 16,000 (DSPy), of 100,000 (DSPEx)", _CPU, large, name, scale=1000),
        Line("the last over the first (1: linear)", "", *ratios, wanted=1.1),
        _line("memory that each of these leaves behind", "bytes", large, "bytes_per_example", Goal(200)),
    )
    return Experiment("linearity", trials, lines, once=frozenset(large))


def _cache() -> Experiment:
    def kind(make: Callable[..., Trial], cache: str, *options: str) -> Trial:
        return make("cache", "--cache", cache, "--n", "1000", "--concurrency", "8", *options)

    trials = {f"dspy {cache}": kind(_dspy, cache) for cache in ("memory", "disk")}
    trials |= {f"dspex {cache}": kind(_dspex, cache, "--opt", "mode=await") for cache in ("memory", "disk")}
    memory, disk = ("dspy memory", "dspex memory"), ("dspy disk", "dspex disk")
    one, many = "seq_cpu_us_per_hit", "eval_us_per_hit"
    lines = (
        _line("from memory, one at a time", _CPU, memory, one, Goal(30, 375)),
        _line("from disk, one at a time", _CPU, disk, one, Goal(60, 455)),
        _line("from memory, in an evaluation", "us of wall", memory, many),
        _line("from disk, in an evaluation", "us of wall", disk, many),
        _line("requests sent for answers already there", "", disk, "misses", Goal(0)),
    )
    return Experiment("cache", trials, lines)


def _faults() -> Experiment:
    trials = {
        "dspy": _dspy("faults"),
        "dspy defaults": _dspy("faults", "--opt", "max_errors=default"),
        "dspex": _dspex("faults"),
    }
    whole = Goal(2000, more=True)
    lines = (
        _line("answered of 2,000; DSPy at its defaults", "", ("dspy defaults", "dspex"), "ok", whole),
        _line("answered of 2,000; DSPy with `max_errors` lifted", "", _BOTH, "ok", whole),
        Line("attempts beyond the first, as the result says", "", None, figure("dspex", "retried")),
        _line("examples lost", "", _BOTH, "unanswered", Goal(0)),
    )
    return Experiment("faults", trials, lines)


def _optimizers() -> Experiment:
    def one(make: Callable[..., Trial], name: str) -> Trial:
        return make("optimize", "--optimizer", name, "--cache", "memory")

    pairs = {"bfrs": "bootstrap", "gepa": "reflection", "mipro": "auto"}
    trials = {f"dspy {name}": one(_dspy, name) for name in pairs}
    trials |= {f"dspex {name}": one(_dspex, name) for name in pairs.values()}
    long = {"bfrs": "BootstrapFewShotWithRandomSearch", "gepa": "GEPA", "mipro": "MIPROv2 light"}

    def line(theirs: str, ours: str) -> Line:
        peer, own = (each(side, "opt_cpu_s", "lm_calls", 1e6) for side in (f"dspy {theirs}", f"dspex {ours}"))
        # 850 is the least of the peer's figures beside the goal: the ratio is held to the best of its optimizers.
        return Line(f"{long[theirs]} (DSPy), `{ours}` (DSPEx)", f"{_CPU} a call", peer, own, 200, 850)

    return Experiment("optimizers", trials, tuple(line(*pair) for pair in pairs.items()))


EXPERIMENTS: Mapping[str, Experiment] = {
    item.name: item
    for item in (
        _start(),
        _call(),
        _http(),
        _evaluation(64, 2000, 85, cpu=True),
        _evaluation(256, 2000, 45),
        _evaluation(256, 10_240, 60),
        _linearity(),
        _cache(),
        _faults(),
        _optimizers(),
    )
}
"""In the order of the table."""
