"""Merges of two lineages: what each changed since their common ancestor, in one candidate. After GEPA's merge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from random import Random

from dspex.kernel.ports import JSON
from dspex.kernel.space import Configuration

TRIES = 10
"""Pairs looked at before a merge is given up."""


@dataclass(frozen=True, slots=True)
class Descent:
    """Candidates with their parents, values and mean scores."""

    parents: Mapping[str, Sequence[str]]
    values: Mapping[str, Configuration]
    means: Mapping[str, float]
    paths: Sequence[str]
    """The components: variables that a merge takes from one side or the other."""

    def ancestors(self, who: str) -> set[str]:
        """All that it descends from, itself left out."""
        found: set[str] = set()
        stack = list(self.parents.get(who, ()))
        while stack:
            item = stack.pop()
            if item not in found:
                found.add(item)
                stack.extend(self.parents.get(item, ()))
        return found


@dataclass(frozen=True, slots=True)
class Merge:
    """Two candidates of which neither descends from the other, and what they are together."""

    first: str
    second: str
    ancestor: str
    values: dict[str, JSON]
    taken: tuple[str, ...]
    """For each component, whose it is."""

    @property
    def triplet(self) -> tuple[str, str, str]:
        """Which lineages meet where."""
        return (self.first, self.second, self.ancestor)


def merge_of(
    descent: Descent, among: Sequence[str], rng: Random, known: Callable[[Merge], bool] = lambda _: False
) -> Merge | None:
    """A merge of two of `among` that is not `known`; None where none is found in `TRIES` draws.

    Their common ancestor scores no more than either, and of some component exactly one of them has kept its version.
    """
    if len(among) < 2:
        return None
    for _ in range(TRIES):
        first, second = sorted(rng.sample(list(among), 2), key=list(descent.parents).index)
        before = descent.ancestors(first), descent.ancestors(second)
        if first in before[1] or second in before[0]:
            continue
        common = [item for item in descent.parents if item in before[0] & before[1]]
        fitting = [item for item in common if _complement(descent, first, second, item)]
        if not fitting:
            continue
        ancestor = rng.choices(fitting, [descent.means[item] + 1e-9 for item in fitting])[0]
        found = _merged(descent, first, second, ancestor, rng)
        if not known(found):
            return found
    return None


def _complement(descent: Descent, first: str, second: str, ancestor: str) -> bool:
    """Whether the ancestor is no better than either, and one of them has changed what the other has kept."""
    means = descent.means
    if means[ancestor] > means[first] or means[ancestor] > means[second]:
        return False
    one, other, old = (descent.values[item] for item in (first, second, ancestor))
    return any(one[path] != other[path] and old[path] in (one[path], other[path]) for path in descent.paths)


def _merged(descent: Descent, first: str, second: str, ancestor: str, rng: Random) -> Merge:
    """Each component from who changed it; from the better one where both did, by lot where they are as good."""
    one, other, old = (descent.values[item] for item in (first, second, ancestor))
    values: dict[str, JSON] = dict(one)
    taken: list[str] = []
    for path in descent.paths:
        if one[path] == other[path] or old[path] == other[path]:
            chosen = first
        elif old[path] == one[path]:
            chosen = second
        else:
            lead = descent.means[first] - descent.means[second]
            chosen = first if lead > 0 else second if lead < 0 else rng.choice((first, second))
        values[path] = descent.values[chosen][path]
        taken.append(chosen)
    return Merge(first, second, ancestor, values, tuple(taken))


def telling(first: Mapping[str, float], second: Mapping[str, float], size: int, rng: Random) -> list[str]:
    """`size` of the examples that both have, about a third each where the first, the second and neither is ahead."""
    shared = [item for item in first if item in second]
    groups = (
        [item for item in shared if first[item] > second[item]],
        [item for item in shared if first[item] < second[item]],
        [item for item in shared if first[item] == second[item]],
    )
    each = ceil(size / len(groups))
    found: list[str] = []
    for place, group in enumerate(groups):
        wanted = each if place < 2 else size - len(found)
        found += rng.sample(group, min(wanted, len(group)))
    rest = [item for item in shared if item not in found]
    return (found + rng.sample(rest, min(size - len(found), len(rest))))[:size]
