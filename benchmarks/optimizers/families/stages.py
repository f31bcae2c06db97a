"""Two stages: what the first gets wrong the second seldom mends, and only the end is labelled."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from benchmarks.optimizers.families.rules import rule
from benchmarks.optimizers.worlds import Case, Stage, Tip, View, World

KINDS = 6


def noted(topic: str) -> str:
    """A rule of the first stage in words."""
    return f"Speak of the {topic} only when it is what fails."


class Stages(World):
    """First the topic is found, then the team of that topic. Each stage has rules of its own, in its own instructions.

    A rule given to the wrong stage does nothing, and one given to both confuses. With the wrong topic the second stage
    is right by luck only, so that its rules are of little use until the first stage is good.
    """

    family = "stages"

    def setup(self) -> None:
        rng = self.rng
        self.owner = {topic: rng.choice(self.teams) for topic in self.topics[:KINDS]}
        self.sees = {topic: rng.choice((0.35, 0.5, 0.65, 0.9)) for topic in self.owner}
        self.base = {topic: rng.choice((0.3, 0.45, 0.6, 0.85)) for topic in self.owner}
        first, *_ = self.owner
        misled = rng.choice([team for team in self.teams if team != self.owner[first]])
        self.stages = (
            Stage("extract", ("ticket",), "topic", tuple(self.owner), "Say what the ticket is about."),
            Stage(
                "decide", ("ticket", "topic"), "team", self.teams,
                f"Decide which team should answer, given the topic. {rule(first, misled)}",
            ),
        )  # fmt: skip
        self.first = {
            topic: Tip(noted(topic), frozenset({"speak", topic, "fails"}), "extract", "right", topic)
            for topic in self.owner
        }
        self.second = {
            topic: Tip(rule(topic, team), frozenset({topic, team}), "decide", "right", topic)
            for topic, team in self.owner.items()
        }
        wrong = [
            Tip(rule(topic, team), frozenset({topic, team}), "decide", "wrong", topic)
            for topic in self.owner for team in self.teams if team != self.owner[topic]
        ]  # fmt: skip
        extras = [
            Tip("Read the whole ticket first.", frozenset({"whole", "ticket", "first"}), name, "idle")
            for name in ("extract", "decide")
        ]
        hasty = [
            Tip("Answer at once.", frozenset({"answer", "at", "once"}), name, "bad") for name in ("extract", "decide")
        ]
        self.tips = (*self.first.values(), *self.second.values(), *wrong, *extras, *hasty)

    def draw(self, rng: Random) -> tuple[tuple[str, ...], Mapping[str, str]]:
        topics = list(self.owner)
        topic = rng.choices(topics, [1 / (1 + 0.3 * place) for place in range(len(topics))])[0]
        return (topic,), {"topic": topic, "team": self.owner[topic]}

    def chance(self, view: View, case: Case, upstream: bool = True) -> float:
        topic, first = case.topics[0], view.stage.output == "topic"
        own = self.first if first else self.second
        told = own[topic] in view.tips
        wrong = any(tip.kind == "wrong" and tip.topic == topic for tip in view.tips)
        found = self.sees[topic] if first else self.base[topic]
        shown = [answer == case.truth[view.stage.output] for name, answer in view.demos if self._topic(name) == topic]
        if told or wrong:
            found = (0.5 if wrong else 0.96) if told else 0.12
        elif shown:
            found = max(found, 0.82) - 0.6 * shown.count(False) / len(shown)
        if any(tip.kind == "bad" for tip in view.tips):
            found *= 0.85
        rules = sum(tip.kind in ("right", "wrong") for tip in view.tips)
        found *= 1 - 0.05 * max(0, rules - KINDS - 1)
        if not first and not upstream:
            found = 0.12 + 0.1 * (not told)
        return found * (1 - 0.1 * case.hard)

    def _topic(self, name: str) -> str:
        case = self.cases.get(name)
        return case.topics[0] if case is not None else ""

    def feedback(self, case: Case, given: Mapping[str, object]) -> str:
        """The remark names the stage that failed, as a metric with a look at the intermediate result can."""
        topic = case.topics[0]
        said = f"Expected {case.label['team']!r}, got {given.get('team')!r}."
        if given.get("topic") not in (None, topic):
            return f"{said} The topic was wrong. {self.first[topic].text}"
        return f"{said} {self.second[topic].text}"

    def best(self) -> float:
        """All rules, each in its stage."""
        extract, decide = self.stages
        views = [
            self.bare(extract, tips=frozenset(self.first.values())),
            self.bare(decide, tips=frozenset(self.second.values())),
        ]
        return self.score(views)
