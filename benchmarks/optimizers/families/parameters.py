"""Parameters and adapters: a ridge, thresholds and a form that suits, each depending on the others."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from benchmarks.optimizers.worlds import Case, Stage, View, World

FORMS = ("sections", "json", "xml")
"""As the chat, json and xml adapters ask."""
START: Mapping[str, Any] = {"temperature": 1.0, "top_p": 1.0, "max_tokens": 96, "presence_penalty": 0.0}


class Parameters(World):
    """Temperature and top_p act through their product, which has an optimum of its own in each world.

    JSON falls apart when it is hot; XML needs more tokens; too few tokens cut answers off and far too many ramble; the
    best penalty depends on how hot it is. Hard cases feel the heat, easy ones the lack of tokens.
    """

    family = "parameters"
    shared = False

    def setup(self) -> None:
        rng = self.rng
        forms = rng.sample(FORMS, len(FORMS))
        self.suits: dict[str, float] = dict(zip(forms, (1.0, 0.92, 0.84), strict=True))
        self.heat = rng.uniform(0.08, 0.36) if forms[0] == "json" else rng.uniform(0.2, 0.75)
        self.need = rng.choice((120, 160, 200))
        self.lean = rng.choice((-0.6, -0.3, 0.3, 0.6))
        self.start = forms[-1]
        self.stages = (Stage("route", ("ticket",), "team", self.teams, "Decide which team should answer the ticket."),)
        self.tips = ()

    def draw(self, rng: Random) -> tuple[tuple[str, ...], Mapping[str, str]]:
        return (rng.choice(self.topics),), {"team": rng.choice(self.teams)}

    def broken(self, tip: Any, case: Case) -> bool:
        return False

    def bare(self, stage: Stage, **changes: Any) -> View:
        return super().bare(stage, **{"settings": START, "form": self.start, **changes})

    def chance(self, view: View, case: Case, upstream: bool = True) -> float:
        given = {**START, **{name: value for name, value in view.settings.items() if name in START}}
        tokens = view.settings.get("max_completion_tokens", given["max_tokens"])
        hot = float(given["temperature"]) * float(given["top_p"])
        warmth = 1 - 0.45 * min(1.0, ((hot - self.heat) / 0.3) ** 2)
        if hot > 1.1 or (view.form == "json" and hot > 0.42):
            warmth *= 0.7
        need = self.need * (1.5 if view.form == "xml" else 1.0)
        room = 0.4 + 0.6 * (tokens / need) ** 2 if tokens < need else 1.0
        if tokens > 2 * need:
            room = max(0.75, 1.1 - 0.05 * tokens / need)
        lean = self.lean if hot < 0.5 else -self.lean
        penalty = 1 - 0.25 * min(1.0, abs(float(given["presence_penalty"]) - lean)) ** 2
        if case.hard > 0.45:
            room = 1 - (1 - room) * 0.5
        else:
            warmth = 1 - (1 - warmth) * 0.5
        return 0.95 * self.suits.get(view.form, 0.84) * warmth * room * penalty * (1 - 0.1 * case.hard)

    def best(self) -> float:
        """Where every part is at its best at once, which is possible by construction."""
        form = max(self.suits, key=lambda item: self.suits[item])
        need = self.need * (1.5 if form == "xml" else 1.0)
        lean = self.lean if self.heat < 0.5 else -self.lean
        settings = {"temperature": self.heat, "top_p": 1.0, "max_tokens": int(need * 1.5), "presence_penalty": lean}
        return self.score([self.bare(self.stages[0], form=form, settings=settings)])
