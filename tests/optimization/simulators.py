"""Models of known skill: functions of the prompt whose answers, and whose best prompt, are known beforehand."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Literal
from zlib import crc32

from dspex.adapters import ADAPTERS
from dspex.clients.scripted import ScriptedLM
from dspex.evaluation.dataset import Dataset
from dspex.kernel.ports import LM, Request, Runtime
from dspex.kernel.program import Program, Step
from dspex.kernel.signature import Example, Input, Output, Signature
from dspex.modules.prediction import predict
from dspex.modules.registry import builtin_registry

LABELS = ("red", "green", "blue")
HINT = "look at the second letter"
"""What instructions must say for the simulated model to do well."""


class Colour(Signature):
    """Name the colour."""

    text: str = Input()
    label: Literal["red", "green", "blue"] = Output()


def gold(text: str) -> str:
    """The right label of a text."""
    return LABELS[crc32(text.encode()) % 3]


def rows(count: int, start: int = 0) -> Dataset:
    """Labelled texts, all different."""
    texts = [f"sample {number} weighs {number * 7 % 13} grams" for number in range(start, start + count)]
    return Dataset.of({"text": text, "label": gold(text)} for text in texts)


def share(*parts: object) -> float:
    """A number in 0..1 that looks random and is a function of `parts`."""
    return crc32("/".join(map(str, parts)).encode()) / 2**32


def text_in(request: Request) -> str:
    """The text that a request asks about: the last that is shown."""
    return list(re.finditer(r"sample \d+ weighs \d+ grams", request.messages[-1]["content"]))[-1].group()


def guidance(request: Request) -> str:
    """What the request says before anything is shown."""
    return request.messages[0]["content"]


def is_proposal(request: Request) -> bool:
    """Whether instructions are asked for rather than a label."""
    return "<instructions>" in request.messages[-1]["content"]


def answered(text: str, right: bool) -> str:
    """An answer in the chat adapter's form."""
    label = gold(text)
    return f"[[label]]\n{label if right else LABELS[(LABELS.index(label) + 1) % 3]}\n\n[[end]]"


def hinted(request: Request) -> str:
    """Right 45 times of 100, and 90 with the hint; asked for instructions, it finds the hint half of the time."""
    if is_proposal(request):
        found = share(request.messages[-1]["content"], request.sample) < 0.5
        return f"<instructions>Name the colour{': ' + HINT if found else ', as well as you can'}.</instructions>"
    text = text_in(request)
    return answered(text, share(text) < (0.9 if HINT in guidance(request) else 0.45))


def careless(request: Request) -> str:
    """A model that is right 60 times of 100 whatever it is told, by a new draw for every prompt."""
    if is_proposal(request):
        return f"<instructions>Name the colour, version {share(request.messages[-1]['content'])}.</instructions>"
    text = text_in(request)
    return answered(text, share(text, guidance(request), len(request.messages), dict(request.settings)) < 0.6)


def cool(request: Request) -> str:
    """A model whose answers are the better the nearer the temperature is to 0.3."""
    text = text_in(request)
    off = abs(float(request.settings.get("temperature", 1.0)) - 0.3)
    return answered(text, share(text) < 0.95 - 0.7 * off)


def counted(function: Callable[[Request], str]) -> tuple[Callable[[Request], str], list[Request]]:
    """The same model, and the list of every request it has answered."""
    seen: list[Request] = []

    def counting(request: Request) -> str:
        seen.append(request)
        return function(request)

    return counting, seen


def runtime(model: Callable[[Request], str] | LM) -> Runtime:
    """A runtime around a function as a model, or around any model."""
    lm = model if isinstance(model, LM) else ScriptedLM(model)
    return Runtime(lm=lm, model="scripted/colours", adapters=ADAPTERS, modules=builtin_registry())


def program(step: Step | None = None, **options: object) -> Program:
    """One `predict` step named `label`."""
    return Program(name="colours", pipeline=(step or predict(Colour, name="label", **options),))


def splits(train: int = 40, val: int = 48, confirm: int = 48) -> tuple[Sequence[Example], ...]:
    """Disjoint train, val and confirm."""
    return rows(train), rows(val, 1000), rows(confirm, 2000)


