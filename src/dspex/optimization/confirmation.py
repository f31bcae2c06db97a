"""The gate: the race's winner meets the seed program once, paired, on a split that the search never saw.

The rule is fixed before the run. The winner ships when the probability that it is better is at least 0.9 on the confirm
split, or at least 0.5 there and at least 0.99 over val and confirm together, with val's gain shrunk for the winner's
curse: being the best of many by luck. Otherwise the seed program is kept. Constraints come first (`Verdict.within`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

from dspex.evaluation.statistics import Interval, paired
from dspex.optimization.outcomes import BROKEN, KEPT

ALONE, AT_LEAST, TOGETHER = 0.9, 0.5, 0.99
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Gain:
    """Paired scores of seed program and winner on one split."""

    seed: tuple[float, ...]
    winner: tuple[float, ...]

    @property
    def n(self) -> int:
        return len(self.seed)

    @property
    def mean(self) -> float:
        """Mean of winner minus seed, in -1..1."""
        return math.fsum(self.winner) / self.n - math.fsum(self.seed) / self.n if self.n else 0.0

    @property
    def deviation(self) -> float:
        """Standard error of the mean; one win and one loss of the mean size are added, so it is never 0."""
        moved = [after - before for before, after in zip(self.seed, self.winner, strict=True)]
        sizes = [abs(item) for item in moved if item]
        pseudo = 2 * (math.fsum(sizes) / len(sizes)) ** 2 if sizes else 2.0
        return math.sqrt(math.fsum((item - self.mean) ** 2 for item in moved) + pseudo) / max(1, self.n)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the confirmation found, and what follows from it."""

    ships: bool
    rule: Literal["confirmed", "together", "not shown", "within", "barred"]
    """The last two where constraints decide: the winner keeps them and the seed program does not, or it breaks them."""
    n: int
    """Pairs on the confirm split."""
    seed_score: float
    score: float
    gain: float
    interval: Interval
    chance: float
    """Probability that the winner is better, from the confirm split alone."""
    together: float
    """The same from val (shrunk) and confirm together."""
    shrunk: float
    """Gain on val less what the best of so many contenders gains by luck."""
    needed: int | None
    """Examples a confirm split would have to have to show such a gain; None where there was none, or it was shown."""

    @property
    def reason(self) -> str:
        """The decision in a sentence."""
        if self.rule == "confirmed":
            return f"P(better) is {self.chance:.3f} on the confirm split, at least {ALONE}"
        if self.rule == "within":
            return f"the seed program breaks a constraint and this one keeps them; P(better score) is {self.chance:.3f}"
        if self.rule == "barred":
            return f"the winner breaks a constraint; P(better score) is {self.chance:.3f} on the confirm split"
        if self.rule == "together":
            return (
                f"P(better) is {self.chance:.3f} on the confirm split and {self.together:.3f} with val, "
                f"at least {AT_LEAST} and {TOGETHER}"
            )
        text = f"P(better) is {self.chance:.3f} on the confirm split ({ALONE} needed) and {self.together:.3f} with val"
        if self.needed is None:
            return f"{text}; there is no gain to show"
        return f"{text}; a gain of this size would show on about {self.needed} examples"

    def within(self, seed: float, winner: float) -> Verdict:
        """The verdict under constraints, given each program's chance of keeping them (1 without any).

        A winner that more likely than not breaks them never ships; over a seed program that breaks them, one that
        keeps them ships whatever its score.
        """
        if winner < KEPT:
            return replace(self, ships=False, rule="barred", needed=None)
        if seed < BROKEN:
            return replace(self, ships=True, rule="within", needed=None)
        return self


def confirmed(val: Gain, confirm: Gain, contenders: int, seed: int = 0) -> Verdict:
    """The verdict from both splits; `contenders` is how many candidates were compared with the seed on all of val."""
    found = paired(confirm.seed, confirm.winner, seed=seed)
    shrunk = val.mean - val.deviation * luck(contenders)
    together = _together((shrunk, val.deviation), (confirm.mean, confirm.deviation))
    rule: Literal["confirmed", "together", "not shown"] = "not shown"
    if confirm.n and found.p_better >= ALONE:
        rule = "confirmed"
    elif confirm.n and found.p_better >= AT_LEAST and together >= TOGETHER:
        rule = "together"
    return Verdict(
        ships=rule != "not shown",
        rule=rule,
        n=confirm.n,
        seed_score=_mean(confirm.seed),
        score=_mean(confirm.winner),
        gain=confirm.mean,
        interval=found.interval,
        chance=found.p_better,
        together=together,
        shrunk=shrunk,
        needed=needed_size(confirm) if rule == "not shown" else None,
    )


def luck(contenders: int) -> float:
    """Standard errors by which the best of so many equal contenders looks better than it is (Blom 1958)."""
    return _NORMAL.inv_cdf((contenders - 0.375) / (contenders + 0.25)) if contenders > 1 else 0.0


def needed_size(gain: Gain) -> int | None:
    """Pairs with which a gain of this mean and spread reaches P(better) of 0.9; None where there is no gain."""
    if gain.mean <= 0 or gain.n < 2:
        return None
    spread = gain.deviation * math.sqrt(gain.n)
    return math.ceil((_NORMAL.inv_cdf(ALONE) * spread / gain.mean) ** 2)


def _together(*parts: tuple[float, float]) -> float:
    """P(mean > 0) of independent (mean, deviation) estimates of one quantity, weighted by precision."""
    weights = [1 / (deviation * deviation) for _, deviation in parts]
    mean = math.fsum(weight * value for weight, (value, _) in zip(weights, parts, strict=True)) / math.fsum(weights)
    return _NORMAL.cdf(mean * math.sqrt(math.fsum(weights)))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
