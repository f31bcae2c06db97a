"""Instructions as rules: some help, some do harm, the seed's mislead, and too many or the wrong ones together fail."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from benchmarks.optimizers.worlds import Case, Stage, Tip, View, World

ROOM = 9
"""Rules that the model keeps in mind; with more it begins to overlook some."""


def rule(topic: str, team: str) -> str:
    """A rule in words."""
    return f"A ticket about the {topic} belongs to {team}."


class Rules(World):
    """Each topic belongs to a team. The model knows some topics, and two that the seed's instructions get wrong.

    A ticket with two topics goes by the last one: that must be said, and helps only where both topics' rules are
    there, and does harm where they are not. "Answer at once" makes the model skip rules as soon as there are three.
    """

    family = "rules"
    known = 8

    def setup(self) -> None:
        rng = self.rng
        self.owner = {topic: rng.choice(self.teams) for topic in self.topics[: self.known]}
        self.base = {topic: rng.choice((0.25, 0.4, 0.5, 0.65, 0.85)) for topic in self.owner}
        misled = list(self.owner)[:2]
        wrong = {topic: rng.choice([team for team in self.teams if team != self.owner[topic]]) for topic in misled}
        for topic in misled:
            self.base[topic] = 0.6
        said = " ".join(rule(topic, team) for topic, team in wrong.items())
        self.stages = (
            Stage("route", ("ticket",), "team", self.teams, f"Decide which team should answer the ticket. {said}"),
        )
        self.doubt = rng.choice(self.teams)
        self.last = Tip(
            "Where a ticket has several topics, the last topic decides.", frozenset({"last", "topic", "decides"}),
            "route", "right", "several",
        )  # fmt: skip
        self.hasty = Tip("Answer at once.", frozenset({"answer", "at", "once"}), "route", "bad", "hasty")
        self.doubtful = Tip(f"In doubt answer {self.doubt}.", frozenset({"doubt", self.doubt}), "route", "bad", "doubt")
        self.right = {
            topic: Tip(rule(topic, team), frozenset({topic, team}), "route", "right", topic)
            for topic, team in self.owner.items()
        }
        self.wrong = {
            topic: [
                Tip(rule(topic, team), frozenset({topic, team}), "route", "wrong", topic)
                for team in self.teams if team != self.owner[topic]
            ] for topic in self.owner
        }  # fmt: skip
        idle = Tip("Read the whole ticket first.", frozenset({"whole", "ticket", "first"}), "route", "idle")
        kind = Tip("Mind the tone of the ticket.", frozenset({"tone", "ticket"}), "route", "idle")
        wrongs = [tip for tips in self.wrong.values() for tip in tips]
        self.tips = (*self.right.values(), self.last, *wrongs, self.hasty, self.doubtful, idle, kind)

    def draw(self, rng: Random) -> tuple[tuple[str, ...], Mapping[str, str]]:
        topics = list(self.owner)
        # The first topics are frequent, the last are rare: a long tail that small samples do not show.
        weights = [1 / (1 + 0.35 * place) for place in range(len(topics))]
        count = 2 if rng.random() < 0.25 else 1
        chosen = tuple(dict.fromkeys(rng.choices(topics, weights, k=count)))
        return chosen, {"team": self.owner[chosen[-1]]}

    def chance(self, view: View, case: Case, upstream: bool = True) -> float:
        rules = [tip for tip in view.tips if tip.kind in ("right", "wrong")]
        attention = max(0.35, 1 - 0.12 * max(0, len(rules) - ROOM)) * (0.85 if view.length > 4000 else 1.0)
        if self.hasty in view.tips and len(rules) >= 3:
            attention *= 0.6
        told = [self._told(view, topic) for topic in case.topics]
        base = [self.prior(view, topic) for topic in case.topics]
        if len(case.topics) == 1:
            found = self._blend(base[0], told[0], attention)
        elif self.last in view.tips:
            # Knowing that the last decides is of use only to who knows whose both topics are.
            both = None not in told
            found = self._blend(base[-1], told[-1], attention) if both else 0.2
        else:
            found = 0.35 if self.owner[case.topics[0]] != self.owner[case.topics[-1]] else max(base)
        if self.doubtful in view.tips and None in told:
            found *= 1.05 if case.truth["team"] == self.doubt else 0.6
        return found * (1 - 0.12 * case.hard)

    def prior(self, view: View, topic: str) -> float:
        """What the model knows of a topic by itself."""
        return self.base[topic]

    def _told(self, view: View, topic: str) -> float | None:
        """How sure the prompt makes of this topic's team; None where it says nothing of it."""
        right = self.right[topic] in view.tips
        wrong = any(tip in view.tips for tip in self.wrong[topic])
        if right or wrong:
            return 0.96 if not wrong else 0.5 if right else 0.12
        shown = [answer == self.owner[topic] for name, answer in view.demos if self._last_topic(name) == topic]
        if not shown:
            return None
        # A demonstration is a weaker hint than a rule, and a wrong one misleads.
        return 0.8 - 0.6 * (shown.count(False) / len(shown))

    def _last_topic(self, name: str) -> str:
        case = self.cases.get(name)
        return case.topics[-1] if case is not None else ""

    @staticmethod
    def _blend(base: float, told: float | None, attention: float) -> float:
        return base if told is None else attention * told + (1 - attention) * base

    def broken(self, tip: Tip, case: Case) -> bool:
        if tip is self.last:
            return len(case.topics) > 1 and self.owner[case.topics[0]] != self.owner[case.topics[-1]]
        return tip.topic == case.topics[-1]

    def best(self) -> float:
        """All right rules, that the last decides, and nothing else: nine rules, as many as there is room for."""
        return self.score([self.bare(self.stages[0], tips=self.whole)])

    @property
    def whole(self) -> frozenset[Tip]:
        """All the advice that helps."""
        return frozenset({*self.right.values(), self.last})


class Inferred(Rules):
    """The same, but the metric says only what was expected: which rule was broken must be inferred."""

    family = "inferred"
    known = 7
    named_feedback = False
