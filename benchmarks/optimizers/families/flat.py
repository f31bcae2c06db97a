"""No headroom: whatever is changed is of no use or does a little harm, and the metric is noisy."""

from __future__ import annotations

from benchmarks.optimizers.families.rules import Rules
from benchmarks.optimizers.words import share
from benchmarks.optimizers.worlds import Case, Stage, View


class Flat(Rules):
    """A model that knows what it knows. Rules, advice and demonstrations distract it a little; half of the luck is
    drawn anew for every prompt, so that many edits look better than they are."""

    family = "flat"
    known = 6
    steady = (0.5, 0.3)
    named_feedback = False

    def setup(self) -> None:
        super().setup()
        plain = "Decide which team should answer the ticket."
        self.stages = (Stage("route", ("ticket",), "team", self.teams, plain),)

    def chance(self, view: View, case: Case, upstream: bool = True) -> float:
        draw = share(self.key, case.code, "level")
        level = 0.08 if draw < 0.15 else 0.94 if draw < 0.4 else 0.45 + 0.45 * share(self.key, case.code, "within")
        harm = sum({"right": 0.004, "idle": 0.002, "wrong": 0.02, "bad": 0.03}[tip.kind] for tip in view.tips)
        return level - min(0.25, harm + 0.003 * len(view.demos))

    def best(self) -> float:
        """The seed program's own."""
        return self.score([self.bare(self.stages[0])])
