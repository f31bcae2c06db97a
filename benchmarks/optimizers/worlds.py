"""What a simulated world is: cases, stages, advice that can be given, and the chance of a right answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random
from typing import Any, Literal

from benchmarks.optimizers.reading import Reading
from benchmarks.optimizers.words import TEAMS, TOPICS, code, sentences, share, ticket, words

Split = Literal["train", "val", "test"]
SIZES: Mapping[Split, int] = {"train": 60, "val": 100, "test": 400}
"""`test` is what true scores are computed on, without noise; no optimizer sees it."""


@dataclass(frozen=True, slots=True)
class Case:
    """One ticket, and what is true of it."""

    code: str
    text: str
    truth: Mapping[str, str]
    """The right answer of each stage, by its output."""
    label: Mapping[str, str]
    """What the data says: the truth, unless labels are noisy."""
    topics: tuple[str, ...]
    hard: float
    """0..1."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the program: a question, its answers, and the instructions it starts with."""

    name: str
    inputs: tuple[str, ...]
    output: str
    answers: tuple[str, ...]
    instructions: str


@dataclass(frozen=True, slots=True)
class Tip:
    """A piece of advice: its wording, and the words that one sentence must have for the advice to be given."""

    text: str
    marks: frozenset[str]
    stage: str
    kind: Literal["right", "wrong", "idle", "bad"]
    """`idle` changes nothing; `wrong` contradicts the data, `bad` is general and does harm."""
    topic: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """What a prompt tells the model, whatever the framework: the part of it that decides how good the answer is."""

    stage: Stage
    tips: frozenset[Tip]
    demos: tuple[tuple[str, str], ...] = ()
    """(code of the case, the answer shown)."""
    length: int = 0
    """Characters before the first demonstration."""
    model: str = "small"
    form: str = "sections"
    reasons: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tokens: int = 200
    """Of the whole request."""


