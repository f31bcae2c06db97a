"""Demonstrations: right, relevant and diverse ones help, wrong or one-sided ones do harm, and advice does little."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from benchmarks.optimizers.worlds import Case, Stage, Tip, View, World

KINDS = 6
ROOM = 8
"""Demonstrations that the model takes in; more of them only tire it."""


class Demonstrations(World):
    """Cases are of six kinds that lie on a ring, and which team a kind belongs to cannot be said in a rule.

    A right demonstration of the same kind helps much, of a neighbouring kind a little; a second one adds hardly
    anything. From three kinds on the model sees what is wanted. Demonstrations that mostly give one team draw answers
    there. A tenth of the train labels are wrong, and such a demonstration misleads.
    """

    family = "demonstrations"
    label_noise = 0.12

    def setup(self) -> None:
        rng = self.rng
        self.ring = tuple(self.topics[2 * place : 2 * place + 2] for place in range(KINDS))
        self.owner = [self.teams[place % len(self.teams)] for place in rng.sample(range(KINDS), KINDS)]
        self.easy = [rng.choice((0.25, 0.35, 0.45, 0.6)) for _ in range(KINDS)]
        self.kind = {topic: place for place, topics in enumerate(self.ring) for topic in topics}
        self.stages = (Stage("route", ("ticket",), "team", self.teams, "Decide which team should answer the ticket."),)
        self.compare = Tip(
            "Compare the ticket with the examples.", frozenset({"compare", "examples"}), "route", "right", "compare"
        )
        self.guess = Tip(
            "Trust your own judgement alone.", frozenset({"trust", "own", "judgement"}), "route", "bad", "guess"
        )
        idle = [
            Tip("Read the whole ticket first.", frozenset({"whole", "ticket", "first"}), "route", "idle"),
            Tip("Mind the tone of the ticket.", frozenset({"tone", "ticket"}), "route", "idle"),
        ]
        self.tips = (self.compare, self.guess, *idle)

    def draw(self, rng: Random) -> tuple[tuple[str, ...], Mapping[str, str]]:
        kind = rng.randrange(KINDS)
        return (rng.choice(self.ring[kind]),), {"team": self.owner[kind]}

    def broken(self, tip: Tip, case: Case) -> bool:
        return False

    def chance(self, view: View, case: Case, upstream: bool = True) -> float:
        kind = self.kind[case.topics[0]]
        shown = [(self.kind[self.cases[name].topics[0]], answer) for name, answer in view.demos if name in self.cases]
        taken = shown[-ROOM:]
        same = [answer == self.owner[kind] for place, answer in taken if place == kind]
        near = any((place - kind) % KINDS in (1, KINDS - 1) and answer == self.owner[place] for place, answer in taken)
        found = self.easy[kind]
        if True in same:
            found += (0.92 - found) * (0.75 + 0.08 * min(2, same.count(True) - 1))
        elif near:
            found += 0.08
        found -= 0.3 * (same.count(False) > 0) * (0.5 if True in same else 1.0)
        kinds = {place for place, answer in taken if answer == self.owner[place]}
        if len(kinds) >= 3:
            found += 0.07 + (0.03 if self.compare in view.tips else 0.0)
        if self.guess in view.tips and shown:
            found -= 0.12
        return (found - self._drawn(taken, case) - 0.015 * max(0, len(shown) - ROOM)) * (1 - 0.1 * case.hard)

    @staticmethod
    def _drawn(taken: list[tuple[int, str]], case: Case) -> float:
        """What one-sided demonstrations cost the cases of other teams."""
        if len(taken) < 3:
            return 0.0
        answers = [answer for _, answer in taken]
        most = max(set(answers), key=answers.count)
        much = answers.count(most) / len(answers)
        return 0.25 * max(0.0, much - 0.4) if case.truth["team"] != most else 0.0

    def best(self) -> float:
        """One right demonstration of each kind, and further ones where they add most; with the advice to compare."""
        pool = {place: [c for c in self.splits["train"] if self.kind[c.topics[0]] == place] for place in range(KINDS)}
        shown = [(items[0].code, self.owner[place]) for place, items in pool.items() if items]
        tips = frozenset({self.compare})
        found = self.score([self.bare(self.stages[0], tips=tips, demos=tuple(shown))])
        while len(shown) < ROOM:
            more = [
                [*shown, (item.code, self.owner[place])] for place, items in pool.items() for item in items[1:2]
                if (item.code, self.owner[place]) not in shown
            ]  # fmt: skip
            scored = [(self.score([self.bare(self.stages[0], tips=tips, demos=tuple(demos))]), demos) for demos in more]
            if not scored or max(scored)[0] <= found:
                break
            found, shown = max(scored)
        return found