CLUE, RULE = "say the first letter", "trust the clue"
"""What the instructions of the two steps of `relay` must say for the simulated model to do well."""


class Clue(Signature):
    """Say which clue the text holds."""

    text: str = Input()
    clue: str = Output()


class Verdict(Signature):
    """Name the colour."""

    text: str = Input()
    clue: str = Input()
    label: Literal["red", "green", "blue"] = Output()


def relay(**options: object) -> Program:
    """Two steps, `clue` and `label`: the second needs the first."""
    steps = (predict(Clue, name="clue", **options), predict(Verdict, name="label", **options))
    return Program(name="relay", pipeline=steps)


def relayed(request: Request) -> str:
    """Even samples need CLUE in the first step's instructions, odd ones RULE in the second's; without, 30 of 100 even
    ones come out right, and 50 of 100 odd ones as long as CLUE is not said. Asked for instructions, it finds half of
    the time what the step's must say."""
    text = request.messages[-1]["content"]
    if is_proposal(request):
        found = share(text, request.sample) < 0.5
        step = "clue" if "answer with `clue`" in guidance(request) else "label"
        said = (CLUE if step == "clue" else RULE) if found else f"try {share(text, request.sample):.3f}"
        return f"<instructions>Do it: {said}.</instructions>"
    case = text_in(request)
    if "[[label]]" not in text:
        return f"[[clue]]\n{'good' if CLUE in guidance(request) else 'poor'} clue\n\n[[end]]"
    even = int(case.split()[1]) % 2 == 0
    good, ruled = "good clue" in text, RULE in guidance(request)
    return answered(case, good or share(case) < 0.3 if even else ruled or (share(case) < 0.5 and not good))


def asks_advice(request: Request) -> bool:
    """Whether advice for modules is asked for rather than a label."""
    return "module_advice" in request.messages[-1]["content"]


def wavering(request: Request) -> str:
    """Right 40 times of 100, and 15 more for each demonstration (two count), 30 more with the hint; a new draw for each
    sample at temperature 1. Asked for advice, it finds the hint half of the time."""
    asked = request.messages[-1]["content"]
    if asks_advice(request):
        found = share(asked, request.sample) < 0.5
        advice = {"label": HINT if found else f"Take care, {share(asked):.3f}.", "elsewhere": "Nothing."}
        return json.dumps({"discussion": "The better run was right.", "module_advice": advice})
    shown = min(2, sum(message["role"] == "assistant" for message in request.messages))
    skill = 0.4 + 0.15 * shown + 0.3 * (HINT in guidance(request))
    text = text_in(request)
    hot = float(request.settings.get("temperature", 0.0)) == 1.0
    return answered(text, share(text, request.sample if hot else "cold") < skill)


def versed(request: Request) -> str:
    """A model for every strategy: it writes whatever a proposer asks for, half of the time with the hint, and answers
    the better for the hint and for demonstrations, the worse the hotter it is, by a new draw for each sample."""
    asked = request.messages[-1]["content"]
    number = share(*(item["content"] for item in request.messages), request.sample)
    said = f"{HINT}, {number:.3f}" if number < 0.5 else f"take care, {number:.3f}"
    if asks_advice(request):
        return json.dumps({"discussion": "The better run was right.", "module_advice": {"label": said}})
    for tag, text in (("hypotheses", f"missing rule: {said}\nform: {number:.5f}"), ("rules", f"- [1] {said}")):
        if f"<{tag}>" in asked:
            return f"<{tag}>{text}</{tag}>"
    if is_proposal(request):
        return f"<instructions>Name the colour: {said}.</instructions>"
    if "[[label]]" not in guidance(request):
        return f"Short texts about samples, {number:.3f}."
    skill = 0.35 + 0.3 * (HINT in guidance(request)) + 0.15 * (len(request.messages) > 2)
    skill -= 0.2 * float(request.settings.get("temperature", 0.0))
    text = text_in(request)
    return answered(text, share(text, request.model, request.sample) < skill)