class World:
    """A family's task for one seed. Subclasses say what there is to advise and how it acts."""

    family = ""
    models: Mapping[str, tuple[float, float]] = {"small": (0.2, 0.8)}
    """Dollars for a million tokens of input and output, by name; the first is the default."""
    shared = True
    """Whether the peers' programs have all that may vary here: instructions and demonstrations, nothing else."""
    named_feedback = True
    """Whether the metric's remarks name the rule that was broken, or only what was expected."""
    label_noise = 0.0
    """Share of train labels that are wrong."""
    steady = (0.7, 0.4)
    """Share of cases whose luck is the same for every prompt, at temperature 0 and at 1: others flip by themselves."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.key = f"{self.family}/{seed}"
        self.rng = Random(f"world/{self.key}")
        self.topics = tuple(self.rng.sample(TOPICS, 12))
        self.teams = tuple(self.rng.sample(TEAMS, 5))
        self.setup()
        self.splits: dict[Split, tuple[Case, ...]] = {
            split: tuple(self.case(split, number) for number in range(size)) for split, size in SIZES.items()
        }
        self.cases = {item.code: item for split in self.splits.values() for item in split}

    # What a family says.

    stages: tuple[Stage, ...]
    tips: tuple[Tip, ...]

    def setup(self) -> None:
        """Draw the latent structure from `self.rng`: sets `stages` and `tips`."""
        raise NotImplementedError

    def chance(self, view: View, case: Case, upstream: bool = True) -> float:
        """Probability of a right answer in this stage; `upstream`: whether what earlier stages gave was right."""
        raise NotImplementedError

    def best(self) -> float:
        """The true score of the best program there is in the space that ours and the peers' programs share."""
        raise NotImplementedError

    def draw(self, rng: Random) -> tuple[tuple[str, ...], Mapping[str, str]]:
        """Topics and truth of a new case."""
        raise NotImplementedError

    def mistaken(self, view: View, case: Case, draw: float) -> str:
        """What is answered where the answer is wrong."""
        misled = [tip for tip in sorted(view.tips, key=lambda tip: tip.text) if tip.kind == "wrong"]
        right = case.truth[view.stage.output]
        for tip in misled:
            named = [answer for answer in view.stage.answers if answer in tip.marks and answer != right]
            if tip.topic in case.topics and named:
                return named[0]
        others = [answer for answer in view.stage.answers if answer != right]
        return others[int(draw * len(others)) % len(others)]

    def feedback(self, case: Case, given: Mapping[str, object]) -> str:
        """What the metric remarks on an answer that is not right; all frameworks hear the same."""
        final = self.stages[-1].output
        expected, got = case.label[final], given.get(final)
        said = f"Expected {expected!r}, got {got!r}."
        if not self.named_feedback:
            return said
        told = [tip.text for tip in self.tips if tip.kind == "right" and self.broken(tip, case)]
        return " ".join([said, *told[:1]])

    def broken(self, tip: Tip, case: Case) -> bool:
        """Whether a wrong answer on this case is what the tip would have prevented."""
        return tip.topic in case.topics

    def shows(self, case: Case, stage: Stage) -> tuple[str, ...]:
        """What a case with its right answer tells a writer of this stage's instructions of; the last counts."""
        return case.topics

    # What is the same for all.

    def case(self, split: Split, number: int) -> Case:
        rng = Random(f"{self.key}/{split}/{number}")
        topics, truth = self.draw(rng)
        name = code(self.key, split, number)
        text = ticket(name, topics, rng)
        label = dict(truth)
        if split == "train" and rng.random() < self.label_noise:
            final = self.stages[-1]
            label[final.output] = rng.choice([item for item in final.answers if item != truth[final.output]])
        return Case(name, text, truth, label, topics, rng.random())

    def stage_of(self, reading: Reading) -> Stage | None:
        """The stage that a request is a question of; None where it asks for something else, such as instructions."""
        if reading.case not in self.cases:
            return None
        return next((item for item in self.stages if item.output in reading.fields), None)

    def view(self, reading: Reading, stage: Stage) -> View:
        """What the prompt tells."""
        demos = tuple((item.case, answer) for item in reading.demos if (answer := _last(item.answer, stage)))
        return View(
            stage, self.given(reading.system, stage), demos, len(reading.system), reading.model.rpartition("/")[2],
            "sections" if reading.form == "marked" else reading.form, "reasoning" in reading.fields, reading.settings,
            len(reading.everything) // 4,
        )  # fmt: skip

    def given(self, text: str, stage: Stage | None = None) -> frozenset[Tip]:
        """The advice that a text gives, each piece in a sentence of its own."""
        found: set[Tip] = set()
        for sentence in sentences(text):
            there = words(sentence)
            found.update(tip for tip in self._marked(there) if stage is None or tip.stage == stage.name)
        return frozenset(found)

    def _marked(self, there: frozenset[str]) -> list[Tip]:
        return [tip for mark in there & self._by_mark.keys() for tip in self._by_mark[mark] if tip.marks <= there]

    @cached_property
    def _by_mark(self) -> Mapping[str, tuple[Tip, ...]]:
        """Tips by one of their marks, the rarest, so that a sentence is compared with few."""
        counts: dict[str, int] = {}
        for tip in self.tips:
            for mark in tip.marks:
                counts[mark] = counts.get(mark, 0) + 1
        found: dict[str, list[Tip]] = {}
        for tip in self.tips:
            found.setdefault(min(sorted(tip.marks), key=lambda mark: counts[mark]), []).append(tip)
        return {mark: tuple(tips) for mark, tips in found.items()}

    def upstream(self, reading: Reading, stage: Stage, case: Case) -> bool:
        """Whether the earlier stages' outputs that the request shows are right."""
        shown = reading.asked.rpartition(f"case {case.code}")[2].replace(case.text.partition(": ")[2], "")
        earlier = [item for item in self.stages[: self.stages.index(stage)] if item.output in stage.inputs]
        around = words(reading.asked.rpartition(f"case {case.code}")[0][-400:]) | words(shown)
        return all(case.truth[item.output] in around for item in earlier)

    def settled(self, view: View, case: Case, upstream: bool) -> float:
        """The chance of a right answer, with what holds in every family: a case that is its own demonstration."""
        for shown, answer in view.demos:
            if shown == case.code:
                return 0.97 if answer == case.truth[view.stage.output] else 0.1
        return min(0.98, max(0.02, self.chance(view, case, upstream)))

    def luck(self, prompt: str, case: Case, view: View, repeat: int) -> float:
        """What the chance is compared with: the same for equal requests; for steady cases the same for all prompts."""
        cold, hot = self.steady
        temperature = min(1.0, max(0.0, float(view.settings.get("temperature") or 0.0)))
        if share(self.key, case.code, view.stage.name, "steady") < cold + (hot - cold) * temperature:
            return share(self.key, case.code, view.stage.name, "luck")
        return share(self.key, case.code, prompt, repeat, "luck")

    def score(self, views: Sequence[View]) -> float:
        """The true score of a program whose stages prompt so: its expectation over the test cases, without noise."""
        total = 0.0
        for case in self.splits["test"]:
            right = 1.0
            for view in views:
                whole, spoilt = (self.settled(view, case, upstream) for upstream in (True, False))
                right = right * whole + (1 - right) * (spoilt if len(self.stages) > 1 else whole)
            total += right
        return self.worth(total / len(self.splits["test"]), views)

    def worth(self, right: float, views: Sequence[View]) -> float:
        """What so large a share of right answers is worth to the metric, given what the prompts cost."""
        return right

    def bare(self, stage: Stage, **changes: Any) -> View:
        """The view of a prompt that says no more than the stage's own instructions."""
        tips = self.given(stage.instructions, stage)
        return replace(View(stage, tips, length=600, model=next(iter(self.models))), **changes)


def _last(answer: str, stage: Stage) -> str | None:
    """The answer of a stage that a text gives: the one named last, since reasoning comes before it."""
    low = answer.lower()
    places = [(low.rfind(item), item) for item in stage.answers if item in low]
    return max(places)[1] if places else None
