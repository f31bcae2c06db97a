"""The choice of model and of reasoning first, with instructions: which is best depends on the other two."""

from __future__ import annotations

from typing import Any

from benchmarks.optimizers.families.rules import Rules
from benchmarks.optimizers.worlds import Case, View

MODELS = {"small": (0.1, 0.4), "medium": (0.5, 2.0), "large": (2.0, 8.0), "peculiar": (0.8, 3.2)}


class Models(Rules):
    """Four models. The small one gains by reasoning, the large one thinks itself out of it once it is told rules.

    The peculiar one is the worst of all by itself, and the best in most worlds with rules and reasoning together.
    """

    family = "models"
    known = 5
    models = MODELS
    shared = False

    def setup(self) -> None:
        super().setup()
        rng = self.rng
        self.knows = {
            "small": 0.0, "medium": rng.uniform(0.1, 0.3), "large": rng.uniform(0.35, 0.55), "peculiar": -0.25,
        }  # fmt: skip
        self.thinks = {
            "small": rng.uniform(0.1, 0.25), "medium": rng.uniform(-0.05, 0.15), "large": rng.uniform(-0.12, 0.05),
            "peculiar": rng.uniform(0.3, 0.5),
        }  # fmt: skip
        self.able = {"small": 0.88, "medium": 0.94, "large": 0.97, "peculiar": rng.choice((0.95, 1.0))}

    def prior(self, view: View, topic: str) -> float:
        knows = self.knows.get(view.model, 0.0)
        base = self.base[topic]
        return base + (1 - base) * knows if knows > 0 else base * (1 + knows)

    def chance(self, view: View, case: Case, upstream: bool = True) -> float:
        found = super().chance(view, case) * self.able.get(view.model, 0.88)
        if not view.reasons:
            return found
        told = sum(tip.kind in ("right", "wrong") for tip in view.tips)
        thinks = self.thinks.get(view.model, 0.0)
        if view.model == "large" and told >= 3:
            thinks -= 0.08
        if view.model == "peculiar" and told < 3:
            thinks = 0.0
        return found + (1 - found) * thinks if thinks > 0 else found * (1 + thinks)

    def best(self) -> float:
        return max(self.score([view]) for view in self._good())

    def _good(self) -> list[View]:
        """Every model, with reasoning and without, with all the advice that helps or none."""
        kinds: list[dict[str, Any]] = [
            {"model": model, "reasons": reasons, "tips": tips}
            for model in self.models for reasons in (False, True) for tips in (self.whole, frozenset[Any]())
        ]  # fmt: skip
        return [self.bare(self.stages[0], **kind) for kind in kinds]


class Prices(Models):
    """The same, measured by what it is worth: right answers, less what the tokens cost. Long prompts cost, too."""

    family = "prices"
    ceiling = 0.0012
    """Dollars a call at which nothing is left of the part that cheapness is worth."""
    weight = 0.35

    def worth(self, right: float, views: Any) -> float:
        usd = sum(self.cost(view) for view in views)
        return self.valued(right, usd)

    def valued(self, right: float, usd: float) -> float:
        """The metric: in 0..1."""
        return (1 - self.weight) * right + self.weight * (1 - min(1.0, usd / self.ceiling))

    def cost(self, view: View) -> float:
        """Dollars a call."""
        given, written = self.models.get(view.model, (0.0, 0.0))
        return (view.tokens * given + (75 if view.reasons else 9) * written) / 1e6


class Mixed(Models):
    """Everything at once: instructions, demonstrations, model, reasoning, temperature and adapter."""

    family = "mixed"
    known = 5

    def setup(self) -> None:
        super().setup()
        rng = self.rng
        forms = rng.sample(("sections", "json", "xml"), 3)
        self.suits: dict[str, float] = dict(zip(forms, (1.0, 0.95, 0.88), strict=True))
        self.mild = rng.uniform(0.1, 0.6)

    def bare(self, stage: Any, **changes: Any) -> View:
        return super().bare(stage, **{"settings": {"temperature": 1.0}, **changes})

    def chance(self, view: View, case: Case, upstream: bool = True) -> float:
        temperature = float(view.settings.get("temperature", 1.0))
        mild = self.mild + (0.3 if view.reasons else 0.0)
        off = min(1.0, abs(temperature - mild) / 0.6)
        form = self.suits.get(view.form, 0.88)
        if view.reasons and view.form == "json":
            form -= 0.06
        return super().chance(view, case) * form * (1 - 0.22 * off * off)

    def _good(self) -> list[View]:
        found: list[View] = []
        for view in super()._good():
            settings = {"temperature": self.mild + (0.3 if view.reasons else 0.0)}
            found += [self._as(view, form, settings) for form in self.suits]
        return found

    def _as(self, view: View, form: str, settings: dict[str, Any]) -> View:
        return self.bare(
            view.stage, model=view.model, reasons=view.reasons, tips=view.tips, form=form, settings=settings
        )
