"""Item-response scheduling: a challenger is asked what tells most about whether it beats the incumbent.

The ladder is the race's. Below the top a challenger's examples are those whose answers the item-response fit expects to
tell most about an ability near the incumbent's: neither sure to be right nor sure to be wrong. An example that the
incumbent has answered costs one evaluation, another costs two, for it is asked as well. The probability of being better
is the fit's there, since chosen examples are not like the others; at the top everything is asked, and paired (POES,
arXiv 2604.11328, has the idea for prompts).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from dspex.optimization.deciding import SearchView
from dspex.optimization.schedules.comparing import Key, chance_of
from dspex.optimization.schedules.racing import Race
from dspex.optimization.surrogates.item_response import ItemResponse, item_response


@dataclass(frozen=True)
class ByResponse:
    """`Comparison` by abilities."""

    top: int

    def keys(self, search: SearchView, incumbent: str, challenger: str, size: int) -> Sequence[Key]:
        every = search.problem.keys[: self.top]
        if size >= self.top:
            return every
        order = most_telling(search, fitted(search, self.top), incumbent, self.top)
        has = search.ledger.scores(challenger)
        kept = [key for key in every if key in has]
        rest = (key for key in order if key not in has and not search.ledger.failures((challenger, *key)))
        return [*kept, *islice(rest, max(0, size - len(kept)))]

    def chance(self, search: SearchView, challenger: str, other: str, size: int) -> float:
        if size >= self.top:
            return chance_of(search, challenger, other, search.problem.keys[: self.top])
        return fitted(search, self.top).chance(challenger, other)

    def ranking(self, search: SearchView, top: int) -> list[str]:
        fit = fitted(search, top)
        return sorted(fit.abilities, key=lambda item: -round(fit.ability(item)[0], 9))


def fitted(search: SearchView, top: int) -> ItemResponse:
    """The fit to all that is folded; made once for a round."""
    memory, state = search.problem.memory, (search.ledger.folded, top)  # scores come with a fold, and only then
    known = memory.get("item response")
    if known is None or known[0] != state:
        keys = set(search.problem.keys[:top])
        scores = {
            item: {key: score for key, score in search.ledger.scores(item).items() if key in keys}
            for item in search.ledger.candidates
        }
        with search.fitting:
            known = memory["item response"] = (state, item_response(scores))
    fit: ItemResponse = known[1]
    return fit


def most_telling(search: SearchView, fit: ItemResponse, incumbent: str, top: int) -> Sequence[Key]:
    """The examples by what an answer tells, for its price, about an ability near the incumbent's; the same for all
    challengers."""
    memory, state = search.problem.memory, (search.ledger.folded, top, incumbent)
    known = memory.get("most telling")
    if known is None or known[0] != state:
        level, _ = fit.ability(incumbent)
        free = search.ledger.scores(incumbent)
        worth = {
            key: round(fit.information(level, key) / (1 if key in free else 2), 9) for key in search.problem.keys[:top]
        }
        known = memory["most telling"] = (state, sorted(worth, key=lambda key: -worth[key]))
    found: Sequence[Key] = known[1]
    return found


def response(width: int, top: int) -> Race:
    """The race on examples that tell most."""
    return Race(width, top, "response", ByResponse(top))
