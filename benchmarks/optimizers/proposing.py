"""Plays the imperfect writer of instructions: it uses what the request shows, sometimes errs, and knows no framework.

A rule is found with a probability that grows with the shown cases that reveal it, and far more easily where a remark in
the request names it. Of what it finds it writes one to three pieces down. It drops misleading sentences when it sees
them contradicted, now and then loses a good one, and sometimes adds advice that is idle or does harm.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random

from benchmarks.optimizers.evidence import Evidence, seen
from benchmarks.optimizers.reading import Reading
from benchmarks.optimizers.words import sentences
from benchmarks.optimizers.worlds import Stage, Tip, World

FROM_CASE, FROM_REMARK, FROM_SEVERAL = 0.09, 0.5, 0.05
"""Chances that one case, one remark, or one case with several topics makes the writer see the rule."""
FROM_WRONG, SPURIOUS = 0.3, 0.05
CONTRADICTED, LOST = 0.3, 0.04
IDLE, BAD = 0.25, 0.1
CAPACITY = (1, 2, 2, 3)
_ABOUT_DATA = re.compile(r"observ|notice|data ?set|lesson|examples of", re.IGNORECASE)


def proposal(world: World, reading: Reading, repeat: int) -> Mapping[str, object]:
    """Values for the fields that a request asks for which is no question of a stage."""
    rng = Random(f"{world.key}/{repeat}/{reading.everything}")
    return {name: _value(world, reading, name.lower(), rng) for name in reading.fields}


def _value(world: World, reading: Reading, name: str, rng: Random) -> object:
    if "advice" in name and ("dict[" in reading.asked or "(JSON object, each value text)" in reading.system):
        return {item.name: _advice(world, reading, item, rng) for item in world.stages}
    stage = _meant(world, reading)
    if name == "text":
        # A request that names no field: about the data, or about something that needs no look at it.
        name = "observations" if _ABOUT_DATA.search(f"{reading.system} {reading.asked[:400]}") else "description"
    if any(part in name for part in ("advice", "lesson", "rule", "hint", "hypothes", "tip")):
        return _advice(world, reading, stage, rng)
    if any(part in name for part in ("observation", "summary", "insight")):
        return _observed(world, reading, stage, rng)
    if any(part in name for part in ("instruction", "prompt", "playbook")):
        return _instructions(world, reading, stage, rng)
    return "It is about tickets and the teams that answer them."


def _meant(world: World, reading: Reading) -> Stage:
    """The stage that a request is about: the one whose output and name it speaks of most, outside of the data."""
    text = reading.everything.lower()
    present = max(world.stages, key=lambda item: (item.instructions[:40].lower() in text, -world.stages.index(item)))
    head = f"{reading.system} {reading.asked[:600]} {reading.asked[-600:]}".lower()
    counts = {item: head.count(f"`{item.output}`") + 2 * head.count(f"-> {item.output}") for item in world.stages}
    best = max(world.stages, key=lambda item: counts[item])
    alone = [item for item in world.stages if item.instructions[:40].lower() in text]
    if len(alone) == 1:
        return alone[0]
    return best if counts[best] else present


def _instructions(world: World, reading: Reading, stage: Stage, rng: Random) -> str:
    evidence = seen(world, reading, stage, rng)
    present = evidence.present or stage.instructions
    kept: list[str] = []
    fresh = _found(world, stage, evidence, rng, world.given(present, stage))
    renewed = {tip.topic for tip in fresh}
    for sentence in sentences(present):
        tips = world.given(sentence, stage)
        if not any(_dropped(tip, evidence, renewed, rng) for tip in tips):
            kept.append(f"{sentence}.")
    return " ".join(dict.fromkeys([*kept, *(tip.text for tip in fresh)])) or stage.instructions


def _advice(world: World, reading: Reading, stage: Stage, rng: Random) -> str:
    """Only what is new, to be appended."""
    evidence = seen(world, reading, stage, rng)
    fresh = _found(world, stage, evidence, rng, world.given(evidence.present, stage))
    return " ".join(tip.text for tip in fresh) or "Take care."


def _observed(world: World, reading: Reading, stage: Stage, rng: Random) -> str:
    evidence = seen(world, reading, stage, rng)
    repeated = [tip for tip in sorted(evidence.named, key=lambda tip: tip.text) if rng.random() < 0.7]
    fresh = _found(world, stage, evidence, rng, frozenset())
    said = [tip.text for tip in dict.fromkeys([*repeated, *fresh]) if tip.kind in ("right", "wrong")]
    return " ".join(["These are tickets with the teams that answer them.", *said[:5]])


def _found(world: World, stage: Stage, evidence: Evidence, rng: Random, known: frozenset[Tip]) -> list[Tip]:
    """What is to be written down anew: at most the capacity, in an order of chance."""
    noticed: list[Tip] = []
    extra: list[Tip] = []
    for tip in world.tips:
        draw = rng.random()
        if tip.stage != stage.name or tip in known:
            continue
        if tip.kind in ("idle", "bad"):
            extra.append(tip)
        elif draw < _visible(tip, evidence):
            noticed.append(tip)
    rng.shuffle(noticed)
    taken: dict[str, Tip] = {}
    for tip in noticed:
        taken.setdefault(tip.topic, tip)
    written = list(taken.values())[: rng.choice(CAPACITY)]
    for kind, odds in (("idle", IDLE), ("bad", BAD)):
        there = [tip for tip in extra if tip.kind == kind]
        if there and rng.random() < odds:
            written.append(rng.choice(there))
    return written


def _visible(tip: Tip, evidence: Evidence) -> float:
    """The chance that the writer sees this piece of advice in what it is shown."""
    blind = (1 - FROM_REMARK) ** evidence.named.get(tip, 0)
    if tip.kind == "right":
        if tip.topic == "several":
            return 1 - blind * (1 - FROM_SEVERAL) ** evidence.several
        return 1 - blind * (1 - FROM_CASE) ** evidence.right.get(tip.topic, 0)
    shown = evidence.right.get(tip.topic, 0)
    mistaken = sum(
        count for (topic, answer), count in evidence.wrong.items() if topic == tip.topic and answer in tip.marks
    )
    hasty = SPURIOUS / 4 if 0 < shown < 3 else 0.0
    return 1 - blind * (1 - FROM_WRONG) ** mistaken * (1 - hasty)


def _dropped(tip: Tip, evidence: Evidence, renewed: set[str], rng: Random) -> bool:
    """Whether a sentence that gives this advice is left out of the new text."""
    if tip.kind in ("right", "idle"):
        return rng.random() < LOST
    if tip.kind == "bad":
        return rng.random() < 0.15
    seen_right = evidence.several if tip.topic == "several" else evidence.right.get(tip.topic, 0)
    return rng.random() < 1 - (1 - CONTRADICTED) ** seen_right * (0.3 if tip.topic in renewed else 1.0)
